"""A canvas refuses what cannot be painted, and its view shows engines nothing that must not be used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eraser.canvas import Canvas, Scale, copied, extend, opaque, row_blocks
from eraser.errors import EmptyHole, NothingKnown, OutOfRange, SizeMismatch, UnsupportedImage
from eraser.geometry import Box, Size


def hole_of(height: int, width: int, *boxes: Box) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    for box in boxes:
        hole[box.slices] = True
    return hole


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool"])
def test_every_integer_value_survives_the_way_there_and_back(dtype):
    top = 1 if dtype == "bool" else np.iinfo(dtype).max
    values = np.arange(top + 1).astype(dtype).reshape(1, -1, 1)
    scale = Scale.of(values, np.ones(values.shape[:2], bool))
    encoded = scale.encode(values)
    assert encoded.dtype == np.float32
    assert (encoded.min(), encoded.max()) == (-1, 1)
    assert np.array_equal(scale.decode(encoded), values)
    assert scale.decode(encoded).dtype == values.dtype


TOP = np.finfo(np.float64).max


@given(hnp.arrays(np.float64, 12, elements=st.floats(allow_nan=False, allow_infinity=False)))
@example(np.array([TOP] + [-1e292] * 11))
@example(np.array([TOP] + [-TOP] * 11))
@example(np.linspace(TOP * 0.9, TOP, 12))
def test_floats_of_any_range_come_back_within_float32(values):
    colour = values.reshape(3, 4, 1)
    scale = Scale.of(colour, np.ones((3, 4), bool))
    encoded = scale.encode(colour)
    assert np.isfinite(encoded).all()
    assert np.abs(encoded).max() <= 1
    away = np.abs(scale.decode(encoded) / 2 - colour / 2)
    assert (away <= scale.half * 1e-6 + np.abs(colour) * 1e-6).all()


def test_floats_within_0_and_1_use_that_range_and_others_their_own():
    known = np.ones((1, 2), bool)
    assert Scale.of(np.array([[[0.2], [0.4]]], np.float32), known).middle == 0.5
    wide = Scale.of(np.array([[[-3.0], [5.0]]], np.float32), known)
    assert (wide.middle, wide.half) == (1, 4)
    assert Scale.of(np.array([[[0], [200]]], np.int32), known).half == 127.5
    assert Scale.of(np.array([[[0], [256]]], np.int32), known).half == 32767.5


def test_view_hides_the_hole_clear_pixels_and_what_is_not_finite():
    colour = np.full((6, 8, 3), 0.25, np.float32)
    alpha = np.ones((6, 8), np.float32)
    alpha[0, 0] = 0
    alpha[5, 7] = np.nan
    colour[0, 0] = np.nan
    colour[2, 2] = np.inf
    canvas = Canvas(colour, hole_of(6, 8, Box(2, 2, 3, 1)), alpha)
    view, _ = canvas.view(canvas.size.box)
    expected = hole_of(6, 8, Box(2, 2, 3, 1), Box(0, 0, 1, 1), Box(7, 5, 1, 1))
    assert np.array_equal(view.hole, expected)
    assert (view.pixels[expected] == 0).all()
    assert (view.pixels[~expected] == -0.5).all()
    assert view.size == Size(8, 6)


def test_view_is_a_copy():
    colour = np.full((6, 8, 1), 9, np.uint8)
    canvas = Canvas(colour, hole_of(6, 8, Box(2, 2, 3, 1)))
    view, _ = canvas.view(Box(1, 1, 5, 4))
    view.pixels[:] = 0
    view.hole[:] = True
    assert (colour == 9).all()
    assert canvas.hole.sum() == 3


@pytest.mark.parametrize("box", [Box(0, 0, 9, 6), Box(-1, 0, 4, 4), Box(0, 0, 0, 4)])
def test_view_outside_the_canvas_is_refused(box):
    with pytest.raises(OutOfRange, match="8x6"):
        Canvas(np.zeros((6, 8, 1), np.uint8), hole_of(6, 8, Box(2, 2, 3, 1))).view(box)


def test_values_that_are_not_finite_are_counted_and_placed():
    colour = np.zeros((2000, 700, 3), np.float32)
    colour[1500, 600, 1] = np.nan
    colour[1501, 3] = np.inf
    with pytest.raises(UnsupportedImage, match=r"^2 of 1400000 pixels .*\(600, 1500\)"):
        Canvas(colour, hole_of(2000, 700, Box(0, 0, 3, 3)))
    Canvas(colour, hole_of(2000, 700, Box(600, 1500, 1, 1), Box(3, 1501, 1, 1)))


@pytest.mark.parametrize(
    ("colour", "hole", "alpha", "error", "words"),
    [
        ((6, 8, 3), (5, 8), None, SizeMismatch, "hole is 8x5, the image 8x6"),
        ((6, 8, 3), (6,), None, SizeMismatch, "8x6"),
        ((6, 8, 2), (6, 8), None, UnsupportedImage, "(6, 8, 2)"),
        ((6, 8), (6, 8), None, UnsupportedImage, "(6, 8)"),
        ((0, 8, 3), (0, 8), None, UnsupportedImage, "8x0"),
        ((6, 8, 3), (6, 8), (6, 9), SizeMismatch, "(6, 9)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(colour, hole, alpha, error, words):
    with pytest.raises(error) as caught:
        Canvas(np.zeros(colour, np.uint8), np.ones(hole, bool), None if alpha is None else np.ones(alpha, np.uint8))
    assert words in str(caught.value)


def test_nothing_to_paint_and_nothing_to_paint_from():
    colour = np.zeros((6, 8, 3), np.uint8)
    with pytest.raises(EmptyHole, match="none of the image's 48 pixels"):
        Canvas(colour, np.zeros((6, 8), bool))
    with pytest.raises(NothingKnown, match="no pixel of the 8x6"):
        Canvas(colour, np.ones((6, 8), bool))
    hole = hole_of(6, 8, Box(0, 0, 8, 3))
    with pytest.raises(NothingKnown, match="no pixel that can be seen"):
        Canvas(colour, hole, (hole * 255).astype(np.uint8))
    with pytest.raises(UnsupportedImage, match="uint8, not bool"):
        Canvas(colour, hole.astype(np.uint8))
    with pytest.raises(UnsupportedImage, match="complex"):
        Canvas(colour.astype(complex), hole)


@pytest.mark.parametrize("sides", [(3, 0, 0, 0), (0, 2, 0, 0), (0, 0, 5, 0), (0, 0, 0, 4), (1, 2, 3, 4)])
def test_extending_makes_exactly_the_margins_the_hole(sides, rng):
    left, top, right, bottom = sides
    colour = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    alpha = rng.integers(1, 256, (6, 8)).astype(np.uint8)
    canvas = extend(colour, alpha, left=left, top=top, right=right, bottom=bottom)
    assert canvas.size == Size(8 + left + right, 6 + top + bottom)
    inside = Box(left, top, 8, 6).slices
    assert np.array_equal(canvas.colour[inside], colour)
    assert np.array_equal(canvas.alpha[inside], alpha)
    assert not canvas.hole[inside].any()
    assert canvas.hole.sum() == canvas.size.area - 48
    assert (canvas.alpha[canvas.hole] == 255).all()


def test_extending_refuses_nothing_and_less():
    colour = np.zeros((6, 8, 3), np.uint8)
    with pytest.raises(OutOfRange, match="top is -1"):
        extend(colour, top=-1)
    with pytest.raises(EmptyHole, match="8x6"):
        extend(colour)


def test_row_blocks_cover_every_row_once():
    for shape in ((1, 1), (5000, 3000, 3), (3, 10**8), (0, 4)):
        rows = [row for block in row_blocks(shape) for row in range(block.start, block.stop)]
        assert rows == list(range(shape[0]))


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 3), (4000, 3000, 3), (2, 20_000_000)], ids=str)
@pytest.mark.parametrize("axes", ["as they are", "turned"])
def test_a_copy_lies_in_memory_as_its_original_and_is_apart_from_it(shape, axes):
    original = np.resize(np.arange(251, dtype=np.uint8), shape)
    original = original.T if axes == "turned" else original
    copy = copied(original)
    np.testing.assert_array_equal(copy, original)
    assert copy.strides == original.strides
    assert not np.shares_memory(copy, original)


def test_opaque_hides_everything():
    assert [opaque(dtype) for dtype in ("uint8", "uint16", "float32", "bool")] == [255, 65535, 1.0, True]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_what_is_erased_is_there_for_the_judge_and_a_margin_or_what_cannot_be_seen_is_not():
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    hole = hole_of(20, 30, Box(8, 6, 9, 7))
    box = Box(4, 2, 20, 15)
    view, scale = Canvas(colour, hole).view(box)
    assert (view.pixels[view.hole] == 0).all()
    assert view.erased is not None
    assert np.array_equal(scale.decode(view.erased(Box(3, 3, 10, 8))), colour[5:13, 7:17])
    assert Canvas(colour, hole, erases=False).view(box)[0].erased is None
    assert extend(colour, left=5).view(Box(0, 0, 20, 20))[0].erased is None
    clear = np.full((20, 30), 255, np.uint8)
    clear[8, 10] = 0
    assert Canvas(colour, hole, clear).view(box)[0].erased is None
    clear[8, 10], clear[19, 29] = 255, 0  # beyond the box
    assert Canvas(colour, hole, clear).view(box)[0].erased is not None
    broken = colour.astype(np.float32) / 255
    broken[8, 10, 0] = np.nan
    assert Canvas(broken, hole).view(box)[0].erased is None
