"""Find where a picture shows once more what is around its hole, seen at another angle or distance.

A facade, a tiled floor, a wallpaper repeats itself, and in perspective each piece of it is a projective map of the
next. What the hole hides is then seen where such a map takes it. Found are maps on which many pairs of corners that
look alike agree; kept are those that show, all around the hole, what is there. (Plane structure guides completion in
Huang et al. 2014, "Image completion using planar structure guidance", from vanishing points.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eraser.engines.projections import aligned, evened, fit, is_gentle, scaled, taken_from, through
from eraser.geometry import Box
from eraser.window import tighten

SEARCHED = 60_000  # pixels of the picture, made smaller, that is searched
LEAST_HOLE = 6  # of its pixels that a hole is wide and high: patches do as well for smaller ones
WINDOW = 5  # pixels over which a corner's gradients are gathered
CELL = 5  # pixels to a side of a descriptor's cells, of which there are CELLS x CELLS
CELLS = 4
ORIENTATIONS = 8
CLIPPED = 0.25  # of a descriptor's length: one strong edge must not be all of it (Lowe 2004)
PARTS = 12  # of the picture along each side, that corners are spread over
CORNERS = 1500
NEAR = 300  # corners around the hole
MOST_MATCHES = 700  # in all, those most alike: each is compared with each other
MATCHES = 4  # for each of them
ALIKE = 0.8  # cosine between descriptors of corners that match
SAME = 6.0  # pixels within which a corner is not another one
STRETCH = 0.22  # two matches support each other if they are moved alike, but for such a share of their distance
TOLERANCE = 1.5  # pixels that a match may lie off its map
LEAST_CORNERS = 10  # that agree on a map
TRIED = 12  # maps
FAILURES = 3  # one after the other, after which there is hardly any more to be found
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
FAINT = 1e-6  # smaller eigenvalue of the gradients' products, in the image's range [-1, 1]
GROUP = 40  # supporters, the nearest, that a first fit is made of


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
    grey = (pixels @ np.full(pixels.shape[2], 1 / pixels.shape[2], np.float32))[: height * factor, : width * factor]
    total, unknown = np.zeros((height, width), np.float32), np.zeros((height, width), bool)
    for dy in range(factor):
        for dx in range(factor):
            total += grey[dy::factor, dx::factor]
            unknown |= hole[dy : height * factor : factor, dx : width * factor : factor]
    return Small(np.where(unknown, np.float32(np.nan), total / factor**2), factor)


def matches(grey: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of corners that look alike: places (M, 2) around the hole's box, places (M, 2) anywhere, and for each pair
    the number of its first corner."""
    from scipy import ndimage

    places, descriptors = _corners(grey)
    hole_distance = ndimage.distance_transform_edt(~np.isnan(grey))[places[:, 1], places[:, 0]]
    near = np.argsort(hole_distance, kind="stable")[:NEAR]
    near = near[hole_distance[near] < max(box.width, box.height) / 2 + 20]
    alike = descriptors[near] @ descriptors.T
    x, y = places.astype(np.float32).T
    alike[(x[near, None] - x) ** 2 + (y[near, None] - y) ** 2 < SAME**2] = 0
    if alike.shape[1] <= MATCHES:
        return np.empty((0, 2)), np.empty((0, 2)), np.empty(0, np.intp)
    best = np.argpartition(alike, -MATCHES, axis=1)[:, -MATCHES:]
    cosines = np.take_along_axis(alike, best, axis=1)
    least = max(ALIKE, float(np.sort(cosines, axis=None)[-MOST_MATCHES:][0]))
    corner, column = np.nonzero(cosines > least)
    return places[near[corner]].astype(float), places[best[corner, column]].astype(float), corner


def _corners(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, 2), x before y, all over the known picture, and what is around them (N, D), of unit length.

    Corners as in Shi & Tomasi 1994; gradients by direction in CELLS x CELLS cells as in Lowe 2004, but upright and of
    one size: what repeats itself at another angle altogether is of no use as a neighbour.
    """
    from scipy import ndimage

    known = np.isfinite(grey)
    smooth = ndimage.gaussian_filter(np.where(known, grey, 0), 0.8, truncate=2.5)
    wholly_known = ndimage.minimum_filter(known, WINDOW, mode="constant")
    dy, dx = (slope * wholly_known for slope in np.gradient(smooth))
    xx, xy, yy = (ndimage.uniform_filter(product, WINDOW) for product in (dx * dx, dx * dy, dy * dy))
    strength = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    reach = CELLS * CELL // 2 + 2
    inside = np.zeros_like(known)
    inside[reach:-reach, reach:-reach] = True
    inside &= ndimage.minimum_filter(known, WINDOW + 4, mode="constant")
    y, x = np.nonzero(inside & (strength == ndimage.maximum_filter(strength, WINDOW)) & (strength > FAINT))
    # the strongest of each part of the picture before the next strongest of any
    part = y * PARTS // grey.shape[0] * PARTS + x * PARTS // grey.shape[1]
    order = np.lexsort((-strength[y, x], part))
    rank = np.arange(len(order)) - np.searchsorted(part[order], part[order])
    chosen = order[np.argsort(rank, kind="stable")][:CORNERS]
    y, x = y[chosen], x[chosen]
    angles = (np.arange(ORIENTATIONS) * 2 * np.pi / ORIENTATIONS).astype(np.float32)
    towards = np.stack([np.maximum(0, dx * np.cos(angle) + dy * np.sin(angle)) for angle in angles])
    gathered = ndimage.uniform_filter(ndimage.uniform_filter(towards, (0, CELL, CELL)), (0, 3, 3))
    offsets = ((np.arange(CELLS) - (CELLS - 1) / 2) * CELL).round().astype(int)
    cells = [gathered[:, y + down, x + across] for down in offsets for across in offsets]
    return np.stack([x, y], axis=1), _unit(np.minimum(_unit(np.concatenate(cells).T), CLIPPED))


def _unit(vectors: np.ndarray) -> np.ndarray:
    scaled_vectors: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return scaled_vectors


def agreed_maps(first: np.ndarray, second: np.ndarray, corner: np.ndarray, box: Box) -> list[np.ndarray]:
    """Maps (3, 3) on which many matches agree, those with the largest support first; all are gentle on the box.

    Matches near each other that are moved alike support each other; the one with most support is fitted together with
    its supporters, first affinely, then projectively, to ever more of those that fit.
    """
    if len(first) < LEAST_CORNERS:
        return []
    apart = _squared_distances(first)
    moved_apart = _squared_distances(second - first)
    reach = max(40.0, 0.75 * max(box.width, box.height))
    supports = (moved_apart < (STRETCH * np.sqrt(apart) + 1) ** 2) & (apart > 4**2) & (apart < reach**2)
    weights = supports.astype(np.float32)
    alive = np.ones(len(first), bool)
    maps: list[np.ndarray] = []
    failures = 0
    for _ in range(TRIED):
        support = (weights @ alive.astype(np.float32)) * alive
        seed = int(support.argmax())
        if support[seed] < LEAST_CORNERS:
            break
        alive[seed] = False
        group = np.flatnonzero(supports[seed] & alive)
        group = np.append(group[np.argsort(apart[seed, group], kind="stable")][:GROUP], seed)
        matrix, fitting = _fitted(first, second, corner, group)
        alive[group if matrix is None else fitting] = False
        if matrix is not None and len(np.unique(corner[fitting])) >= LEAST_CORNERS and is_gentle(matrix, box):
            maps.append(matrix)
            failures = 0
        else:
            failures += 1
        if failures == FAILURES:
            break
    return maps


def _fitted(
    first: np.ndarray, second: np.ndarray, corner: np.ndarray, group: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """A map fitted to the group and to what else fits, and which matches do; None where they do not agree."""
    every = np.arange(len(first))
    fitting, matrix = group, None
    for among, tolerance, projective in (
        (group, 3 * TOLERANCE, False),
        (group, 2 * TOLERANCE, False),
        (every, 2 * TOLERANCE, False),
        (every, TOLERANCE, True),
        (every, TOLERANCE, True),
    ):
        if len(np.unique(corner[fitting])) < LEAST_CORNERS // 2 + 1:
            return None, fitting
        matrix = fit(first[fitting], second[fitting], projective=projective)
        error = np.linalg.norm(through(matrix, first[among]) - second[among], axis=1)
        fitting = among[error < tolerance]
    return matrix, fitting


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


def _squared_distances(places: np.ndarray) -> np.ndarray:
    x, y = places.astype(np.float32).T
    distances: np.ndarray = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2
    return distances
