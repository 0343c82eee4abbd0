"""Composing writes the hole's pixels and nothing else, whatever the type and the filling."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.canvas import Canvas
from eraser.compose import compose
from eraser.errors import EngineError
from eraser.geometry import Box

TYPES = ["uint8", "uint16", ">u2", "int32", "float16", "float32", "float64", ">f4", "bool"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def random_canvas(rng: np.random.Generator, dtype: str, channels: int = 3) -> Canvas:
    values = rng.random((40, 50, channels))
    colour = values < 0.5 if dtype == "bool" else (values * (3 if "f" in dtype else 250)).astype(dtype)
    hole = rng.random((40, 50)) < 0.1
    hole[10:25, 12:30] = True
    if colour.dtype.kind == "f":
        colour[20, 20] = np.nan
    return Canvas(colour, hole)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("feather", [0, 3])
def test_pixels_outside_the_hole_keep_their_bits(dtype, channels, feather, rng):
    canvas = random_canvas(rng, dtype, channels)
    before = canvas.colour.tobytes()
    box = Box(5, 3, 40, 30)
    _, scale = canvas.view(box)
    filling = rng.uniform(-1.3, 1.3, (30, 40, channels)).astype(np.float32)
    filling[~canvas.hole[box.slices]] = np.nan
    result = compose(canvas.colour, canvas.hole, filling, box, scale=scale, feather=feather)
    touched = np.zeros_like(canvas.hole)
    touched[box.slices] = canvas.hole[box.slices]
    assert result.dtype == canvas.colour.dtype
    assert result[~touched].tobytes() == canvas.colour[~touched].tobytes()
    assert canvas.colour.tobytes() == before
    if result.dtype.kind == "f":
        assert np.isfinite(result[touched]).all()
    if not feather:
        expected = scale.decode(filling[canvas.hole[box.slices]])
        assert np.array_equal(result[touched], expected.astype(result.dtype))


def test_integers_are_rounded_and_clipped():
    colour = np.full((3, 3, 1), 7, np.uint8)
    hole = np.zeros((3, 3), bool)
    hole[1] = True
    canvas = Canvas(colour, hole)
    _, scale = canvas.view(canvas.size.box)
    filling = np.zeros((3, 3, 1), np.float32)
    filling[1, :, 0] = (-2, 100.6 / 127.5 - 1, 5)
    result = compose(colour, hole, filling, canvas.size.box, scale=scale)
    assert result[1, :, 0].tolist() == [0, 101, 255]


def test_feather_fades_in_from_the_rim_and_is_whole_inside(rng):
    colour = np.full((21, 41, 1), 100, np.uint8)
    hole = np.zeros((21, 41), bool)
    hole[:, 20:] = True
    canvas = Canvas(colour, hole)
    box = Box(15, 0, 26, 21)
    _, scale = canvas.view(box)
    filling = np.ones((21, 26, 1), np.float32)
    result = compose(colour, hole, filling, box, scale=scale, feather=3)
    row = result[10, 18:26, 0].astype(int)
    assert row.tolist() == [100, 100, 139, 178, 216, 255, 255, 255]


def test_the_edge_of_the_window_is_no_rim():
    colour = np.full((20, 40, 1), 100, np.uint8)
    hole = np.zeros((20, 40), bool)
    hole[:, 10:] = True
    canvas = Canvas(colour, hole)
    box = Box(20, 0, 20, 20)
    _, scale = canvas.view(box)
    result = compose(colour, hole, np.ones((20, 20, 1), np.float32), box, scale=scale, feather=4)
    assert (result[:, 20:] == 255).all()


def test_out_is_written_in_place():
    colour = np.zeros((4, 5, 1), np.uint8)
    hole = np.zeros((4, 5), bool)
    hole[1, 1] = True
    canvas = Canvas(colour, hole)
    _, scale = canvas.view(canvas.size.box)
    target = colour.copy()
    result = compose(
        colour, hole, np.ones((4, 5, 1), np.float32), canvas.size.box, scale=scale, out=target
    )  # fmt: skip
    assert result is target
    assert target.sum() == 255


def test_faulty_engines_are_named():
    colour = np.zeros((4, 5, 1), np.uint8)
    hole = np.zeros((4, 5), bool)
    hole[1, 1:3] = True
    canvas = Canvas(colour, hole)
    _, scale = canvas.view(canvas.size.box)
    with pytest.raises(EngineError, match=r"\(4, 5, 3\)"):
        compose(colour, hole, np.zeros((4, 5, 3), np.float32), canvas.size.box, scale=scale)
    filling = np.zeros((4, 5, 1), np.float32)
    filling[1, 1] = np.nan
    with pytest.raises(EngineError, match="1 of 2 pixels"):
        compose(colour, hole, filling, canvas.size.box, scale=scale)
    assert not colour.any()
