"""Which part of a canvas an engine looks at: windows follow the hole, never the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eraser.geometry import Box, Size

BLOCK = 32  # holes are found on a map this much smaller than the canvas
LEAST_CONTEXT = 192  # pixels around a hole that an engine always sees, where the image has them
CONTEXT = 1.0  # of the hole's longest side,
AMPLE_CONTEXT = 380  # but not more pixels than this,
LARGE_CONTEXT = 0.35  # unless the hole is so large that this share of its longest side is more
SPRAWL = 24.0  # a window may be so many times larger than its hole (and the context every hole gets) before it is cut
AMPLE_WINDOW = 8_000_000  # pixels: up to so many a window is cut only where that saves


@dataclass(frozen=True, slots=True)
class Window:
    """`target` is the part whose hole is to be filled now; `box` is what the engine sees of the canvas around it."""

    target: Box
    box: Box
    hole_pixels: int

    def relative_to(self, origin: Box) -> Window:
        """The same window of a canvas that is cut to `origin`."""
        return Window(self.target.relative_to(origin), self.box.relative_to(origin), self.hole_pixels)


def windows(hole: np.ndarray) -> list[Window]:
    """Windows whose targets do not overlap and hold every pixel of the hole: (H, W) bool -> largest hole first.

    Near holes share a window, so that they are painted as one picture. A thin hole across a large image is cut into
    pieces: fill them in order, and let the later ones see the earlier.
    """
    size = Size(hole.shape[1], hole.shape[0])
    pieces = [piece for box in _merge(_hole_boxes(hole), size) for piece in _cut(hole, box, size)]
    found = [Window(box, context(box, size), int(np.count_nonzero(hole[box.slices]))) for box in pieces]
    return sorted(found, key=lambda window: -window.hole_pixels)


def context(target: Box, size: Size) -> Box:
    """The box an engine sees for a target: enough around it to continue from, and to find texture in."""
    side = max(target.width, target.height)
    margin = round(max(LEAST_CONTEXT, min(CONTEXT * side, max(AMPLE_CONTEXT, LARGE_CONTEXT * side))))
    box = target.pad(margin).clamp(size.box)
    # at the image's border what is missing on one side is taken from the other
    wanted = Size(min(size.width, target.width + 2 * margin), min(size.height, target.height + 2 * margin))
    left = min(box.x, max(0, box.right - wanted.width))
    top = min(box.y, max(0, box.bottom - wanted.height))
    return Box(left, top, max(box.width, wanted.width), max(box.height, wanted.height)).clamp(size.box)


def tighten(hole: np.ndarray, box: Box) -> Box | None:
    """The smallest box inside `box` that holds all its hole pixels; None where there are none."""
    inside = hole[box.slices]
    rows = np.flatnonzero(inside.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].any(axis=0))
    return Box.between(
        box.x + int(columns[0]), box.y + int(rows[0]), box.x + int(columns[-1]) + 1, box.y + int(rows[-1]) + 1
    )


def block_map(hole: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """Whether each block x block square holds a hole pixel: (ceil(H / block), ceil(W / block)) bool."""
    height, width = hole.shape
    found = np.zeros((-(-height // block), -(-width // block)), np.bool_)
    touched = hole.any(axis=1)  # many times quicker than looking at columns, and most rows are empty
    for y in np.flatnonzero(np.logical_or.reduceat(touched, np.arange(0, height, block))).tolist():
        columns = hole[y * block : (y + 1) * block].any(axis=0)
        found[y] = np.logical_or.reduceat(columns, np.arange(0, width, block))
    return found


def _hole_boxes(hole: np.ndarray) -> list[Box]:
    from scipy import ndimage

    size = Size(hole.shape[1], hole.shape[0])
    square = np.ones((3, 3), bool)
    near = ndimage.binary_dilation(block_map(hole), square, iterations=max(1, LEAST_CONTEXT // BLOCK // 2))
    labels, _ = ndimage.label(near, structure=square)
    boxes = []
    for rows, columns in ndimage.find_objects(labels):
        coarse = Box.between(columns.start * BLOCK, rows.start * BLOCK, columns.stop * BLOCK, rows.stop * BLOCK)
        tight = tighten(hole, coarse.clamp(size.box))
        if tight is not None and tight not in boxes:
            boxes.append(tight)
    return boxes


def _merge(boxes: list[Box], size: Size) -> list[Box]:
    """Join boxes that overlap, or whose common window is no larger than their two windows together."""
    merged: dict[int, Box] = {}
    seen = np.zeros((len(boxes), 4), np.int64)  # left, top, right, bottom of the merged boxes' windows
    for number, box in enumerate(boxes):
        while (other := _partner(box, merged, seen, size)) is not None:
            box = box.union(merged.pop(other))
            seen[other] = 0
        window = context(box, size)
        merged[number] = box
        seen[number] = window.x, window.y, window.right, window.bottom
    return list(merged.values())


def _partner(box: Box, merged: dict[int, Box], seen: np.ndarray, size: Size) -> int | None:
    window = context(box, size)
    # windows that lie apart have nothing to share; one glance at all of them, because dust comes in thousands
    near = (seen[:, 0] < window.right) & (seen[:, 2] > window.x)
    near &= (seen[:, 1] < window.bottom) & (seen[:, 3] > window.y)
    for number in np.flatnonzero(near).tolist():
        other = merged[number]
        apart = window.area + context(other, size).area
        if box.meets(other) or context(box.union(other), size).area <= apart:
            return int(number)
    return None


def _cut(hole: np.ndarray, box: Box, size: Size) -> list[Box]:
    """Halve a box across its longer side until its window is in proportion to the hole in it."""
    tight = tighten(hole, box)
    if tight is None:
        return []
    pixels = int(np.count_nonzero(hole[tight.slices]))
    floor = (2 * LEAST_CONTEXT + 4 * BLOCK) ** 2
    if context(tight, size).area <= SPRAWL * pixels + 2 * floor:
        return [tight]
    if tight.width >= tight.height:
        half = tight.width // 2
        parts = [
            Box(tight.x, tight.y, half, tight.height),
            Box(tight.x + half, tight.y, tight.width - half, tight.height),
        ]
    else:
        half = tight.height // 2
        parts = [
            Box(tight.x, tight.y, tight.width, half),
            Box(tight.x, tight.y + half, tight.width, tight.height - half),
        ]
    pieces = [piece for part in parts for piece in _cut(hole, part, size)]
    whole = context(tight, size).area
    # many windows that overlap cost more than one; a very large one costs memory
    if whole <= AMPLE_WINDOW and sum(context(piece, size).area for piece in pieces) >= whole:
        return [tight]
    return pieces
