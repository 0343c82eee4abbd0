"""Every door's mask becomes one hole: (H, W) bool, True where something must be painted.

A hole is worked on by its runs (the stretches of True in each row), so that finding its regions, filling its rings
and growing it cost what its outline costs, not what the image costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from eraser.canvas import copied, opaque, row_blocks
from eraser.errors import OutOfRange
from eraser.geometry import Box, Size
from eraser.mask_kinds import Marks, opened

SOFT_FLOOR = 1 / 255  # floats above this count as painted
LOSSY_FLOOR = 1 / 4  # lossy files: compression rings around white strokes, at poor quality up to a fifth of white
GROW_SHARE, GROW_LEAST, GROW_MOST = 0.02, 2, 64  # "auto": share of the square root of a region's area, pixels

_MOST_LOOPS = 50_000  # runs painted one by one

Grow = Literal["auto"] | float


@dataclass(frozen=True, slots=True)
class Region:
    """A connected part of a hole (pixels that touch at a corner are connected)."""

    box: Box
    area: int  # hole pixels


def prepare(mask: Any, size: Size, grow: Grow = "auto", *, rings: bool = True) -> np.ndarray:
    """What most callers want: to_hole, then fill_rings, then grow, with one (H, W) array for all three."""
    hole = to_hole(mask, size)
    if hole is mask:
        hole = copied(hole) if hole.flags.c_contiguous else hole.copy()  # what follows goes by rows
    if rings:
        _fill_rings(hole)
    _grow(hole, grow)
    return hole


def soft_alpha(mask: np.ndarray, grow: Grow = "auto") -> np.ndarray:
    """How strongly a filling covers what it replaces, for a mask with soft rims: (H, W) uint8, above 0 exactly where
    `grow` puts the hole of `mask > 0`.

    Every value reaches as much further as the hole grows, so that a soft rim moves outward as it is.
    """
    _check_grow(grow)
    result = mask.copy()
    runs = _runs(mask > 0)
    if len(runs.row) and (isinstance(grow, str) or grow >= 1):
        radius = _radius(runs, grow)
        for reach in np.unique(radius).tolist():
            some = radius == reach
            part = np.zeros(mask.shape, np.bool_)
            _paint(part, runs.row[some], runs.start[some], runs.stop[some])
            np.maximum(result, _spread(np.where(part, mask, np.uint8(0)), reach), out=result)
    return result


def to_hole(mask: Any, size: Size) -> np.ndarray:
    """The hole (H, W) bool that a mask of any kind means; a bool (H, W) array is returned as it is.

    A mask is a Box, a Pillow image of any mode, a numpy array (H, W) or (H, W, bands), a path or a Photo.
    Where it has alpha that varies, painted (not fully transparent) pixels are the hole; otherwise everything that is
    not black, so soft edges belong to the hole. Floats must exceed 1/255. Masks in lossy files must be brighter than
    a quarter of white, because compression speckles the black around a stroke.
    Raises SizeMismatch unless the mask has this size; UnsupportedImage, DamagedImage, OutOfRange.
    """
    if isinstance(mask, Box):
        return from_box(mask, size)
    marks = opened(mask, size)
    return marks.values if marks.values.dtype == np.bool_ and marks.values.ndim == 2 else _painted(marks)


def from_box(box: Box, size: Size) -> np.ndarray:
    """The part of the box inside the image as a hole. Raises OutOfRange where there is none."""
    inside = box.clamp(size.box)
    if box.width <= 0 or box.height <= 0 or inside.area == 0:
        raise OutOfRange(
            f"the box {box} (x, y, width, height) has no pixel in the {size} image",
            hint="count pixels from the top left corner",
        )
    hole = np.zeros((size.height, size.width), np.bool_)
    hole[inside.slices] = True
    return hole


def from_polygon(points: Sequence[tuple[float, float]], size: Size) -> np.ndarray:
    """The polygon through these (x, y) corners, its outline included, as a hole.

    Raises OutOfRange with fewer than three corners, corners that are no numbers, or no pixel inside the image.
    """
    corners = [(float(x), float(y)) for x, y in points]
    if len(corners) < 3:
        raise OutOfRange(f"the polygon has {len(corners)} corners", hint="give at least three")
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in corners):
        raise OutOfRange("a corner of the polygon is not a finite number", hint="give x,y pairs in pixels")
    from PIL import Image, ImageDraw

    xs, ys = zip(*corners, strict=True)
    # far outside everything is the same, and Pillow draws with 32-bit numbers
    near = max(size.width, size.height) * 16
    box = Box.between(
        math.floor(max(min(xs), -near)),
        math.floor(max(min(ys), -near)),
        math.ceil(min(max(xs), near)) + 1,
        math.ceil(min(max(ys), near)) + 1,
    ).clamp(size.box)
    if box.area == 0:
        raise OutOfRange(f"the polygon has no pixel in the {size} image", hint="count pixels from the top left corner")
    drawing = Image.new("L", (box.width, box.height))
    ImageDraw.Draw(drawing).polygon(
        [(min(max(x, -near), near) - box.x, min(max(y, -near), near) - box.y) for x, y in corners], fill=1, outline=1
    )
    hole = np.zeros((size.height, size.width), np.bool_)
    hole[box.slices] = np.asarray(drawing) > 0
    return hole


def from_colour(pixels: np.ndarray, colour: Sequence[float], tolerance: float = 10) -> np.ndarray:
    """Where (H, W, C) pixels have this colour, each channel within the tolerance, as a hole: for painted-in marks.

    colour has C numbers (or one for grey pixels and three otherwise); it and the tolerance are in 0...255 whatever
    the pixels' type. Raises OutOfRange.
    """
    wanted = np.asarray(colour, np.float64).reshape(-1)
    if not 0 <= tolerance <= 255:
        raise OutOfRange(f"the tolerance is {tolerance}", hint="give 0 to 255")
    if not (np.isfinite(wanted).all() and (wanted >= 0).all() and (wanted <= 255).all()):
        raise OutOfRange(f"the colour {tuple(wanted.tolist())} leaves 0...255", hint="give red,green,blue")
    channels = pixels.shape[2]
    if channels == 1 and len(set(wanted.tolist())) == 1:
        wanted = wanted[:1]
    if len(wanted) != channels:
        raise OutOfRange(
            f"a colour of {len(wanted)} numbers does not fit an image of {channels} channels",
            hint=f"give {channels} numbers",
        )
    unit = float(opaque(pixels.dtype)) / 255
    low, high = (wanted - tolerance) * unit, (wanted + tolerance) * unit
    hole = np.empty(pixels.shape[:2], np.bool_)
    for rows in row_blocks(pixels.shape):
        inside = np.ones(hole[rows].shape, np.bool_)
        for channel in range(channels):
            values = pixels[rows, :, channel]
            inside &= (values >= low[channel]) & (values <= high[channel])
        hole[rows] = inside
    return hole


def regions(hole: np.ndarray) -> list[Region]:
    """The hole's connected parts, from top to bottom."""
    runs = _runs(hole)
    labels, count = _connect(runs, diagonal=True)
    boxes = _boxes(runs, labels, count)
    areas = np.bincount(labels, runs.stop - runs.start, count).astype(np.int64)
    return [Region(box, int(area)) for box, area in zip(boxes, areas, strict=True)]


def fill_rings(hole: np.ndarray) -> np.ndarray:
    """A copy with every area that a region of the hole encloses filled in.

    What touches the image's border is not enclosed. A region that touches all four borders is a frame or a net, not
    a ring drawn round something, and its inside stays.
    """
    filled = hole.copy()
    _fill_rings(filled)
    return filled


def grow(hole: np.ndarray, amount: Grow = "auto") -> np.ndarray:
    """A copy with every pixel added that lies within `amount` pixels (Euclidean, between centres) of the hole.

    "auto" takes for each region 2 % of the square root of its area, from 2 to 64 pixels: enough for the blended rim
    of an object cut out closely, and little for a thin stroke. Raises OutOfRange for negative amounts.
    """
    grown = hole.copy()
    _grow(grown, amount)
    return grown


@dataclass(frozen=True, slots=True)
class _Runs:
    """Stretches of True, sorted by row, then column: row, start and stop (first column after), each (N,) int64."""

    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def _runs(hole: np.ndarray) -> _Runs:
    height, width = hole.shape
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for rows in row_blocks((height, width)):
        # most of a large mask is empty; one look at whole rows is many times quicker than comparing neighbours
        used = np.flatnonzero(hole[rows].any(axis=1))
        if not used.size:
            continue
        first = rows.start + int(used[0])
        block = hole[first : rows.start + int(used[-1]) + 1]
        edges = np.zeros((block.shape[0], width + 1), np.bool_)
        np.not_equal(block[:, 1:], block[:, :-1], out=edges[:, 1:width])
        edges[:, 0], edges[:, width] = block[:, 0], block[:, -1]
        row, column = np.divmod(np.flatnonzero(edges), width + 1)
        found.append((row[::2] + first, column[::2], column[1::2]))
    if not found:
        nothing = np.zeros(0, np.int64)
        return _Runs(nothing, nothing, nothing)
    return _Runs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _gaps(runs: _Runs, box: Box) -> _Runs:
    """What lies between the runs, inside the box that surrounds them all."""
    rows = np.arange(box.y, box.bottom)
    row = np.concatenate([runs.row, rows])
    start = np.concatenate([runs.stop, np.full(len(rows), box.x)])
    order = np.lexsort((start, row))
    row, start = row[order], start[order]
    # each gap ends where the row's next run starts; the last of a row at the box's edge
    stop_row = np.concatenate([runs.row, rows])
    stop = np.concatenate([runs.start, np.full(len(rows), box.right)])
    stop = stop[np.lexsort((stop, stop_row))]
    some = stop > start
    return _Runs(row[some], start[some], stop[some])


def _connect(runs: _Runs, *, diagonal: bool) -> tuple[np.ndarray, int]:
    """The connected part that each run belongs to, (N,) int, numbered by first appearance, and how many there are."""
    count = len(runs.row)
    if count == 0:
        return np.zeros(0, np.int64), 0
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    stride = int(runs.stop.max()) + 2
    reach = 1 if diagonal else 0
    below = (runs.row + 1) * stride
    # the runs of the next row that end after this one starts and start before it ends
    first = np.searchsorted(runs.row * stride + runs.stop, below + runs.start - reach, side="right")
    after = np.searchsorted(runs.row * stride + runs.start, below + runs.stop + reach, side="left")
    touching = np.maximum(after - first, 0)
    upper = np.repeat(np.arange(count), touching)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(first, touching)
    graph = coo_array((np.ones(len(upper), np.int8), (upper, lower)), shape=(count, count))
    parts, labels = connected_components(graph, directed=False)
    return labels.astype(np.int64), int(parts)


def _boxes(runs: _Runs, labels: np.ndarray, count: int) -> list[Box]:
    height, width = (int(runs.row.max()) + 1, int(runs.stop.max())) if count else (0, 0)
    left, top = np.full(count, width), np.full(count, height)
    right, bottom = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.minimum.at(left, labels, runs.start)
    np.maximum.at(right, labels, runs.stop)
    np.minimum.at(top, labels, runs.row)
    np.maximum.at(bottom, labels, runs.row + 1)
    corners = np.stack([left, top, right, bottom], axis=1).tolist()
    return [Box.between(*corner) for corner in corners]


def _fill_rings(hole: np.ndarray) -> None:
    runs = _runs(hole)
    if not len(runs.row):
        return
    labels, count = _connect(runs, diagonal=True)
    boxes = _boxes(runs, labels, count)
    whole = Size(hole.shape[1], hole.shape[0]).box
    around = Box.between(
        int(runs.start.min()), int(runs.row.min()), int(runs.stop.max()), int(runs.row.max()) + 1
    )  # all outside this box is known
    gaps = _gaps(runs, around)
    parts, number = _connect(gaps, diagonal=False)
    filled = np.ones(number, np.bool_)
    at_edge = (gaps.row == around.y) | (gaps.row == around.bottom - 1)
    at_edge |= (gaps.start == around.x) | (gaps.stop == around.right)
    filled[parts[at_edge]] = False
    if whole in boxes:
        # the run left of a part's first gap belongs to the region around that part
        numbers, first = np.unique(parts, return_index=True)
        stride = around.right + 1
        left = np.searchsorted(runs.row * stride + runs.stop, gaps.row[first] * stride + gaps.start[first])
        frames = np.array([box == whole for box in boxes])
        filled[numbers] &= ~frames[labels[np.minimum(left, len(labels) - 1)]]
    enclosed = filled[parts]
    _paint(hole, gaps.row[enclosed], gaps.start[enclosed], gaps.stop[enclosed])


def _check_grow(amount: Grow) -> None:
    if isinstance(amount, str):
        if amount != "auto":
            raise OutOfRange(f'grow is "{amount}"', hint='give "auto" or a number of pixels')
    elif not (isinstance(amount, (int, float, np.number)) and math.isfinite(amount) and amount >= 0):
        raise OutOfRange(f"grow is {amount}", hint='give "auto", or 0 or more pixels')


def _grow(hole: np.ndarray, amount: Grow) -> None:
    _check_grow(amount)
    if not isinstance(amount, str) and amount < 1:
        return
    runs = _runs(hole)
    if not len(runs.row):
        return
    radius = _radius(runs, amount)
    height, width = hole.shape
    sideways = np.floor(radius).astype(np.int64)
    stride = int(runs.stop.max() + sideways.max()) * 2 + 2
    places = runs.row * stride + runs.start
    most = min(int(radius.max()), height - 1)
    for up in range(-most, most + 1):
        reached = (radius >= abs(up)) & (runs.row + up >= 0) & (runs.row + up < height)
        aside = np.floor(np.sqrt(radius[reached] ** 2 - up * up)).astype(np.int64)
        row = runs.row[reached] + up
        start, stop = runs.start[reached] - aside, runs.stop[reached] + aside
        if up:
            # inside a solid region most are covered already by what their row's own runs reach sideways
            own = np.searchsorted(places, row * stride + start + sideways[reached], side="right") - 1
            covered = (runs.row[own] == row) & (runs.start[own] - sideways[own] <= start)
            covered &= stop <= runs.stop[own] + sideways[own]
            row, start, stop = row[~covered], start[~covered], stop[~covered]
        _paint(hole, row, np.maximum(start, 0), np.minimum(stop, width))


def _radius(runs: _Runs, amount: Grow) -> np.ndarray:
    """How far each run grows, (N,) float64."""
    if not isinstance(amount, str):
        return np.full(len(runs.row), float(amount))
    labels, count = _connect(runs, diagonal=True)
    areas = np.bincount(labels, runs.stop - runs.start, count)
    return np.clip(np.rint(GROW_SHARE * np.sqrt(areas)), GROW_LEAST, GROW_MOST)[labels].astype(np.float64)


def _spread(values: np.ndarray, radius: float) -> np.ndarray:
    """Each value's largest neighbour within the radius (Euclidean, between centres): (H, W) uint8."""
    wide, reach = values.copy(), 0
    result = values.copy()
    for up in range(min(int(radius), len(values) - 1), -1, -1):
        aside = min(int(math.sqrt(radius**2 - up * up)), values.shape[1] - 1)
        while reach < aside:  # rows nearer the middle of the disc are wider
            reach += 1
            np.maximum(wide[:, reach:], values[:, :-reach], out=wide[:, reach:])
            np.maximum(wide[:, :-reach], values[:, reach:], out=wide[:, :-reach])
        below, above = slice(up, None), slice(None, len(values) - up)
        np.maximum(result[below], wide[above], out=result[below])
        np.maximum(result[above], wide[below], out=result[above])
    return result


def _paint(hole: np.ndarray, row: np.ndarray, start: np.ndarray, stop: np.ndarray) -> None:
    if len(row) < _MOST_LOOPS:
        for y, left, right in zip(row.tolist(), start.tolist(), stop.tolist(), strict=True):
            hole[y, left:right] = True
        return
    # speckle has more runs than a loop over them can take: count how many cover each pixel
    width = hole.shape[1]
    for rows in row_blocks(hole.shape):
        some = (row >= rows.start) & (row < rows.stop)
        if some.any():
            cover = np.zeros((rows.stop - rows.start, width + 1), np.int32)
            line = (row[some] - rows.start) * (width + 1)
            np.add.at(cover.reshape(-1), line + start[some], 1)
            np.subtract.at(cover.reshape(-1), line + stop[some], 1)
            hole[rows] |= np.cumsum(cover, axis=1, out=cover)[:, :width] > 0


def _painted(marks: Marks) -> np.ndarray:
    """(H, W) bool where any band of the marks is above their floor."""
    values, dtype = marks.values, marks.values.dtype
    bands = values[:, :, None] if values.ndim == 2 else values
    floor = (LOSSY_FLOOR if marks.lossy else SOFT_FLOOR) * (opaque(dtype) if marks.lossy else 1)
    if dtype.kind in "iub" and not marks.lossy:
        floor = 0
    hole = np.zeros(bands.shape[:2], np.bool_)
    for rows in row_blocks(bands.shape):
        np.greater(bands[rows], floor).any(axis=2, out=hole[rows])
    return hole
