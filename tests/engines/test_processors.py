"""What puts processors into a U-Net's attention leaves the others alone: looking away, slices, a reference, LoRA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eraser.engines.loading import Loading, Weighted

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines.latent_records import Options  # noqa: E402
from eraser.engines.painter import Painter, Scene, Wish  # noqa: E402
from eraser.engines.placement import Plan  # noqa: E402
from eraser.engines.redirection import RedirectedAttention, self_attention  # noqa: E402
from tests import miniature_extras as extras  # noqa: E402
from tests import miniature_pipelines as made  # noqa: E402
from tests.engines.networks import DEAF  # noqa: E402
from tests.running import outcome  # noqa: E402

pytestmark = DEAF
HOLE = np.zeros((32, 32), bool)
HOLE[8:24, 8:24] = True


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("processors")
    made.stable_diffusion(folder / "sd")
    extras.adapter(folder / "adapter.safetensors")
    extras.lora(folder / "sd", folder / "look.safetensors")
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def painter_of(shelf: Path, *, adapter: bool, lora: bool, sliced: bool) -> Painter:
    painter = Painter(
        Loading(
            str(shelf / "sd"),
            "folder",
            adapter=Weighted(str(shelf / "adapter.safetensors")) if adapter else None,
            loras=(Weighted(str(shelf / "look.safetensors")),) if lora else (),
        )
    )
    if sliced:
        painter.placed._put(Plan("whole", True, True))
    return painter


def drawn(painter: Painter, redirect: float, reference: str = "") -> np.ndarray:
    picture = np.random.default_rng(1).uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    wish = Wish("nothing", "a dog", (1,), 0.99, redirect)
    options = Options(steps=3, guidance=3.0, reference=reference)
    return outcome(painter.steps(Scene(picture, HOLE, 32, 32), wish, options))


@pytest.mark.parametrize("lora", [False, True], ids=["", "lora"])
@pytest.mark.parametrize("adapter", [False, True], ids=["", "reference"])
def test_slices_change_nothing_and_attention_looks_away_with_everything_else_put_on(shelf, adapter, lora):
    reference = str(shelf / "0.png") if adapter else ""
    whole, sliced = (painter_of(shelf, adapter=adapter, lora=lora, sliced=sliced) for sliced in (False, True))
    plain, away = drawn(whole, 0.0, reference), drawn(whole, 0.51, reference)
    assert np.abs(plain - away).max() > 1e-4
    assert np.array_equal(drawn(whole, 0.0, reference), plain)  # and it does not last
    assert np.allclose(drawn(sliced, 0.0, reference), plain, atol=1e-4)
    assert np.allclose(drawn(sliced, 0.51, reference), away, atol=1e-4)
    if adapter:
        other = str(shelf / "1.png")
        assert np.abs(drawn(whole, 0.51, other) - away).max() > 1e-4
    stocks = [layer.processor.stock for layer in self_attention(sliced._net)]
    assert all(not isinstance(stock, RedirectedAttention) for stock in stocks)


def test_a_lora_changes_what_is_drawn_while_attention_looks_away(shelf):
    with_it, without = (painter_of(shelf, adapter=False, lora=lora, sliced=False) for lora in (True, False))
    assert np.abs(drawn(with_it, 0.51) - drawn(without, 0.51)).max() > 1e-4
