"""A small drawing carried to full size: where things are comes from it, what they are made of from the photo."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines.patch_levels import Workers
from eraser.engines.structure import Carrying, Drawing, bilinear, carry
from eraser.geometry import Box

RED, GREEN, BLUE = (
    np.array(colour, np.float32) for colour in ([0.6, -0.5, -0.5], [-0.5, 0.5, -0.4], [-0.6, -0.5, 0.8])
)
SIDE = 192
BOX = Box(40, 40, 112, 112)


def finished(steps) -> np.ndarray:
    fractions = [0.0]
    while True:
        try:
            step = next(steps)
        except StopIteration as done:
            assert fractions[-1] == pytest.approx(1)
            return done.value
        assert fractions[-1] <= step.fraction <= 1
        fractions.append(step.fraction)


@pytest.fixture(scope="module")
def view() -> View:
    """Grainy red above, grainy green below, and a square hole over the border of the two."""
    rng = np.random.default_rng(1)
    pixels = np.where(np.arange(SIDE)[:, None, None] < SIDE // 2, RED, GREEN) + np.zeros((SIDE, SIDE, 3), np.float32)
    pixels += rng.normal(0, 0.12, (SIDE, SIDE, 1)).astype(np.float32)
    hole = np.zeros((SIDE, SIDE), bool)
    hole[70:122, 70:122] = True
    pixels[hole] = 0
    return View(pixels, hole)


def drawing_of(picture, shrunk: int = 2) -> Drawing:
    """picture(y, x) -> bool: drawn green where True, red elsewhere, so many times as small as its box."""
    y, x = np.mgrid[: 112 // shrunk, : 112 // shrunk] * shrunk + 40 + shrunk // 2
    return Drawing(np.where(picture(y, x)[:, :, None], GREEN, RED), BOX)


def greenish(filled: np.ndarray) -> np.ndarray:
    return ((filled - RED) ** 2).sum(2) > ((filled - GREEN) ** 2).sum(2)


@pytest.fixture(scope="module")
def diagonal(view) -> np.ndarray:
    return finished(carry(view, drawing_of(lambda y, x: x - 96 > y - 96), seed=0, workers=Workers(1)))


def test_structure_is_where_it_was_drawn(view, diagonal):
    y, x = np.mgrid[:SIDE, :SIDE]
    clear = view.hole & (np.abs(x - y) > 6)
    # grain alone makes a few single pixels look like the other colour
    assert (greenish(diagonal) == (x > y))[clear].mean() > 0.97


@pytest.mark.parametrize("shrunk", [1, 2, 4])
def test_texture_is_the_photo_s(view, shrunk):
    drawing = drawing_of(lambda y, x: y > 96 + 0 * x, shrunk)  # without grain
    filled = finished(carry(view, drawing, seed=0, workers=Workers(1)))

    def grain(pixels: np.ndarray, where: np.ndarray) -> float:
        steps = np.diff(pixels.mean(axis=2), axis=1)
        return float(steps[where[:, 1:] & where[:, :-1]].std())

    y, _ = np.mgrid[:SIDE, :SIDE]
    inside = view.hole & (np.abs(y - SIDE // 2) > 8)
    around = ~view.hole & (np.abs(y - SIDE // 2) > 8)
    assert grain(filled, inside) == pytest.approx(grain(view.pixels, around), rel=0.25)


def test_what_the_photo_has_nothing_alike_for_stays_as_drawn(view):
    def disc(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.hypot(y - 96, x - 96) < 16

    drawing = drawing_of(lambda y, x: y > 96)
    y, x = np.mgrid[:56, :56] * 2 + 41
    drawing.pixels[disc(y, x)] = BLUE
    filled = finished(carry(view, drawing, seed=0, workers=Workers(1)))
    y, x = np.mgrid[:SIDE, :SIDE]
    assert filled[np.hypot(y - 96, x - 96) < 12].mean(axis=0) == pytest.approx(BLUE, abs=0.1)
    # and with patches trusted whatever they are like, it goes
    blind = Carrying(alike=1e6, hold=0.0)
    filled = finished(carry(view, drawing, seed=0, workers=Workers(1), carrying=blind))
    assert filled[np.hypot(y - 96, x - 96) < 12].mean(axis=0)[2] < 0


def test_known_pixels_are_returned_as_they_were_and_values_stay_in_range(view, diagonal):
    assert diagonal.dtype == np.float32
    assert np.array_equal(diagonal[~view.hole], view.pixels[~view.hole])
    assert np.abs(diagonal[view.hole]).max() <= 1


def test_results_depend_on_the_seed_and_not_on_the_number_of_threads(view, diagonal):
    drawing = drawing_of(lambda y, x: x > y)
    assert np.array_equal(finished(carry(view, drawing, seed=0, workers=Workers(3))), diagonal)
    assert not np.array_equal(finished(carry(view, drawing, seed=1, workers=Workers(1))), diagonal)


def test_without_any_known_patch_the_drawing_itself_is_enlarged():
    hole = np.ones((12, 12), bool)
    hole[0] = False
    view = View(np.zeros((12, 12, 1), np.float32), hole)
    ramp = np.linspace(-1, 1, 6, dtype=np.float32)[:, None, None] * np.ones((1, 6, 1), np.float32)
    filled = finished(carry(view, Drawing(ramp, Box(0, 0, 12, 12)), seed=0, workers=Workers(1)))
    assert np.all(np.diff(filled[1:, 5, 0]) >= 0)
    assert filled[-1].min() == 1


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_drawn_ramp_is_the_same_ramp_at_every_scale(scale):
    """The pixel centres of the drawing, the view and its halvings all lie where they should."""
    box = Box(16, 8, 64, 96)
    y, x = np.mgrid[:48, :32]
    centres = np.stack([box.x + (x + 0.5) * 2, box.y + (y + 0.5) * 2], axis=2).astype(np.float32)
    width = 128 // scale
    rows, columns = np.mgrid[8 : 96 // scale - 4, 24 // scale : 72 // scale]
    found = Drawing(centres, box).at((rows * width + columns).ravel(), width, float(scale))
    inside = (rows.ravel() + 0.5) * scale > box.y + 1
    assert found[inside, 0] == pytest.approx(((columns + 0.5) * scale).ravel()[inside], abs=1e-3)
    assert found[inside, 1] == pytest.approx(((rows + 0.5) * scale).ravel()[inside], abs=1e-3)


def test_bilinear_agrees_with_its_slow_twin():
    rng = np.random.default_rng(3)
    image = rng.random((4, 5, 2), np.float32)
    y, x = rng.uniform(-1, 5, 60), rng.uniform(-1, 6, 60)
    found = bilinear(image, y, x)
    for i in range(60):
        total = np.zeros(2)
        row, column = min(max(y[i], 0), 3), min(max(x[i], 0), 4)
        for a in range(4):
            for b in range(5):
                total += image[a, b] * max(0, 1 - abs(row - a)) * max(0, 1 - abs(column - b))
        assert found[i] == pytest.approx(total, abs=1e-6)
