"""What is known stays known at every step, and the hole's rim is let go after its middle."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
diffusers = pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import conditioning  # noqa: E402
from eraser.engines.conditioning import BAND, LATEST, hold, in_latents, packed  # noqa: E402
from eraser.engines.latent_records import Options  # noqa: E402
from eraser.engines.loading import Loading  # noqa: E402
from eraser.engines.painter import Painter, Scene, Wish  # noqa: E402
from tests.engines.networks import DEAF  # noqa: E402

pytestmark = DEAF
SIDE = 32
STEPS = 10


@pytest.fixture(scope="module")
def painters(tmp_path_factory):
    from tests import miniature_pipelines as made

    folder = tmp_path_factory.mktemp("checkpoints")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    places = {
        "base": made.stable_diffusion(folder / "base", channels=4, inpaints=False),
        "inpainting": made.stable_diffusion(folder / "inpainting"),
        "flux base": made.flux_base(folder / "flux"),
        "flux fill": made.flux_fill(folder / "fill"),
    }
    yield {name: Painter(Loading(str(place), "folder")) for name, place in places.items()}
    torch.set_num_threads(threads)


def scene() -> Scene:
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.stack([np.sin(x / 4), np.cos(y / 5), (x + y) / SIDE - 1], axis=2).astype(np.float32)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[5:28, 4:27] = True  # not on the latents' grid
    return Scene(picture, hole, SIDE, SIDE)


def drive(painter: Painter, monkeypatch, **wish):
    """Every step's (latents, latents that were there at that noise level), and the picture."""
    seen = []
    after = conditioning.Keeping.after

    def watched(self, pipeline, index, tensors):
        latents = after(self, pipeline, index, tensors)
        scheduler, level = pipeline.scheduler, tensors["timesteps"][index + 1 : index + 2]
        there = tensors["image_latents"]
        if len(level):
            add = getattr(scheduler, "scale_noise", None)
            there = add(there, level, tensors["noise"]) if add else scheduler.add_noise(there, tensors["noise"], level)
        seen.append((latents.clone(), there.clone()))
        return latents

    monkeypatch.setattr(conditioning.Keeping, "after", watched)
    steps = painter.steps(scene(), Wish("sand", "", (3,), **wish), Options(steps=STEPS, guidance=3))
    try:
        while True:
            next(steps)
    except StopIteration as finished:
        return seen, finished.value[0]


@pytest.mark.parametrize("kind", ["base", "flux base"])
def test_known_latents_are_the_renoised_ones_at_every_step_and_the_rim_is_let_go_step_by_step(
    painters, kind, monkeypatch
):
    painter = painters[kind]
    assert painter.is_blind
    free = in_latents(scene().hole, painter.factor)
    until = hold(free)
    seen, drawn = drive(painter, monkeypatch)
    assert np.isfinite(drawn).all()
    assert len(seen) == STEPS
    counts = []
    for index, (latents, there) in enumerate(seen):
        kept = ~free | (until > (index + 1) / STEPS)
        if index + 1 == STEPS:
            kept = ~free
        where = torch.from_numpy(kept)[None, None]
        where = packed(where, latents.shape[2] // 4) if latents.ndim == 3 else where.expand_as(latents)
        assert torch.equal(latents[where], there[where])  # nothing known drifts by a bit
        assert not torch.isclose(latents[~where], there[~where], atol=1e-4).all()
        counts.append(int(kept.sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[-1] == int((~free).sum())


@pytest.mark.parametrize("kind", ["inpainting", "flux fill"])
def test_models_that_are_told_the_hole_are_left_alone(painters, kind, monkeypatch):
    assert not painters[kind].is_blind
    seen, drawn = drive(painters[kind], monkeypatch)
    assert seen == []
    assert np.isfinite(drawn).all()


def test_every_pixel_of_the_hole_is_in_a_latent_that_is_drawn(painters, monkeypatch):
    """diffusers looks at one pixel of each latent's, which would leave parts of the hole as they were."""
    painter = painters["base"]
    free = in_latents(scene().hole, painter.factor)
    assert free[2:14, 2:14].all()
    assert free.sum() == 12 * 12
    arguments = painter._arguments(scene(), scene().hole, Wish("", "", (0,)), Options(steps=2))
    one_pixel = np.asarray(arguments["mask_image"])[:: painter.factor, :: painter.factor] > 0
    assert (free & ~one_pixel).any()
    seen, _ = drive(painter, monkeypatch)
    latents, there = seen[-1]
    assert (latents != there)[0, 0].numpy()[free].all()


def test_a_latent_is_held_the_longer_the_nearer_it_is_to_the_rim():
    hole = np.zeros((20, 24), bool)
    hole[4:17, 3:20] = True
    until = hold(hole)
    assert (until[~hole] == 0).all()
    assert np.allclose(until[10, 3:11], [LATEST * max(0.0, 1 - depth / BAND) for depth in range(8)])
    assert until.max() == pytest.approx(LATEST)
    for thin in (1, 2):  # no deeper than its rim: nothing to grow from the middle
        line = np.zeros((20, 24), bool)
        line[5 : 5 + thin, 2:20] = True
        assert (hold(line) == 0).all()
    both = hole.copy()
    both[18, :] = True
    assert np.array_equal(hold(both)[:17], until[:17])  # each part of the hole by itself
    assert (hold(np.ones((5, 5), bool)) == 0).all()
    assert (hold(np.zeros((5, 5), bool)) == 0).all()


def test_masks_are_packed_as_latents_are():
    from diffusers import FluxInpaintPipeline

    mask = torch.rand(1, 1, 6, 10) < 0.4
    theirs = FluxInpaintPipeline._pack_latents(mask.repeat(1, 4, 1, 1), 1, 4, 6, 10)
    assert torch.equal(packed(mask, 4), theirs)


@pytest.mark.parametrize(
    "kind",
    [
        "stable_diffusion.pipeline_stable_diffusion_inpaint.StableDiffusionInpaintPipeline",
        "stable_diffusion_xl.pipeline_stable_diffusion_xl_inpaint.StableDiffusionXLInpaintPipeline",
        "stable_diffusion_3.pipeline_stable_diffusion_3_inpaint.StableDiffusion3InpaintPipeline",
        "flux.pipeline_flux_inpaint.FluxInpaintPipeline",
        "qwenimage.pipeline_qwenimage_inpaint.QwenImageInpaintPipeline",
        "z_image.pipeline_z_image_inpaint.ZImageInpaintPipeline",
    ],
)
def test_the_loops_of_diffusers_still_name_what_is_asked_of_them(kind):
    module, _, name = kind.rpartition(".")
    pipeline = getattr(importlib.import_module(f"diffusers.pipelines.{module}"), name)
    import inspect

    names = inspect.unwrap(pipeline.__call__).__code__.co_varnames
    assert set(conditioning.VARIABLES) <= set(names)
