"""A removal's drawing starts from the emptied scene below the noise, in every family, and runs the steps asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eraser.engines import starts
from eraser.engines.attachments import SAMPLERS
from eraser.engines.latent_records import Options
from eraser.engines.loading import Loading
from eraser.engines.starts import Start
from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.painter import Painter, Wish  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402
from tests.engines.checkpoints.drawings import FAMILIES, SCENE  # noqa: E402
from tests.engines.views import run  # noqa: E402

pytestmark = ON_NETWORKS


def sd_base(folder: Path) -> Path:
    return made.stable_diffusion(folder, channels=4, inpaints=False)


EVERY: dict[str, Callable[[Path], Path]] = FAMILIES | {"sd-base": sd_base, "flux-base": made.flux_base}
OTHER = replace(SCENE, picture=np.where(SCENE.hole[:, :, None], 0.9, SCENE.picture).astype(np.float32))


class Watched:
    """What a painter's network is given, call by call."""

    def __init__(self, painter: Painter) -> None:
        self.painter, self.inputs = painter, []
        painter._net.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, _: object, given: tuple, named: dict) -> None:
        seen = named.get("hidden_states", given[0] if given else named.get("sample"))
        self.inputs.append(torch.cat([one.flatten() for one in seen]) if isinstance(seen, list) else seen.clone())

    def draw(self, scene, strength: float, steps: int) -> tuple[list, np.ndarray]:
        """(what every call of the network was given, the picture)."""
        self.inputs.clear()
        wish = Wish("nothing", "a dog", (1,), strength)
        drawn, _ = run(self.painter.steps(scene, wish, Options(steps=steps, guidance=0.0)))
        return [*self.inputs], drawn[0]


@pytest.fixture(scope="module", params=EVERY)
def watched(request, shelf) -> Watched:
    return Watched(Painter(Loading(str(EVERY[request.param](shelf / request.param)), "folder")))


def test_the_emptied_scene_is_below_the_noise_from_the_first_call_on_and_no_step_is_lost(watched):
    for steps in (9, 12):
        (first, *rest), picture = watched.draw(SCENE, 0.99, steps)
        assert len(rest) + 1 == steps
        (other, *_), another = watched.draw(OTHER, 0.99, steps)
        # in the hole the pictures differ, and nowhere else; that is how the network sees it
        assert (first - other).abs().max() > 1e-3
        assert np.abs(picture - another)[SCENE.hole].max() > 1e-4
        assert watched.painter.noise(0.99, Options(steps=steps)) == pytest.approx(steps / (steps + 1))
    noise, other = (watched.draw(scene, 1.0, 9)[0] for scene in (SCENE, OTHER))
    assert len(noise) == 9
    assert torch.equal(noise[0], other[0])


def test_few_steps_are_all_run_and_strength_counts_in_steps(watched):
    for steps, strength, share in [(1, 0.99, 1.0), (4, 0.99, 1.0), (4, 0.8, 0.8), (3, 0.5, 0.5), (1, 0.01, 0.01)]:
        inputs, _ = watched.draw(SCENE, strength, steps)
        assert len(inputs) == steps
        assert watched.painter.noise(strength, Options(steps=steps)) == pytest.approx(share)


@pytest.mark.parametrize("name", [name for name, of in SAMPLERS.items() if of.diffusion])
def test_every_sampler_runs_as_many_steps_from_the_emptied_scene_as_from_noise(sd, name):
    watched = Watched(Painter(Loading(str(sd), "folder", sampler=name)))
    (noise, _), (first, _), (other, _) = (
        watched.draw(*asked, 9) for asked in [(SCENE, 1.0), (SCENE, 0.99), (OTHER, 0.99)]
    )
    assert len(first) == len(noise) >= 9
    assert not torch.equal(first[0], other[0])


def test_what_is_asked_for_is_what_diffusers_makes_of_it():
    for steps in range(1, 200):
        for strength in (0.01, 0.3, 0.5, 0.77, 0.9, 0.99, 0.999, 1.0):
            start = starts.start(steps, strength, 1000)
            down, left = (start.strength(rounds_down=rounds) for rounds in (True, False))
            assert int(start.asked * down) == start.run
            assert int(max(start.asked - start.asked * left, 0)) == start.asked - start.run
            assert (down == left == 1.0) == (start.share == 1)
            if start.asked < 1000:
                assert start.run == steps
                assert abs(start.share - strength) <= max(1 / (steps + 1), 0.5 / start.asked)
    assert starts.start(8, 0.99, 1000) == Start(8, 8)
    assert starts.start(9, 0.99, 1000) == Start(10, 9)
    assert starts.start(50, 0.99, 50) == Start(50, 50)  # a scheduler that has no more


def test_a_scheduler_with_few_levels_is_asked_for_no_more(tmp_path):
    folder = made.stable_diffusion(tmp_path / "sd")
    watched = Watched(Painter(Loading(str(folder), "folder", sampler="lcm")))
    inputs, _ = watched.draw(SCENE, 0.1, 6)
    assert len(inputs) == 5  # a tenth of the fifty that its teacher had
