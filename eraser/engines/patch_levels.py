"""The scales of a view, laid out flat as the patch engine's kernels want them."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from eraser.canvas import View
from eraser.engines import patch_kernels as kernels
from eraser.engines.base import Progress
from eraser.engines.lending import Lent
from eraser.geometry import Box
from eraser.pyramid import dilate, double, halve, halve_weighted
from eraser.window import tighten

Result = TypeVar("Result")
RADIUS = kernels.RADIUS
STRIP = 2048
ROWS = 64  # image rows a thread takes at once
FOREIGN_PIXELS = 20_000  # finer levels than that only refine what coarser ones chose
EXAMPLES = 128  # rim patches that stand for all of them
LAYERS_SEEN = 3  # counted from the coarsest: the level that tells whether a picture is layered, the finest of fewer
KNOWN_BESIDE = 4  # pixels in a row: fewer differ from row to row by chance alone
FLAT = 1e-6  # variance of the texture channel, below which there is nothing to share out
LEAST_SOURCES = 32  # a level with fewer known patches is too coarse to start from


class Workers:
    """Threads for whoever paints: they run strips of a list, which depend on its length alone, or something beside."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def _running(self) -> ThreadPoolExecutor:
        if self._pool is None or self._owner != os.getpid():  # threads do not survive a fork
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="eraser")
            self._owner = os.getpid()
        return self._pool

    def map(self, work: Callable[[int], Result], count: int) -> Iterator[Result]:
        """work(0), work(1), ... in this order, several at once. What it calls must not use these workers itself."""
        return map(work, range(count)) if self._threads == 1 else self._running().map(work, range(count))

    @contextlib.contextmanager
    def beside(self, work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
        """Have this done once while the body goes on with something else. What the body is given waits for it, and
        returns or raises what it did; with a single thread it is done then. The end of the body waits as well, unless
        the work has not begun."""
        if self._threads == 1:
            yield work
            return
        running = self._running().submit(work)
        try:
            yield running.result
        finally:
            if not running.cancel():
                wait([running])

    def each(self, kernel: Callable[[int, int, int], object], length: int, strip: int = STRIP) -> None:
        """Call kernel(strip number, low, high) over range(length), cut into at most 64 strips."""
        count = max(1, min(64, length // strip))
        bounds = [length * i // count for i in range(count + 1)]
        strips = iter(range(count))  # whoever is free takes the next

        def work() -> None:
            for i in strips:
                kernel(i, bounds[i], bounds[i + 1])

        helpers = [self._running().submit(work) for _ in range(min(self._threads, count) - 1)]
        try:
            work()
        finally:
            wait([helper for helper in helpers if not helper.cancel()])
        for helper in helpers:
            if not helper.cancelled():
                helper.result()


@dataclass
class Level:
    """One scale: its pixels in rows, one after the other, so that a place is one number."""

    height: int
    width: int
    colours: int
    image: np.ndarray  # (n, C + 1) float32, the colours and the texture channel, 0 where unknown; CMYK has no texture
    hole: np.ndarray  # (H, W) bool
    valid: np.ndarray  # (n,) bool: centres of patches without a hole pixel, the sources
    targets: np.ndarray  # (T,) int32: centres of patches with one
    pixels: np.ndarray  # (N,) int32: the hole's pixels
    depth: np.ndarray  # (n,) int16: distance to the rim, in kernels.DEPTH_UNITs
    source_count: int
    layered: float = 0.0  # 0 to 1: how much of how rough the picture is around the hole depends on the row alone
    lent: np.ndarray | None = None  # (rows, W) bool, what is known in the rows below the picture; see `lending`
    places: tuple[int, int, int] = (0, 0, 0)  # rows to a place's first lent source, and to the next; how many
    foreign: np.ndarray | None = None  # (n,) int32: how much less like the rim a source is than the rim is like itself
    cost: np.ndarray = field(init=False)  # (n,) int32: distance of each target's patch to its source

    def __post_init__(self) -> None:
        self.cost = np.zeros(self.height * self.width, np.int32)

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)

    @property
    def hole_box(self) -> Box:
        box = tighten(self.hole, self.box)
        assert box is not None, "a level without a hole is not built"
        return box

    @property
    def colour_image(self) -> np.ndarray:
        """(H, W, C): a view of the colours."""
        return self.picture[:, :, : self.colours]

    @property
    def picture(self) -> np.ndarray:
        """(H, W, C + 1): a view of the image without what is lent."""
        return self.image[: self.hole.size].reshape(self.height, self.width, -1)

    @property
    def lending(self) -> np.ndarray:
        """`places` in pixel numbers, as the search wants them: (3,) int64."""
        offset, period, count = self.places
        return np.array([offset * self.width, period * self.width, count], np.int64)

    @functools.cached_property
    def grain(self) -> float:
        """Root mean square of the highest octave around the hole, in the image's range."""
        around = self.hole_box.pad(16).clamp(self.box).slices
        crop, hole = self.colour_image[around], self.hole[around]
        low = double(halve(crop, np.zeros_like(hole))[0], *hole.shape)
        known = ~dilate(hole, RADIUS)
        return float(np.sqrt(np.mean((crop - low)[known] ** 2))) if known.any() else 0.0

    @functools.cached_property
    def row_texture(self) -> np.ndarray:
        """What the texture channel is on average in the known part of each of the hole's pixels' rows: (N,) float32,
        empty where there is no such channel. Rows of which hardly anything is known take it from the nearest others."""
        known = ~self.hole
        rows = np.flatnonzero(known.sum(axis=1) >= KNOWN_BESIDE)
        if self.image.shape[1] == self.colours or not len(rows):
            return np.empty(0, np.float32)
        texture = np.where(known, self.picture[:, :, self.colours], 0)
        means = texture.sum(axis=1)[rows] / known.sum(axis=1)[rows]
        of_rows: np.ndarray = np.interp(np.arange(self.height), rows, means).astype(np.float32)
        return of_rows[self.pixels // self.width]

    @property
    def typical_cost(self) -> float:
        """The lower median patch distance, of at most 10,000 targets; at least 1."""
        some = self.targets[:: max(1, len(self.targets) // 10_000)]
        middle = (len(some) - 1) // 2  # np.median does much more, and each step asks
        return max(1.0, float(np.partition(self.cost[some], middle)[middle]))


def level_steps(
    view: View,
    *,
    coarsest_radius: float,
    texture: float,
    texture_reach: int,
    workers: Workers,
    lent: Lent | None = None,
) -> Generator[Progress, None, list[Level]]:
    """Levels from the coarsest to the full size, each half the next; empty where none has enough known patches.

    coarsest_radius: how thick, in pixels, the hole is at most at the coarsest level. texture: the weight of the texture
    channel, which tells how rough the full-size picture is around a pixel: sources are told apart by it (Newson et al.
    2014), and because it is taken from the full size at every level, what is sharp and what is out of focus are
    different things from the first step on. lent: the view with sources below.
    """
    here = Progress(0.0, "looking at the surroundings")
    yield here
    image, hole = view.pixels, view.hole
    depth = _rim_depth(hole)
    thickness = depth.max() / kernels.DEPTH_UNIT
    yield here
    count = 1 + max(0, math.ceil(math.log2(max(1.0, thickness / coarsest_radius))))
    height, unknown = len(hole), hole
    if lent:
        image, unknown, count = lent.pixels, lent.unknown, min(count, lent.scales)
    energy, known = _gradient_energy(image, unknown, workers)
    levels: list[Level] = []
    for index in range(count):
        yield here
        if index:
            one = np.broadcast_to(np.float32(1), energy.shape)
            energy, known = (halve_weighted(part[:, :, None], one)[0][:, :, 0] for part in (energy, known))
            yield here
            image, unknown = halve(image, unknown)
            height = (height + 1) // 2
            depth = _rim_depth(unknown[:height])
            yield here
        rough = _texture(energy, known, texture, texture_reach, workers)[:, :, None]
        yield here
        level = _level(image, unknown, height, depth, rough if image.shape[2] < kernels.CHANNELS else rough[:, :, :0])
        if lent:
            level.places = lent.offset >> index, lent.period >> index, lent.count
        if level.source_count < LEAST_SOURCES or not len(level.targets):
            break
        if level.hole.size <= FOREIGN_PIXELS:
            level.foreign = _foreignness(level, workers)
        levels.append(level)
    if levels:
        layered = layering(levels[max(-LAYERS_SEEN, -len(levels))])
        for level in levels:
            level.layered = layered
    return levels[::-1]


def redraw(levels: list[Level], picture: np.ndarray, drawn: np.ndarray, coarsest_radius: float) -> list[Level]:
    """The levels, as far as the last one, with a part of its hole already drawn: what is drawn counts as known.

    picture (H, W, C + 1) of the last level, with its texture channel · drawn (H, W) bool. Sources stay what they were:
    nothing is copied from what is drawn.
    """
    hole = levels[-1].hole & ~drawn
    redrawn: list[Level] = []
    for level in reversed(levels):
        if redrawn:
            picture, hole = halve(picture, hole)
        depth = _rim_depth(hole)
        colours, texture = picture[:, :, : level.colours], picture[:, :, level.colours :]
        with_hole = _level(colours, hole, len(hole), depth, texture)
        if not len(with_hole.targets):
            break
        with_hole.valid, with_hole.source_count, with_hole.foreign = level.valid, level.source_count, level.foreign
        with_hole.layered = level.layered
        redrawn.append(with_hole)
        if depth.max() / kernels.DEPTH_UNIT <= coarsest_radius:
            break
    return redrawn[::-1]


def layering(level: Level) -> float:
    """The share of the texture channel's variance, in the rows of the hole, that lies between rows: 0 to 1.

    Ground that recedes, and whatever is ever more out of focus, are about as rough all along a row; a facade is not.
    0 where nothing is told: without a texture channel, with the same texture everywhere, with less than KNOWN_BESIDE
    known pixels in a row on average.
    """
    rows = level.hole_box.slices[0]
    known = ~level.hole[rows]
    texture = level.picture[rows, :, level.colours :]
    if not texture.size or known.sum() < KNOWN_BESIDE * len(known):
        return 0.0
    texture = np.where(known, texture[:, :, 0], 0).astype(np.float64)
    count = known.sum(axis=1)
    mean, means = texture.sum() / count.sum(), texture.sum(axis=1) / np.maximum(count, 1)
    whole = (((texture - mean) * known) ** 2).sum()
    return float((count * (means - mean) ** 2).sum() / whole) if whole > FLAT * count.sum() else 0.0


def features_of(level: Level, workers: Workers) -> np.ndarray:
    """The level's image as the bytes that patches are compared by: (n * CHANNELS,) uint8."""
    features = np.empty(len(level.image) * kernels.CHANNELS, np.uint8)

    def paint_strip(_: int, low: int, high: int) -> None:
        places = np.arange(low, high, dtype=np.int32)
        kernels.paint(features, places, level.image[low:high], level.colours, 0, high - low)

    workers.each(paint_strip, len(level.image), 16 * STRIP)
    return features


def paint(features: np.ndarray, pixels: np.ndarray, values: np.ndarray, colours: int, workers: Workers) -> None:
    """Write values (P, ...) into the features of these pixels (P,)."""
    workers.each(
        lambda _, low, high: kernels.paint(features, pixels, values, colours, low, high), len(pixels), 16 * STRIP
    )


def _foreignness(level: Level, workers: Workers) -> np.ndarray:
    """How much less like the rim each source is than the rim is like itself, in patch distances: (n,) int32.

    What is painted should be of the place: without this, a piece of something far away that happens to lie before the
    same background is as good as that background.
    """
    near = level.valid[: level.hole.size].reshape(level.hole.shape) & dilate(level.hole, 2 * RADIUS + 2)
    rim = np.flatnonzero(near).astype(np.int32)
    distance = np.zeros(len(level.image), np.int32)
    if len(rim) < 2:
        return distance
    examples = rim[:: max(2, len(rim) // EXAMPLES)]
    features = features_of(level, workers)
    workers.each(
        lambda _, low, high: kernels.foreignness(features, level.width, level.valid, examples, low, high, distance),
        len(distance),
        512,
    )
    usual = np.quantile(distance[np.setdiff1d(rim, examples, assume_unique=True)], 0.9)
    excess = np.maximum(distance - int(usual), 0)
    excess[level.hole.size :] = 0  # what is lent has been compared with the rim as a whole
    return excess


def _level(image: np.ndarray, unknown: np.ndarray, height: int, depth: np.ndarray, texture: np.ndarray) -> Level:
    """image (R, W, C) and unknown (R, W), of which the first `height` rows are the picture and the rest are lent;
    texture (R, W, 1), or (R, W, 0) where there is no room for it."""
    rows, width, colours = image.shape
    hole = unknown[:height]
    inner = np.zeros_like(unknown)
    inner[RADIUS : height - RADIUS, RADIUS : width - RADIUS] = True
    inner[height : rows - RADIUS, RADIUS : width - RADIUS] = True
    valid = inner & ~dilate(unknown, RADIUS)
    return Level(
        height=height,
        width=width,
        colours=colours,
        image=np.concatenate([image, texture], axis=2).reshape(rows * width, -1),
        hole=hole,
        valid=valid.ravel(),
        targets=np.flatnonzero(inner[:height] & dilate(hole, RADIUS)).astype(np.int32),
        pixels=np.flatnonzero(hole).astype(np.int32),
        depth=depth.ravel(),
        source_count=int(np.count_nonzero(valid)),
        lent=None if rows == height else ~unknown[height:],
    )


def _gradient_energy(image: np.ndarray, hole: np.ndarray, workers: Workers) -> tuple[np.ndarray, np.ndarray]:
    grey = np.ascontiguousarray(image.mean(axis=2, dtype=np.float32))
    energy, known = np.empty_like(grey), np.empty_like(grey)
    workers.each(lambda _, low, high: kernels.gradient_energy(grey, hole, low, high, energy, known), len(grey), ROWS)
    return energy, known


def _texture(energy: np.ndarray, known: np.ndarray, weight: float, reach: int, workers: Workers) -> np.ndarray:
    ratio = box_ratio(energy, known, reach, workers)
    texture = np.clip(weight * ratio - 1, -1, 1)
    texture[ratio < 0] = 0
    return texture


def box_ratio(values: np.ndarray, weight: np.ndarray, reach: int, workers: Workers) -> np.ndarray:
    """sum(values) / sum(weight) over (2 reach + 1)² pixels, (H, W) float32; -1 where there is no weight."""
    ratio = np.empty(values.shape, np.float32)
    values, weight = np.ascontiguousarray(values), np.ascontiguousarray(weight)
    workers.each(lambda _, low, high: kernels.box_ratio(values, weight, reach, low, high, ratio), len(ratio), ROWS)
    return ratio


def _rim_depth(hole: np.ndarray) -> np.ndarray:
    depth = np.zeros(hole.shape, np.int16)
    kernels.rim_distance(hole, depth)
    return depth
