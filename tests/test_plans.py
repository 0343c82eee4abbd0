"""A fill from the planned pixels alone is the fill of the whole picture, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eraser
from eraser import masks
from eraser.canvas import opaque
from eraser.errors import EmptyHole, NothingKnown, OutOfRange, SizeMismatch
from eraser.geometry import Box, Size
from eraser.layouts import Layout, split
from eraser.plans import Plan, apart, plan_erase, plan_extend

LAYOUTS = {1: Layout(1), 2: Layout(1, has_alpha=True), 3: Layout(3), 4: Layout(3, has_alpha=True)}


def picture(height: int, width: int, bands: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Four different quarters, grain; floats beyond 0...1; alpha with a transparent corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = 0.2 + 0.3 * (x > width / 2) + 0.2 * (y > height / 2) + 0.1 * np.sin(x / 5 + y / 11)
    values = base[:, :, None] * rng.uniform(0.6, 1, bands) + rng.normal(0, 0.04, (height, width, bands))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = values * 1.6 - 0.3
    else:
        values = np.clip(values, 0, 1) * opaque(kind)
    result = values.astype(kind)
    if bands in (2, 4):
        result[:, :, -1] = opaque(kind)
        result[: height // 3, : width // 3, -1] = 0
    return result


def bring(plan: Plan, whole: np.ndarray, at: Box | None = None) -> np.ndarray:
    """Only the pixels that the plan asks for; all others are spoilt. at: where `whole` lies in the canvas."""
    brought = np.zeros((plan.area.height, plan.area.width, whole.shape[2]), whole.dtype)
    for box in plan.boxes:
        brought[box.relative_to(plan.area).slices] = whole[(box.relative_to(at) if at else box).slices]
    return brought


def painted(plan: Plan, brought: np.ndarray, seed: int) -> np.ndarray:
    """The plan's layer."""
    colour, alpha = split(brought, LAYOUTS[brought.shape[2]])
    steps = eraser.Eraser("patch").paint_steps(plan.canvas(colour, alpha), plan.parts, seed=seed)
    try:
        while True:
            next(steps)
    except StopIteration as finished:
        return plan.layer(finished.value)


def check(plan: Plan, layer: np.ndarray, whole: np.ndarray) -> None:
    """The layer shows what the whole result shows in the hole, and nothing elsewhere."""
    colours = layer.shape[2] - 1
    inside = plan.mask > 0
    assert np.array_equal(layer[inside, :-1], whole[plan.target.slices][inside, :colours])
    assert not layer[~inside].any()
    assert np.array_equal(layer[:, :, -1] > 0, inside)
    full = plan.mask == 255
    assert (layer[full, -1] == opaque(layer.dtype)).all()


CASES = {
    "middle": [Box(150, 120, 20, 15)],
    "border": [Box(0, 200, 15, 20)],
    "corner": [Box(585, 380, 15, 20)],
    "far apart": [Box(20, 20, 12, 14), Box(560, 360, 20, 16)],
    "a line across": [Box(10, 180, 580, 2)],
}


@pytest.mark.parametrize(
    ("case", "dtype", "bands"),
    [("middle", dtype, bands) for dtype in ("u1", "u2", "f4") for bands in (1, 2, 3, 4)]
    + [(case, *kind) for case in list(CASES)[1:] for kind in (("u1", 3), ("f4", 2))],
)
def test_the_planned_pixels_are_enough_for_the_same_fill(case: str, dtype: str, bands: int) -> None:
    size = Size(600, 400)
    image = picture(size.height, size.width, bands, dtype)
    mask = np.zeros((size.height, size.width), np.uint8)
    for box in CASES[case]:
        mask[box.slices] = 255
    around = Box(0, 0, 0, 0)
    for box in CASES[case]:
        around = box if not around.area else around.union(box)
    plan = plan_erase(mask[around.slices], around, size)
    check(plan, painted(plan, bring(plan, image), 3), eraser.erase(image, mask, seed=3))


def test_windows_that_overlap_see_what_was_painted_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eraser.window.AMPLE_WINDOW", 0)  # cut the line as if the picture were many times larger
    monkeypatch.setattr("eraser.window.SPRAWL", 1.0)
    size, box = Size(1500, 420), Box(30, 200, 1440, 2)
    image = picture(size.height, size.width, 3, "u1")
    plan = plan_erase(np.full((box.height, box.width), 255, np.uint8), box, size, 0)
    assert len(plan.parts) > 1
    assert len(plan.boxes) == 1
    check(plan, painted(plan, bring(plan, image), 1), eraser.erase(image, box, seed=1, grow=0))


@pytest.mark.parametrize(("dtype", "size"), [("f2", Size(61, 47)), ("f8", Size(900, 310)), ("u1", Size(333, 1001))])
def test_other_depths_and_sizes_that_fit_no_grid(dtype: str, size: Size) -> None:
    image = picture(size.height, size.width, 3, dtype, seed=1)
    box = Box(size.width // 2, size.height // 3, 17, 13)
    mask = np.zeros((size.height, size.width), np.uint8)
    mask[box.slices] = 255
    plan = plan_erase(mask[box.slices], box, size, 5.5)
    check(plan, painted(plan, bring(plan, image), 0), eraser.erase(image, mask, grow=5.5))


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("sides", [(40, 0, 0, 0), (0, 0, 0, 33), (20, 30, 40, 10)])
def test_extending_needs_no_pixels_beyond_the_picture(sides: tuple[int, int, int, int], bands: int) -> None:
    image = picture(260, 300, bands, "u1")
    left, top, right, bottom = sides
    keep = Box(left, top, 300, 260)
    plan = plan_extend(Size(300 + left + right, 260 + top + bottom), keep)
    assert all(keep.contains(box) for box in plan.boxes)
    whole = eraser.outpaint(image, left=left, top=top, right=right, bottom=bottom, seed=2)
    check(plan, painted(plan, bring(plan, image, keep), 2), whole)


def test_a_small_hole_in_a_large_picture_brings_its_window_only() -> None:
    size = Size(4000, 3000)
    box = Box(1800, 1200, 390, 308)  # 1 % of 12 megapixels
    plan = plan_erase(np.full((box.height, box.width), 255, np.uint8), box, size)
    assert sum(part.area for part in plan.boxes) < size.area / 8


def test_far_holes_bring_two_windows_and_not_what_lies_between() -> None:
    size = Size(4000, 3000)
    mask = np.zeros((3000, 4000), np.uint8)
    mask[10:30, 10:40] = mask[2900:2950, 3900:3950] = 255
    plan = plan_erase(mask, size.box, size)
    assert len(plan.boxes) == 2
    assert sum(box.area for box in plan.boxes) < size.area / 20


def test_soft_values_stay_where_the_selection_is_not_widened() -> None:
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    plan = plan_erase(mask, Box(50, 40, 30, 20), Size(200, 150), 0)
    wanted, got = np.zeros((2, 150, 200), np.uint8)
    wanted[40:60, 50:80] = mask
    got[plan.target.slices] = plan.mask
    assert np.array_equal(got[wanted > 0], wanted[wanted > 0])
    assert set(np.unique(got[wanted == 0])) <= {0, 255}  # 255 where others enclose it


def test_a_soft_ring_is_covered_wholly_inside() -> None:
    y, x = np.mgrid[:60, :60]
    distance = np.hypot(y - 29.5, x - 29.5)
    mask = np.clip(255 - 60 * np.abs(distance - 24), 0, 255).astype(np.uint8)
    plan = plan_erase(mask, Box(20, 20, 60, 60), Size(120, 110), 0)
    inside = (distance < 18)[plan.target.relative_to(Box(20, 20, 60, 60)).slices]
    assert (plan.mask[inside] == 255).all()
    assert 0 < plan.mask[plan.mask > 0].min() < 255


def widened(mask: np.ndarray, radius_of: np.ndarray) -> np.ndarray:
    """The slow twin: every pixel offers its value to all within its own radius."""
    result = mask.copy()
    height, width = mask.shape
    rows, columns = np.mgrid[:height, :width]
    for y, x in np.argwhere(mask > 0):
        near = (rows - y) ** 2 + (columns - x) ** 2 <= radius_of[y, x] ** 2
        result[near] = np.maximum(result[near], mask[y, x])
    return result


@settings(max_examples=60)
@given(
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    grow=st.sampled_from([0, 0.7, 1, 1.5, 2.9, 4, 30]),
    seed=st.integers(0, 10**6),
)
def test_widened_values_agree_with_the_slow_twin(height: int, width: int, grow: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 256, (height, width), dtype=np.uint8) * (rng.random((height, width)) < 0.3)
    mask = mask.astype(np.uint8)
    radius = np.full(mask.shape, grow if grow >= 1 else 0)
    assert np.array_equal(masks.soft_alpha(mask, grow), widened(mask, radius))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), grow=st.sampled_from(["auto", 0, 3]))
def test_what_covers_is_there_exactly_where_the_hole_is(seed: int, grow: masks.Grow) -> None:
    rng = np.random.default_rng(seed)
    size = Size(160, 120)
    mask = np.zeros((size.height, size.width), np.uint8)
    for _ in range(3):
        x, y, side = rng.integers(0, 130), rng.integers(0, 90), rng.integers(1, 30)
        mask[y : y + side, x : x + side] = rng.integers(1, 256, mask[y : y + side, x : x + side].shape)
    plan = plan_erase(mask, size.box, size, grow)
    hole = masks.prepare(mask, size, grow)
    covered = np.zeros_like(hole)
    covered[plan.target.slices] = plan.mask > 0
    assert np.array_equal(covered, hole)
    assert np.array_equal(plan.hole, hole[plan.area.slices])


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 12)] * 2), min_size=1, max_size=12))
def test_boxes_apart_hold_all_and_overlap_nowhere(boxes: list[tuple[int, int, int, int]]) -> None:
    count = np.zeros((50, 50), int)
    for box in apart(Box(*numbers) for numbers in boxes):
        count[box.slices] += 1
    assert count.max() == 1
    assert all((count[Box(*numbers).slices] == 1).all() for numbers in boxes)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: plan_erase(np.zeros((2, 2), np.uint8), Box(1, 1, 2, 2), Size(9, 9)), EmptyHole),
        (lambda: plan_erase(np.ones((2, 3), np.uint8), Box(1, 1, 2, 2), Size(9, 9)), SizeMismatch),
        (lambda: plan_erase(np.ones((2, 2), np.uint8), Box(8, 8, 2, 2), Size(9, 9)), OutOfRange),
        (lambda: plan_erase(np.ones((9, 9), np.uint8), Box(0, 0, 9, 9), Size(9, 9)), NothingKnown),
        (lambda: plan_erase(np.ones((2, 2), np.uint8), Box(3, 3, 2, 2), Size(9, 9), -1), OutOfRange),
        (lambda: plan_erase(np.full((2, 2), 9, np.uint8), Box(3, 3, 2, 2), Size(9, 9), float("nan")), OutOfRange),
        (lambda: plan_extend(Size(9, 9), Box(0, 0, 9, 9)), EmptyHole),
        (lambda: plan_extend(Size(9, 9), Box(0, 0, 10, 9)), OutOfRange),
    ],
)
def test_what_cannot_be_planned_is_refused(call, error) -> None:
    with pytest.raises(error) as caught:
        call()
    assert caught.value.hint
