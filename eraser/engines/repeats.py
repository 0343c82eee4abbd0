"""Find where a picture shows once more what is around its hole, seen at another angle or distance.

A facade, a tiled floor, a wallpaper repeats itself, and in perspective each piece of it is a projective map of the
next. What the hole hides is then seen where such a map takes it. Found are maps on which many pairs of corners that
look alike agree; kept are those that show, all around the hole, what is there. (Plane structure guides completion in
Huang et al. 2014, "Image completion using planar structure guidance", from vanishing points.)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from eraser.engines.agreement import agreed_maps
from eraser.engines.corners import matches
from eraser.engines.projections import aligned, evened, is_gentle, scaled, taken_from
from eraser.geometry import Box
from eraser.window import tighten

SEARCHED = 60_000  # pixels of the picture, made smaller, that is searched
LEAST_HOLE = 6  # of its pixels that a hole is wide and high: patches do as well for smaller ones
REACH = 12  # pixels around the hole that must be alike
LEAST_RING = 0.25  # of them that a map must show
LIKENESS = 0.7  # correlation there, of evened pictures
ASIDE = 5.0  # pixels, there where the same is seen; moved by these to any side, a map shows what is less like,
DISTINCT = 0.15  # at least by this: what is the same all along a line does not tell where along it one is
PROMISING = 0.45  # before a map is aligned
ALIGNED = 6  # maps at most
MISSES = 3  # of them that may turn out unlike, before giving up
LEAST_SHOWN = 0.2  # of the hole, for a map to be of use
AGAIN = 0.2  # of what a map shows anew, for what it shows in all


@dataclass(frozen=True, slots=True)
class Repeat:
    """What is around the hole is seen once more.

    matrix (3, 3): takes a place (x, y, 1) to where the same is seen · likeness: correlation of both around the hole ·
    shown (h, w) bool: what of the hole's box is seen there
    """

    matrix: np.ndarray
    likeness: float
    shown: np.ndarray


@dataclass(frozen=True, slots=True)
class Small:
    """The picture made `factor` times smaller: grey (H, W) float32, NaN where not all of a pixel is known."""

    grey: np.ndarray
    factor: int

    @property
    def frame(self) -> Box:
        return Box(0, 0, self.grey.shape[1], self.grey.shape[0])

    @property
    def hole(self) -> np.ndarray:
        return np.isnan(self.grey)


def find_repeats(pixels: np.ndarray, hole: np.ndarray, most: int) -> list[np.ndarray]:
    """At most so many maps (3, 3), which take a place in the hole to where the same is seen; the most useful first.

    pixels (H, W, C) float32 · hole (H, W) bool. Empty where the picture does not repeat itself.
    """
    if most == 0:
        return []
    factor = shrinkage(hole)
    small = smaller(pixels, hole, factor)
    box = tighten(small.hole, small.frame)
    if box is None or min(box.width, box.height) < LEAST_HOLE:
        return []
    first, second, corner = matches(small.grey, box)
    repeats = [repeat for matrix in agreed_maps(first, second, corner, box) if (repeat := judged(small, box, matrix))]
    hidden = small.hole[box.slices]
    usable = _usable(small, box, [repeat for repeat in repeats if repeat.likeness >= PROMISING])
    if not usable:
        return []
    finer = smaller(pixels, hole, max(1, factor // 2))
    larger = factor / finer.factor
    maps: list[np.ndarray] = []
    left = hidden.copy()
    while usable and len(maps) < most:
        # what is shown already counts a little: of two in different light, the one that fits better can be taken
        gains = [one.likeness**2 * (np.sum(one.shown & left) + AGAIN * np.sum(one.shown)) for one in usable]
        repeat = usable.pop(int(np.argmax(gains)))
        left &= ~repeat.shown
        exact = scaled(_aligned(finer, scaled(repeat.matrix, larger), 2 * REACH), 1 / larger)
        maps.append(scaled(exact if is_gentle(exact, box) else repeat.matrix, factor))
    return maps


def _usable(small: Small, box: Box, promising: list[Repeat]) -> list[Repeat]:
    """Those that show, once they are aligned, what is there around the hole, and enough of the hole."""
    usable: list[Repeat] = []
    hidden = np.count_nonzero(small.hole[box.slices])
    misses = 0
    for repeat in sorted(promising, key=lambda one: -one.likeness * np.sum(one.shown))[:ALIGNED]:
        better = judged(small, box, _aligned(small, repeat.matrix, REACH))
        if (
            better
            and better.likeness >= LIKENESS
            and np.sum(better.shown) >= LEAST_SHOWN * hidden
            and is_gentle(better.matrix, box)
            and _is_distinct(small, box, better)
        ):
            usable.append(better)
            continue
        misses += 1
        if misses == MISSES:
            break
    return usable


def _is_distinct(small: Small, box: Box, repeat: Repeat) -> bool:
    """Whether the map, moved to any side where the same is seen, shows something less like."""
    angles = np.arange(8) * np.pi / 4
    moved = [np.array([[1, 0, ASIDE * np.cos(a)], [0, 1, ASIDE * np.sin(a)], [0, 0, 1]]) for a in angles]
    others = [other.likeness for move in moved if (other := judged(small, box, move @ repeat.matrix))]
    return bool(others) and max(others) <= repeat.likeness - DISTINCT


def shrinkage(hole: np.ndarray) -> int:
    """How many times smaller a picture is made before it is searched."""
    return max(1, round(math.sqrt(hole.size / SEARCHED)))


def smaller(pixels: np.ndarray, hole: np.ndarray, factor: int) -> Small:
    """The picture as it is searched: means of factor x factor pixels, and what is left over at the far sides is cut."""
    height, width = (side // factor for side in hole.shape)
    # numpy is slow in reducing short axes, and its products of matrices start threads
    colours = pixels.shape[2]
    rows = pixels[: height * factor].reshape(height, factor, hole.shape[1] * colours)
    summed = rows[:, 0].copy()
    for i in range(1, factor):
        summed += rows[:, i]
    total = np.einsum("ijk->ij", summed[:, : width * factor * colours].reshape(height, width, factor * colours))
    hidden = functools.reduce(np.logical_or, (hole[i : height * factor : factor] for i in range(factor)))
    unknown = functools.reduce(np.logical_or, (hidden[:, i : width * factor : factor] for i in range(factor)))
    grey = total / np.float32(factor**2 * colours)
    return Small(np.where(unknown, np.float32(np.nan), grey), factor)


def judged(small: Small, box: Box, matrix: np.ndarray) -> Repeat | None:
    """How like what the map shows around the hole is to what is there; None if it shows too little."""
    from scipy import ndimage

    around = box.pad(REACH + 2).clamp(small.frame)
    shown = ndimage.map_coordinates(small.grey, taken_from(matrix, around), order=1, cval=np.nan)
    here, seen = small.grey[around.slices], np.isfinite(shown)
    ring = _ring(small, around, REACH)
    both = ring & seen
    if np.count_nonzero(both) < LEAST_RING * np.count_nonzero(ring):
        return None
    p, q = evened(here, both)[both], evened(shown, both)[both]
    likeness = float((p * q).sum() / np.sqrt((p * p).sum() * (q * q).sum() + 1e-12))
    inner = box.relative_to(around).slices
    return Repeat(matrix, likeness, (seen & np.isnan(here))[inner])


def _aligned(small: Small, matrix: np.ndarray, reach: int) -> np.ndarray:
    box = tighten(small.hole, small.frame)
    assert box is not None, "a picture with a hole"
    around = box.pad(reach).clamp(small.frame)
    return aligned(small.grey, matrix, _ring(small, around, reach), around)


def _ring(small: Small, around: Box, reach: int) -> np.ndarray:
    """The known pixels in the box that are at most so far from the hole."""
    from scipy import ndimage

    hole = small.hole[around.slices]
    ring: np.ndarray = (ndimage.distance_transform_edt(~hole) <= reach) & ~hole
    return ring
