"""Windows follow the hole: every hole pixel has its place, and the work is that of the hole, not of the image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eraser import window
from eraser.geometry import Box, Size
from eraser.window import block_map, context, tighten, windows


@st.composite
def holes(draw) -> np.ndarray:
    """Blobs, lines and specks, also at the borders: at least one pixel."""
    height, width = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    hole = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(1, 8))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        kind = draw(st.sampled_from(["speck", "blob", "row", "column", "slanted"]))
        reach = draw(st.integers(1, 400))
        if kind == "speck":
            hole[y, x] = True
        elif kind == "blob":
            hole[y : y + reach // 4 + 1, x : x + reach // 3 + 1] = True
        elif kind == "row":
            hole[y, x : x + reach] = True
        elif kind == "column":
            hole[y : y + reach, x] = True
        else:
            steps = np.arange(min(reach, height - y, width - x))
            hole[y + steps, x + steps] = True
    return hole


@given(holes())
@settings(max_examples=150)
def test_every_hole_pixel_lies_in_exactly_one_target(hole):
    before = hole.copy()
    size = Size(hole.shape[1], hole.shape[0])
    covered = np.zeros(hole.shape, int)
    found = windows(hole)
    for part in found:
        covered[part.target.slices] += 1
        assert part.hole_pixels == hole[part.target.slices].sum() > 0
        assert part.target == tighten(hole, part.target)  # no row or column more than needed
        assert part.box.contains(part.target)
        assert size.box.contains(part.box)
    assert (covered[hole] == 1).all()
    assert covered.max() == 1
    assert [part.hole_pixels for part in found] == sorted((part.hole_pixels for part in found), reverse=True)
    assert np.array_equal(hole, before)
    assert windows(hole) == found


@given(holes())
@settings(max_examples=60)
def test_windows_together_cost_no_more_than_the_image_or_a_few_small_windows(hole):
    area = sum(part.box.area for part in windows(hole))
    one_speck = (2 * window.LEAST_CONTEXT + 1) ** 2
    assert area <= 1.5 * max(hole.size, 2 * one_speck + window.SPRAWL * hole.sum())


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 2999), st.integers(0, 2999), st.integers(1, 3000),
    st.integers(1, 3000),
)  # fmt: skip
def test_context_is_as_wide_at_the_border_as_in_the_middle(width, height, x, y, across, down):
    size = Size(width, height)
    target = Box(x, y, across, down).clamp(size.box)
    if not target.area:
        return
    box = context(target, size)
    assert size.box.contains(box)
    assert box.contains(target)
    vast = 100_000
    middle = context(Box(vast // 2, vast // 2, target.width, target.height), Size(vast, vast))
    assert (box.width, box.height) == (min(width, middle.width), min(height, middle.height))


class Counting(np.ndarray):
    """Counts the pixels of all parts that are cut out of it."""

    looked_at = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        if isinstance(part, np.ndarray):
            Counting.looked_at += part.size
        return part


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setattr(Counting, "looked_at", 0)
    return Counting


@pytest.mark.parametrize("place", [(7000, 5000), (0, 0), (13_850, 14_150)], ids=["middle", "top left", "bottom right"])
def test_a_small_hole_in_200_megapixels_costs_what_a_small_hole_costs(place, counting):
    hole = np.zeros((14_000, 14_300), bool)
    hole[place[0] : place[0] + 100, place[1] : place[1] + 150] = True
    parts = windows(hole.view(counting))
    assert [part.target for part in parts] == [Box(place[1], place[0], 150, 100)]
    small = np.zeros((3000, 3000), bool)
    small[1000:1100, 1000:1150] = True
    assert parts[0].box.area == windows(small)[0].box.area
    # beyond the one pass that finds the rows: these rows, and the hole itself a few times
    assert counting.looked_at < (100 + 2 * window.BLOCK) * 14_300 + 40 * 150 * 100


def test_a_thin_line_across_a_large_image_is_cut_in_proportion():
    steps = np.arange(8000)
    areas = {}
    for length in (4000, 8000):
        hole = np.zeros((length, length), bool)
        for offset in (-1, 0, 1):
            hole[steps[1 : length - 1], steps[1 : length - 1] + offset] = True
        parts = windows(hole)
        areas[length] = sum(part.box.area for part in parts)
        assert areas[length] < window.SPRAWL * hole.sum() + 3 * len(parts) * (2 * window.LEAST_CONTEXT + 128) ** 2
    assert areas[8000] < 0.4 * 8000**2
    assert areas[8000] < 2.6 * areas[4000]  # grows with the line's length, not with the image's area


def test_neighbouring_pieces_of_a_cut_line_see_each_other():
    hole = np.zeros((800, 12_000), bool)
    hole[200:203, 50:11_950] = True
    parts = sorted(windows(hole), key=lambda part: part.target.x)
    assert len(parts) > 1
    for one, other in pairwise(parts):
        assert other.target.x == one.target.right
        assert one.box.contains(Box(other.target.x, 200, 60, 3))


def test_near_specks_share_a_window_and_far_ones_do_not():
    near = np.zeros((3000, 3000), bool)
    near[1000:1200:40, 1000:1200:40] = True
    assert len(windows(near)) == 1
    far = np.zeros((3000, 3000), bool)
    far[(100, 100, 2900, 2900), (100, 2900, 100, 2900)] = True
    assert len(windows(far)) == 4
    assert sum(part.box.area for part in windows(far)) < far.size / 8


def test_specks_everywhere_do_not_cost_more_than_the_whole_image():
    hole = np.random.default_rng(0).random((1600, 1800)) < 1e-4
    hole[800, 900] = True
    assert sum(part.box.area for part in windows(hole)) <= hole.size


def test_dust_on_a_large_scan_does_not_compare_every_speck_with_every_other(monkeypatch):
    compared = 0

    def counted(*arguments):
        nonlocal compared
        compared += 1
        return context(*arguments)

    monkeypatch.setattr(window, "context", counted)
    hole = np.zeros((9600, 9600), bool)
    hole[300::600, 300::600] = True
    assert len(windows(hole)) == 16**2
    assert compared < 20 * 16**2


@pytest.mark.parametrize("place", [(0, 0), (0, 29), (19, 0), (19, 29), (10, 0), (0, 10)])
def test_one_pixel_holes_at_the_border_are_found(place):
    hole = np.zeros((20, 30), bool)
    hole[place] = True
    (part,) = windows(hole)
    assert part.target == Box(place[1], place[0], 1, 1)
    assert part.box == Box(0, 0, 30, 20)


def test_no_hole_no_windows():
    assert windows(np.zeros((50, 70), bool)) == []


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.randoms(use_true_random=False))
def test_the_block_map_marks_blocks_with_a_hole_pixel(height, width, block, random):
    hole = np.array([[random.random() < 0.05 for _ in range(width)] for _ in range(height)])
    marked = block_map(hole, block)
    assert marked.shape == (-(-height // block), -(-width // block))
    for row in range(marked.shape[0]):
        for column in range(marked.shape[1]):
            part = hole[row * block : (row + 1) * block, column * block : (column + 1) * block]
            assert marked[row, column] == part.any()


@given(st.integers(1, 25), st.integers(1, 25), st.randoms(use_true_random=False))
def test_tightening_leaves_no_empty_row_or_column_at_the_edge(height, width, random):
    hole = np.array([[random.random() < 0.03 for _ in range(width)] for _ in range(height)])
    box = Box(random.randrange(width), random.randrange(height), width, height).clamp(Box(0, 0, width, height))
    places = np.argwhere(hole[box.slices])
    tight = tighten(hole, box)
    if not len(places):
        assert tight is None
        return
    top, left = places.min(axis=0)
    bottom, right = places.max(axis=0) + 1
    assert tight == Box.between(box.x + int(left), box.y + int(top), box.x + int(right), box.y + int(bottom))
