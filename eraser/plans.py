"""What filling a hole takes, known before there are any pixels: for callers that send only those that matter.

Windows follow from the mask and the canvas's size alone. So a caller can ask first which pixels an engine will look
at, send these, and get bit for bit what `erase` or `outpaint` of the whole picture would have painted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from eraser import masks
from eraser.canvas import Canvas, opaque
from eraser.errors import EmptyHole, NothingKnown, OutOfRange, SizeMismatch
from eraser.geometry import Box, Size
from eraser.window import Window, tighten, windows


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """target: around all of the hole · mask (target's height, width) uint8: how strongly the filling covers what was
    there, above 0 exactly in the hole · boxes: the pixels to bring, apart from each other · area: around all that is
    looked at · hole: of `area`, (H, W) bool · parts: windows relative to `area` · erases: as a Canvas has it.
    """

    target: Box
    mask: np.ndarray
    boxes: list[Box]
    area: Box
    hole: np.ndarray
    parts: list[Window]
    erases: bool

    @property
    def hole_pixels(self) -> int:
        return sum(part.hole_pixels for part in self.parts)

    def canvas(self, colour: np.ndarray, alpha: np.ndarray | None) -> Canvas:
        """The canvas of `area`, whose colour is painted into. Raises what Canvas raises."""
        return Canvas(colour, self.hole, alpha, erases=self.erases)

    def layer(self, colour: np.ndarray) -> np.ndarray:
        """The painted pixels of `area` as a picture of the target, (H, W, C + 1): alpha is the mask, and what is
        wholly transparent is black."""
        height, width = self.mask.shape
        layer = np.zeros((height, width, colour.shape[2] + 1), colour.dtype)
        inside = self.mask > 0
        layer[inside, :-1] = colour[self.target.relative_to(self.area).slices][inside]
        layer[:, :, -1] = self.mask.astype(np.float64) * (opaque(colour.dtype) / 255)
        return layer


def plan_erase(mask: np.ndarray, box: Box, size: Size, grow: masks.Grow = "auto") -> Plan:
    """For a mask (box height, box width) uint8, 0 outside the box. Raises SizeMismatch, OutOfRange, EmptyHole,
    NothingKnown."""
    if mask.shape != (box.height, box.width):
        raise SizeMismatch(f"the mask is {mask.shape[1]}x{mask.shape[0]}, its box {box}", hint="send the box's pixels")
    _check_inside(box, size)
    hole = np.zeros((size.height, size.width), np.bool_)
    np.greater(mask, 0, out=hole[box.slices])
    tight = tighten(hole, box)
    if tight is None:
        raise EmptyHole(f"nothing is selected in the box {box}", hint="select what should vanish")
    ringed = masks.fill_rings(hole)
    hole = masks.grow(ringed, grow)
    target = tighten(hole, size.box)
    assert target is not None, "growing takes nothing away"
    if ((mask == 0) | (mask == 255)).all():
        covers = _full(hole[target.slices])
    else:
        covers = _full(ringed[target.slices])  # what a ring encloses is covered wholly
        selected = mask[tight.relative_to(box).slices]
        np.copyto(covers[tight.relative_to(target).slices], selected, where=selected > 0)
        covers = masks.soft_alpha(covers, grow)
    return _plan(hole, size, target, covers, size.box, erases=True)


def plan_extend(size: Size, keep: Box) -> Plan:
    """For painting all of a canvas of this size outside the box. Raises OutOfRange, EmptyHole."""
    _check_inside(keep, size)
    if keep == size.box:
        raise EmptyHole(f"no side of the {size} canvas lies outside the picture", hint="extend at least one side")
    hole = np.ones((size.height, size.width), np.bool_)
    hole[keep.slices] = False
    target = tighten(hole, size.box)
    assert target is not None, "the canvas is larger"
    return _plan(hole, size, target, _full(hole[target.slices]), keep, erases=False)


def _plan(hole: np.ndarray, size: Size, target: Box, covers: np.ndarray, has_pixels: Box, *, erases: bool) -> Plan:
    if hole.all():
        raise NothingKnown(
            f"the selection leaves no pixel of the {size} picture to continue from",
            hint="leave more of the surroundings unselected; perhaps invert the selection",
        )
    found = windows(hole)
    area = found[0].box
    for window in found[1:]:
        area = area.union(window.box)
    boxes = [part for box in apart(window.box for window in found) if (part := box.clamp(has_pixels)).area]
    parts = [window.relative_to(area) for window in found]
    return Plan(target, covers, boxes, area, np.ascontiguousarray(hole[area.slices]), parts, erases)


def apart(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that hold all of these and do not overlap: those that meet are joined."""
    joined: list[Box] = []
    for box in boxes:
        while (other := next((known for known in joined if known.meets(box)), None)) is not None:
            joined.remove(other)
            box = box.union(other)
        joined.append(box)
    return sorted(joined, key=lambda box: (box.y, box.x))


def _full(hole: np.ndarray) -> np.ndarray:
    return np.where(hole, np.uint8(255), np.uint8(0))


def _check_inside(box: Box, size: Size) -> None:
    if min(size.width, size.height, box.width, box.height) < 1 or not size.box.contains(box):
        raise OutOfRange(f"the box {box} is not inside the {size} picture", hint="cut it to the picture first")
