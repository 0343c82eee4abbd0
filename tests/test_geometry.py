"""Boxes are sets of pixels: every operation is checked against the set it stands for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eraser.geometry import Box, Size

numbers = st.integers(-30, 30)
boxes = st.builds(Box, numbers, numbers, st.integers(0, 30), st.integers(0, 30))
real_boxes = st.builds(Box, numbers, numbers, st.integers(1, 30), st.integers(1, 30))


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box.x, box.right) for y in range(box.y, box.bottom)}


@given(boxes, boxes)
def test_clamp_keeps_exactly_the_common_pixels(box, to):
    assert pixels(box.clamp(to)) == pixels(box) & pixels(to)
    assert box.meets(to) == bool(pixels(box) & pixels(to))
    assert box.clamp(to).width >= 0
    assert box.clamp(to).height >= 0


@given(real_boxes, real_boxes)
def test_union_is_the_smallest_box_around_both(box, other):
    union = box.union(other)
    both = pixels(box) | pixels(other)
    assert both <= pixels(union)
    for smaller in (
        Box(union.x + 1, union.y, union.width - 1, union.height),
        Box(union.x, union.y + 1, union.width, union.height - 1),
        Box(union.x, union.y, union.width - 1, union.height),
        Box(union.x, union.y, union.width, union.height - 1),
    ):
        assert not both <= pixels(smaller)
    assert box.contains(other) == (pixels(other) <= pixels(box))


@given(real_boxes, st.integers(0, 9), st.integers(0, 9))
def test_padding_is_undone_by_its_negative(box, across, down):
    padded = box.pad(across, down)
    assert padded.pad(-across, -down) == box
    assert padded.contains(box)
    assert box.pad(across) == box.pad(across, across)


@given(real_boxes, real_boxes)
def test_relative_to_shifts_by_the_origin(box, origin):
    moved = box.relative_to(origin)
    assert {(x + origin.x, y + origin.y) for x, y in pixels(moved)} == pixels(box)


@given(st.integers(1, 20), st.integers(1, 20), real_boxes)
def test_slices_take_the_same_pixels(width, height, box):
    size = Size(width, height)
    inside = box.clamp(size.box)
    marked = np.zeros((height, width), bool)
    marked[inside.slices] = True
    assert {(int(x), int(y)) for y, x in np.argwhere(marked)} == pixels(inside)
    assert int(marked.sum()) == inside.area
    assert size.area == marked.size


def test_printed_as_people_write_them():
    assert str(Size(640, 480)) == "640x480"
    assert str(Box(1, 2, 3, 4)) == "1,2,3,4"
    assert Box.between(1, 2, 4, 6) == Box(1, 2, 3, 4)
