"""Latent diffusion through diffusers, on miniature checkpoints of random weights: everything but how good they draw."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eraser
from eraser.engines import latent as module
from eraser.engines import registry
from eraser.engines.attempts import Attempts, seeds
from eraser.engines.base import EngineInfo
from eraser.engines.latent import LatentEngine
from eraser.engines.latent_records import Options
from eraser.engines.loading import Loading
from eraser.engines.painter import Ended, Painter, Run, Wish
from eraser.errors import EngineError, OutOfMemory, Refused, UnknownEngine
from eraser.geometry import Box
from tests.engines.networks import DEAF
from tests.engines.views import VIEW, run, view_with

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
diffusers = pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

pytestmark = DEAF

INFO = EngineInfo(name="latent", summary="", licence="", takes_prompt=True)
BRIEF = Options(steps=3, tries=1)
KINDS = ["inpainting", "base", "xl"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    from tests import miniature_pipelines as made

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoints")
    yield {
        "inpainting": made.stable_diffusion(folder / "inpainting"),
        "base": made.stable_diffusion(folder / "base", channels=4, inpaints=False),
        "xl": made.stable_diffusion_xl(folder / "xl"),
        "flux": made.flux_fill(folder / "flux"),
    }
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def painters(checkpoints) -> dict[str, Painter]:
    return {kind: Painter(Loading(str(path), "folder")) for kind, path in checkpoints.items()}


def engine_of(painter: Painter, options: Options = BRIEF) -> LatentEngine:
    return LatentEngine(INFO, painter, options, threads=1)


def drawn(painter: Painter, seed: int = 0, prompt: str | None = "a red door", options: Options = BRIEF) -> np.ndarray:
    """What the model itself draws, before the photo's texture comes over it."""
    engine = engine_of(painter, options)
    box = engine.window(VIEW)
    steps = engine._remove(VIEW, box, seed) if prompt is None else engine._invent(VIEW, box, seed, prompt)
    return run(steps)[0].pixels


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", [None, "a red door"])
@pytest.mark.parametrize("channels", [1, 3])
def test_holes_are_filled_with_numbers_and_the_rest_stays(painters, kind, prompt, channels):
    view = view_with(61, 83, Box(30, 20, 25, 20), channels=channels)
    before = view.pixels.copy()
    filled, seen = run(engine_of(painters[kind]).fill(view, seed=1, prompt=prompt))
    assert filled.shape == view.pixels.shape
    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert np.abs(filled).max() <= 1
    assert np.array_equal(view.pixels, before)
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    previews = [step.preview() for step in seen if step.preview is not None]
    assert len(previews) > BRIEF.steps
    for shown in previews:
        assert np.isfinite(shown).all()
        assert np.array_equal(shown[~view.hole], view.pixels[~view.hole])


@pytest.mark.parametrize(
    ("height", "width", "boxes"),
    [
        (20, 25, [Box(8, 8, 5, 5)]),
        (300, 200, [Box(20, 30, 150, 200)]),
        (200, 9, [Box(0, 50, 9, 60)]),
        (64, 64, [Box(0, 0, 64, 60)]),
        (300, 300, [Box(150, 150, 1, 1)]),
        (41, 57, [Box(0, 0, 10, 41), Box(50, 30, 7, 11)]),
    ],
)
def test_windows_of_any_size_and_place_go_through(painters, height, width, boxes):
    view = view_with(height, width, *boxes)
    filled, _ = run(engine_of(painters["inpainting"]).fill(view, seed=0, prompt="sand"))
    assert filled.shape == view.pixels.shape
    assert np.isfinite(filled[view.hole]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_repeat_and_other_seeds_prompts_and_options_change_the_drawing(painters, kind):
    first = drawn(painters[kind], 3)
    assert np.array_equal(drawn(painters[kind], 3), first)
    changed = [
        drawn(painters[kind], 4),
        drawn(painters[kind], 3, "a blue lake"),
        drawn(painters[kind], 3, options=Options(steps=4, tries=1)),
        drawn(painters[kind], 3, options=Options(steps=3, guidance=1.5)),
        drawn(painters[kind], 3, options=Options(steps=3, negative="fog")),
    ]
    for other in changed:
        assert not np.array_equal(other, first)


def test_a_removal_that_is_drawn_again_repeats_bit_for_bit_with_every_seed_told(painters, monkeypatch):
    monkeypatch.setattr(Attempts, "trouble", property(lambda self: "bad" if len(self.made) < 2 else ""))
    monkeypatch.setattr(Attempts, "best", property(lambda self: self.made[-1]))
    engine = engine_of(painters["inpainting"], Options(steps=2, tries=3))
    results = [run(engine.fill(VIEW, seed=3)) for _ in range(2)]
    assert np.array_equal(results[0][0], results[1][0])
    told = [[step.facts for step in seen if "draws" in step.facts] for _, seen in results]
    assert told[0] == told[1]
    assert [draw["seed"] for draw in told[0][0]["draws"]] == [*seeds(3, 2)]
    assert told[0][0]["kept"]["seed"] == [*seeds(3, 2)][1]
    assert told[0][0]["noise"] == 1  # of so few steps none is left out


def test_a_transformer_with_packed_latents_goes_through_too(painters):
    flux = Options(steps=2, tries=1, side=32)
    first = drawn(painters["flux"], 3, options=flux)
    assert np.array_equal(drawn(painters["flux"], 3, options=flux), first)
    assert not np.array_equal(drawn(painters["flux"], 4, options=flux), first)
    assert not np.array_equal(drawn(painters["flux"], 3, "a blue lake", options=flux), first)
    for prompt in (None, "sand"):
        filled, seen = run(engine_of(painters["flux"], flux).fill(VIEW, seed=0, prompt=prompt))
        assert np.isfinite(filled).all()
        assert [step.fraction for step in seen] == sorted(step.fraction for step in seen)


def test_several_threads_at_once_get_what_each_would_get_alone(painters):
    engine = engine_of(painters["inpainting"])

    def fill(seed: int) -> bytes:
        return run(engine.fill(VIEW, seed=seed, prompt="grass"))[0].tobytes()

    alone = [fill(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(fill, [1, 2, 1])) == [alone[0], alone[1], alone[0]]
    assert alone[0] != alone[1]


def test_words_are_read_one_run_at_a_time(painters):
    # a tokenizer keeps how it was last asked to pad: without a lock some of these fail, or get others' padding
    scene = module.Scene(np.zeros((32, 32, 3), np.float32), np.pad(np.ones((12, 12), bool), 10), 32, 32)

    def paint(number: int) -> bytes:
        wish = Wish("a" * number, "fog", (number,), 0.99)
        steps = painters["inpainting"].steps(scene, wish, Options(steps=1))
        return run(steps)[0].tobytes()

    alone = [paint(number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(paint, [*range(6)] * 10)) == alone * 10


def test_the_drawing_keeps_known_pixels_and_changes_the_hole(painters):
    for kind in KINDS:
        engine = engine_of(painters[kind])
        box = engine.window(VIEW)
        drawing, _ = run(engine._invent(VIEW, box, 0, "door"))
        known, hole = engine._shrunk(VIEW, box)
        assert np.array_equal(drawing.pixels[~hole], known[~hole])
        assert drawing.pixels[hole].std() > 0.01


def last_latents(painter: Painter, seed: int, monkeypatch) -> np.ndarray:
    decoded = []
    vae = painter._pipeline.vae
    decode = type(vae).decode
    monkeypatch.setattr(
        type(vae), "decode", lambda self, z, *a, **k: decoded.append(z.clone()) or decode(self, z, *a, **k)
    )
    drawn(painter, seed)
    monkeypatch.undo()
    return decoded[-1][0].numpy()


def test_a_base_model_has_the_known_latents_put_back_at_every_step(painters, monkeypatch):
    engine = engine_of(painters["base"])
    box = engine.window(VIEW)
    known, hole = engine._shrunk(VIEW, box)
    scene = engine._scene(known, hole, grown=False)
    free = scene.hole.reshape(16, 2, 16, 2).any(axis=(1, 3))  # latents of which some pixel is to be drawn
    near = np.zeros_like(free)
    near[1:-1, 1:-1] = True
    first, other = (last_latents(painters["base"], seed, monkeypatch) for seed in (0, 1))
    same = np.abs(first - other).max(axis=0)
    assert free.any()
    assert (~free).any()
    assert same[free].max() > 0.1
    # the autoencoder's own sampling is drawn with the seed, too, so known latents differ by its spread alone
    assert np.median(same[~free]) < 0.5 * np.median(same[free])


# --- attention, previews, batches -------------------------------------------------------------------------------------


def test_what_was_erased_changes_no_drawing(painters):
    # it is for choosing among drawings: with one there is nothing to choose
    def filled(value: float) -> np.ndarray:
        there = VIEW.pixels.copy()
        there[VIEW.hole] = value
        view = replace(VIEW, erased=lambda box: there[box.slices])
        return run(engine_of(painters["inpainting"]).fill(view, seed=0))[0]

    assert np.array_equal(filled(-0.8), filled(0.9))


def test_attention_looks_away_in_removals_alone(painters):
    painter = painters["inpainting"]
    removed = [drawn(painter, 3, None, Options(steps=3, tries=1, redirect=share)) for share in (0.0, 0.51, 1.0)]
    assert not np.array_equal(removed[0], removed[1])
    assert not np.array_equal(removed[1], removed[2])
    asked = [drawn(painter, 3, options=Options(steps=3, redirect=share)) for share in (0.0, 1.0)]
    assert np.array_equal(asked[0], asked[1])


def test_what_empties_the_scene_is_chosen_by_its_name(checkpoints, monkeypatch):
    folder = checkpoints["base"]
    with pytest.raises(UnknownEngine, match="cannot empty a scene"):
        registry.load(f"latent:{folder}?prefill=latent")
    lama = object()
    monkeypatch.setattr(registry, "load", lambda name: lama if name == "lama" else None)
    assert module.load(INFO, f"{folder}?prefill=lama")._prefill is lama


def test_packed_latents_and_those_of_a_tiny_autoencoder_are_shown(painters):
    flux = Options(steps=2, tries=1, side=32)
    _, seen = run(engine_of(painters["flux"], flux).fill(VIEW, seed=0, prompt="sand"))
    previews = [step.preview() for step in seen if "drawing" in step.note and step.preview is not None]
    assert len(previews) == 3  # of two steps, and the finished drawing
    assert not np.array_equal(previews[0], previews[1])
    pipeline = painters["base"]._pipeline
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert painters["base"].decode(latents, 32).shape == (32, 32, 3)
    tiny = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    object.__setattr__(pipeline, "tiny_vae", tiny)
    with torch.no_grad():
        expected = tiny.decode(latents[:1]).sample[0].clamp(-1, 1).permute(1, 2, 0).numpy()
    assert np.allclose(painters["base"].decode(latents, 32), expected, atol=1e-6)
    object.__setattr__(pipeline, "tiny_vae", None)


@pytest.mark.parametrize("kind", [*KINDS, "flux"])
def test_several_seeds_in_one_batch_are_drawn_as_each_alone(painters, kind):
    painter = painters[kind]
    engine = engine_of(painter, Options(steps=3, side=32))
    box = engine.window(VIEW)
    known, hole = engine._shrunk(VIEW, box)
    scene = engine._scene(known, hole, grown=True)

    def paint(*seeds: int) -> np.ndarray:
        return run(painter.steps(scene, Wish("sand", "fog", seeds, 0.99, 0.51), Options(steps=3)))[0]

    both = paint(4, 9)
    assert both.shape == (2, 32, 32, 3)
    assert np.allclose(both[0], paint(4)[0], atol=2e-3)
    assert np.allclose(both[1], paint(9)[0], atol=2e-3)
    assert np.abs(both[0] - both[1]).max() > 0.02


# --- steps, cancelling, failures --------------------------------------------------------------------------------------


def test_closing_ends_the_models_work_within_a_step(painters):
    calls = []
    painter = painters["inpainting"]
    hooks = [
        block.register_forward_hook(lambda *_: calls.append(1))
        for block in [*painter._net.down_blocks, *painter._net.up_blocks]
    ]
    before = threading.active_count()
    try:
        steps = engine_of(painter).fill(VIEW, seed=0, prompt="grass")
        next(steps)  # nothing yet
        next(steps)  # at the first block
        assert calls == []
        next(steps)
        assert len(calls) == 1
        steps.close()
        assert len(calls) == 1
        assert threading.active_count() == before
        run(engine_of(painter).fill(VIEW, seed=0, prompt="grass"))
        assert len(calls) > 5
    finally:
        for hook in hooks:
            hook.remove()


def test_a_call_that_fails_hands_its_failure_over_and_one_that_is_ended_none():
    def fails() -> np.ndarray:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        run(Run().drive(fails))
    other, ends = Run(), []

    def works() -> np.ndarray:
        try:
            other.reach(1, None)
        except Ended:
            ends.append(1)
            raise
        raise AssertionError("was not ended")

    steps = other.drive(works)
    assert next(steps) == (1, None)
    steps.close()
    assert ends == [1]


def test_memory_that_runs_out_is_told_and_the_engine_stays_usable(painters, monkeypatch):
    painter = painters["inpainting"]
    engine = engine_of(painter)
    forward = type(painter._net).forward

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(painter._net), "forward", full)
    with pytest.raises(OutOfMemory, match="GPU's memory") as told:
        run(engine.fill(VIEW, seed=0, prompt="grass"))
    assert "side=" in told.value.hint
    monkeypatch.setattr(type(painter._net), "forward", forward)
    run(engine.fill(VIEW, seed=0, prompt="grass"))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("moved")])
def test_a_preview_that_fails_is_none_and_the_drawing_goes_on(painters, monkeypatch, error):
    painter = painters["inpainting"]
    engine = engine_of(painter)
    expected = run(engine.fill(VIEW, seed=0, prompt="grass"))[0]
    vae = type(painter._pipeline.vae)
    decode, looking, failed = vae.decode, threading.current_thread(), []

    def full(self, *rest, **options):
        if threading.current_thread() is looking:
            failed.append(1)
            raise error
        return decode(self, *rest, **options)

    monkeypatch.setattr(vae, "decode", full)
    steps = engine.fill(VIEW, seed=0, prompt="grass")
    try:
        while True:
            step = next(steps)
            if step.preview is not None:
                assert np.isfinite(step.preview()).all()
    except StopIteration as finished:
        filled = finished.value
    assert failed
    assert np.array_equal(filled, expected)


def test_numbers_that_are_not_finite_are_an_error_not_a_picture(painters, monkeypatch):
    painter = painters["inpainting"]
    vae = type(painter._pipeline.vae)
    decode = vae.decode

    def nothing(self, z, *rest, **options):
        return decode(self, z * float("nan"), *rest, **options)

    monkeypatch.setattr(vae, "decode", nothing)
    with pytest.raises(EngineError, match="not finite"):
        run(engine_of(painter).fill(VIEW, seed=0, prompt="grass"))


def test_a_drawing_that_the_safety_checker_refuses_is_an_error_not_a_black_hole(painters, monkeypatch):
    kind = type(painters["inpainting"]._pipeline)
    monkeypatch.setattr(kind, "run_safety_checker", lambda self, image, *_: (torch.zeros_like(image), [True]))
    with pytest.raises(Refused, match="safety checker refuses"):
        run(engine_of(painters["inpainting"]).fill(VIEW, seed=0, prompt="grass"))
    looked = []

    def at_first(self, image, *_):
        looked.append(1)
        return image, [len(looked) == 1]

    monkeypatch.setattr(kind, "run_safety_checker", at_first)
    filled, seen = run(engine_of(painters["inpainting"], Options(steps=1, tries=3)).fill(VIEW, seed=0))
    assert np.isfinite(filled).all()
    [draws] = [step.facts["draws"] for step in seen if "draws" in step.facts]
    assert "refuses" in draws[0]["said"]
    assert len(draws) == len(looked) > 1


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_folder_is_an_engine_by_its_path_and_keeps_known_pixels(checkpoints):
    name = f"latent:{checkpoints['inpainting']}?steps=2&tries=1"
    photo = np.random.default_rng(0).integers(0, 256, (70, 83, 3), dtype=np.uint8)
    mask = np.zeros((70, 83), bool)
    mask[20:45, 30:60] = True
    with eraser.Eraser(name) as session:
        assert session.info.takes_prompt
        assert session.info.name == name
        for prompt in (None, "a door"):
            filled = session.erase(photo, mask, grow=0, prompt=prompt)
            assert np.array_equal(filled[~mask], photo[~mask])
            assert (filled[mask] != photo[mask]).any()


def test_other_options_run_the_checkpoint_that_is_loaded(checkpoints):
    engines = [registry.load(f"latent:{checkpoints['base']}?steps={steps}") for steps in (2, 3)]
    assert engines[0] is not engines[1]
    assert engines[0]._painter is engines[1]._painter
