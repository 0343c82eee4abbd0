"""What an engine with a native size sees of a view: the hole and what lies near it, shrunk; and how to show it."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Protocol

import numpy as np

from eraser.canvas import View
from eraser.engines.base import Progress
from eraser.engines.patch import PatchEngine
from eraser.engines.structure import Drawing
from eraser.geometry import Box


class Frame(Protocol):
    """What an engine's options say about it."""

    @property
    def side(self) -> int: ...  # pixels of the drawing's longer side, at most
    @property
    def context(self) -> float: ...  # of the hole's longer side, that is seen on every side of it
    @property
    def least_context(self) -> int: ...  # pixels


def surroundings(hole: np.ndarray, frame: Frame) -> Box:
    """The part of the view that the model sees: all of the hole, and as much around it as it needs."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    tight = Box.between(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    margin = max(frame.least_context, math.ceil(frame.context * max(tight.width, tight.height)))
    return tight.pad(margin).clamp(Box(0, 0, hole.shape[1], hole.shape[0]))


def drawn_size(box: Box, frame: Frame) -> tuple[int, int]:
    """(height, width) of the drawing of a box: its own, or `side` pixels along the longer side."""
    scale = min(1.0, frame.side / max(box.width, box.height))
    return max(1, round(box.height * scale)), max(1, round(box.width * scale))


def widened(box: Box, width: int, height: int, inside: Box) -> Box:
    """The box grown to at least this size, evenly, where `inside` has the room; moved inwards at its border."""
    across, down = min(max(width, box.width), inside.width), min(max(height, box.height), inside.height)
    x = min(max(inside.x, box.x - (across - box.width) // 2), inside.right - across)
    y = min(max(inside.y, box.y - (down - box.height) // 2), inside.bottom - down)
    return Box(x, y, across, down)


def shrink(pixels: np.ndarray, hole: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over the known pixels of each area: (H, W, C), (H, W) bool -> (height, width, C), 0 under its hole, and it.

    An area is known where at least half of it is.
    """
    from PIL import Image

    def reduced(values: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))

    share = reduced((~hole).astype(np.float32))
    unknown = share < 0.5 - 1e-4
    channels = [reduced(np.where(hole, np.float32(0), pixels[:, :, c])) for c in range(pixels.shape[2])]
    means = np.stack(channels, axis=2) / np.maximum(share, 1e-6)[:, :, None]
    means[unknown] = 0
    return means.astype(np.float32), unknown


def shown(view: View, drawing: Drawing) -> np.ndarray:
    """The view with the drawing, enlarged, in its hole."""
    picture = view.pixels.copy()
    places = np.flatnonzero(view.hole)
    picture[view.hole] = np.clip(drawing.at(places, view.size.width, 1.0), -1, 1)
    return picture


def trouble_with(view: View, box: Box) -> str:
    """Why a model of three colours cannot draw that part of the view, as the start of a sentence; "" if it can."""
    if view.pixels.shape[2] == 4:
        return "the model does not know CMYK"
    if view.hole[box.slices].all():
        return "nothing is known near the hole"
    return ""


def without_a_drawing(
    patches: PatchEngine, view: View, seed: int, trouble: str
) -> Generator[Progress, None, np.ndarray]:
    """What an engine that cannot draw does instead of its `fill`; every note says why, and so does the report."""
    reason = f"{trouble}, so the patch engine paints alone"
    yield Progress(0.0, reason, facts={"painted_by": "patch", "fallback": reason})
    return (yield from told(patches.fill(view, seed=seed), reason, 0.0, 1.0))


def told(
    steps: Generator[Progress, None, np.ndarray], note: str, start: float, share: float
) -> Generator[Progress, None, np.ndarray]:
    """Another generator's progress as a share of this one's, with a note of ours where there is one."""
    try:
        while True:
            step = next(steps)
            yield replace(step, fraction=min(1.0, start + share * step.fraction), note=note or step.note)
    except StopIteration as finished:
        filled: np.ndarray = finished.value
        return filled
    finally:
        steps.close()
