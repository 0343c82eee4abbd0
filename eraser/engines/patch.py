"""The patch engine: a diffusion model that needs no training, because the photo's own patches are its training set.

The best denoiser that is local and treats all places alike is the posterior mean over training patches (Kamb & Ganguli
2024, arXiv:2412.20292). Here the training patches are the known ones of this one photo, the few that matter for each place
are found by PatchMatch (Barnes et al. 2009), and the sampling loop runs from the coarsest scale, where the hole is
a few pixels wide, to the finest. What passes from scale to scale is not the picture but *where each patch came from*, so
that every scale is painted with its own, sharp pixels.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from eraser.canvas import View
from eraser.engines import patch_kernels as kernels
from eraser.engines.base import EngineInfo, Progress
from eraser.geometry import Box
from eraser.pyramid import dilate, double, halve, halve_weighted, push_pull
from eraser.sampling import sample
from eraser.schedule import geometric
from eraser.window import tighten

RADIUS = kernels.RADIUS
STRIP = 4096  # targets a thread takes at once; a constant, because results depend on it
LEAST_SOURCES = 32  # a level with fewer known patches is too coarse to start from


@dataclass(frozen=True, slots=True)
class Recipe:
    """What can be turned. Noise is in units of the [-1, 1] range; docs/decisions tells what was measured."""

    coarsest_radius: float = 1.6  # pixels: how thick the hole is where painting starts
    starts: int = 8  # paintings of the coarse scales, of which the most consistent one goes on
    start_targets: int = 1500  # scales up to this many patches are painted several times
    first_noise: tuple[float, float, int] = (0.4, 0.04, 16)  # from, to, steps at the coarsest scale
    noise_share: float = 1.0  # of the surroundings' highest-octave energy, where finer scales start
    last_noise: float = 0.016
    steps: int = 10
    fine_steps: int = 6  # at full size
    first_sweeps: int = 6
    sweeps: int = 3
    rim_decay: float = 2.2  # votes weigh this much less per pixel that their patch lies further inside
    repetition: float = 0.03  # penalty on often used sources, in median patch distances per doubling
    texture: float = 12.0  # weight of the texture channel
    texture_reach: int = 2
    reach: int = 0  # pixels that random search goes from the best source so far at finer scales; 0 for everywhere
    sharpness: float = 0.02  # of the last vote: sigma² in median patch distances; lower copies, higher blends
    soft_rim: float = 0.0  # pixels from the rim over which the last vote turns from blending to copying


@dataclass(slots=True)
class Level:
    """One scale of the view, flat: what the kernels need to know about it."""

    height: int
    width: int
    image: np.ndarray  # (n, C + 1) float32, the colours and the texture channel, 0 under the hole
    colours: int
    hole: np.ndarray  # (H, W) bool
    valid: np.ndarray  # (n,) bool: centres of patches without a hole pixel
    targets: np.ndarray  # (T,) int32: centres of patches with one
    pixels: np.ndarray  # (N,) int32: the hole's pixels
    depth: np.ndarray  # (n,) int16: distance to the rim
    cost: np.ndarray = field(init=False)  # (n,) int32: distance of each target's patch to its source

    def __post_init__(self) -> None:
        self.cost = np.zeros(self.height * self.width, np.int32)

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)

    @property
    def source_count(self) -> int:
        return int(np.count_nonzero(self.valid))


class Workers:
    """Runs strips of a list in threads. The strips depend on the list's length alone."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="eraser") if threads > 1 else None

    def each(self, kernel: Callable[[int, int, int], object], length: int, strip: int = STRIP) -> None:
        """Call kernel(strip number, low, high) over range(length), cut into strips."""
        count = max(1, min(64, length // strip))
        bounds = [length * i // count for i in range(count + 1)]
        parts = [(i, bounds[i], bounds[i + 1]) for i in range(count)]
        if self._pool is None or count == 1:
            for part in parts:
                kernel(*part)
        else:
            list(self._pool.map(lambda part: kernel(*part), parts))


class PatchDenoiser:
    """E[clean | noisy, surroundings] over the level's own known patches, for the pixels of its hole.

    The loop's arrays are the hole's pixels alone, (N, C + 1); the surroundings stand in the level, and every patch
    that reaches over the rim is compared with them.
    """

    sees_known = True

    def __init__(
        self,
        level: Level,
        field: np.ndarray,
        recipe: Recipe,
        rng: np.random.Generator,
        workers: Workers,
        last: float,
        first: bool,
    ) -> None:
        self.field = field
        self._spare = field.copy()
        self._level, self._recipe, self._rng, self._workers = level, recipe, rng, workers
        self._last = last
        self._calls = self._turns = 0
        self._typical = 0.0
        self._features = np.empty(level.image.shape[0] * kernels.CHANNELS, np.uint8)
        everywhere = max(level.height, level.width)
        self._radius = min(everywhere, recipe.reach) if recipe.reach and not first else everywhere
        self._sources = level.source_count
        everything = np.arange(level.image.shape[0], dtype=np.int32)
        self._paint(everything, level.image)

    def __call__(self, noisy: np.ndarray, sigma: float, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
        self._paint(self._level.pixels, noisy)
        for turn in range(self._recipe.first_sweeps if self._calls == 0 else self._recipe.sweeps):
            self._sweep(rescore=turn == 0)
        self._calls += 1
        # the softmax over patches is all but a maximum once the noise is gone
        sharpness = 1 / (2 * self._recipe.sharpness * max(1.0, self._typical)) if sigma <= self._last else 0.0
        return vote(self._level, self._level.pixels, self.field, self._recipe, self._workers, sharpness=sharpness)

    def _paint(self, pixels: np.ndarray, values: np.ndarray) -> None:
        colours = self._level.colours
        self._workers.each(
            lambda _, low, high: kernels.paint(self._features, pixels, values, colours, low, high),
            len(pixels),
            16 * STRIP,
        )

    def _sweep(self, *, rescore: bool) -> None:
        level, targets = self._level, self._level.targets
        usage = self._usage()
        seed = int(self._rng.integers(1, 1 << 31))
        backward = bool(self._turns % 2)

        def search(strip: int, low: int, high: int) -> None:
            kernels.search(
                self._features,
                level.width,
                targets,
                low,
                high,
                self.field,
                self._spare,
                level.cost,
                level.valid,
                usage,
                self._radius,
                1,
                backward,
                rescore,
                (seed + 7919 * strip) | 1,
            )

        self._workers.each(search, len(targets))
        self.field, self._spare = self._spare, self.field
        self._turns += 1
        if rescore:
            self._typical = typical_cost(level)

    def _usage(self) -> np.ndarray:
        """Penalty per run of sources: the logarithm of how much more than its share it is used."""
        runs = (self._level.valid.size >> kernels.CELL_SHIFT) + 1
        weight = self._recipe.repetition * self._typical
        if weight == 0:
            return np.zeros(runs, np.int32)
        targets = self._level.targets
        uses = np.bincount(self.field[targets] >> kernels.CELL_SHIFT, minlength=runs)
        share = max(1.0, (1 << kernels.CELL_SHIFT) * len(targets) / self._sources)
        return (weight * np.log2(1 + uses.astype(np.float32) / np.float32(share))).astype(np.int32)


class PatchEngine:
    """See the module. threads: how many to use, all by default; results do not depend on it."""

    def __init__(self, info: EngineInfo, *, recipe: Recipe | None = None, threads: int | None = None) -> None:
        self.info = info
        self._recipe = recipe or Recipe()
        self._workers = Workers(threads or os.cpu_count() or 1)

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract. There is no prompt to take."""
        scales = build_pyramid(view, self._recipe, self._workers)
        if not scales:  # nowhere a whole known patch: a smooth continuation is all there is to say
            return push_pull(view.pixels, (~view.hole).astype(np.float32))
        tracker = Tracker(view, [(len(level.targets), self._steps(i, len(scales))) for i, level in enumerate(scales)])
        coarse = 0
        while coarse < len(scales) and len(scales[coarse].targets) <= self._recipe.start_targets:
            coarse += 1
        best: Painting | None = None
        for start in range(self._recipe.starts if coarse else 0):
            rng = np.random.default_rng((seed, start))
            painting = yield from self._descend(scales, range(coarse), None, rng, tracker)
            if best is None or painting.cost < best.cost:
                best = painting
        rng = np.random.default_rng((seed, self._recipe.starts))
        painting = yield from self._descend(scales, range(coarse, len(scales)), best, rng, tracker)
        level = scales[-1]
        values = without_step(level, painting, self._recipe, self._workers)
        result = view.pixels.reshape(len(level.image), -1).copy()
        result[level.pixels] = values[:, : level.colours]
        return result.reshape(view.pixels.shape)

    def _steps(self, index: int, count: int) -> int:
        if index == 0:
            return self._recipe.first_noise[2]
        return self._recipe.fine_steps if index == count - 1 else self._recipe.steps

    def _descend(
        self,
        scales: list[Level],
        which: range,
        painting: Painting | None,
        rng: np.random.Generator,
        tracker: Tracker,
    ) -> Generator[Progress, None, Painting]:
        """Paint these scales, coarsest first, continuing from the painting of the one before."""
        for index in which:
            level, recipe = scales[index], self._recipe
            if painting is None:
                field, start = random_field(level, rng), smooth_start(level)
                high, low, count = recipe.first_noise
            else:
                field = finer_field(painting, level, rng)
                start = vote(level, level.pixels, field, recipe, self._workers)
                low, count = recipe.last_noise, self._steps(index, len(scales))
                high = max(0.04, recipe.noise_share * grain(level))
            sigmas = geometric(high, low, count)
            denoiser = PatchDenoiser(level, field, recipe, rng, self._workers, last=sigmas[-2], first=painting is None)
            values = start
            for step in sample(
                denoiser,
                np.zeros_like(start),
                np.ones((len(start), 1), np.float32),
                sigmas,
                noise=lambda shape: colour_noise(rng, shape, level.colours),  # noqa: B023 (used within this turn)
                start=start,
                eta=math.inf,  # the estimate is renoised from scratch: patches forget, the field remembers
            ):
                values = step.clean
                yield tracker.step(index, level, values)
            painting = Painting(level, denoiser.field, values, float(level.cost[level.targets].mean()))
        assert painting is not None
        return painting


@dataclass(frozen=True, slots=True)
class Painting:
    """A level as painted: where every target's patch came from, and the hole's values (N, C + 1)."""

    level: Level
    field: np.ndarray
    values: np.ndarray
    cost: float  # mean patch distance: how well the painting agrees with itself and its surroundings


class Tracker:
    """Turns steps into progress: each costs what its level has targets."""

    def __init__(self, view: View, work: list[tuple[int, int]]) -> None:
        self._view = view
        self._costs = [targets + 500 for targets, _ in work]
        self._total = sum(cost * steps for cost, (_, steps) in zip(self._costs, work, strict=True))
        self._done = 0
        self._best = 0.0

    def step(self, index: int, level: Level, values: np.ndarray) -> Progress:
        self._done += self._costs[index]
        self._best = max(self._best, min(0.99, self._done / self._total))
        finest = index == len(self._costs) - 1
        note = "fine texture" if finest else f"structure at 1/{2 ** (len(self._costs) - 1 - index)} size"
        return Progress(self._best, note, lambda: self._preview(level, values))

    def _preview(self, level: Level, values: np.ndarray) -> np.ndarray:
        small = level.image[:, : level.colours].copy()
        small[level.pixels] = values[:, : level.colours]
        picture = small.reshape(level.height, level.width, -1)
        full = self._view.size
        while picture.shape[0] < full.height or picture.shape[1] < full.width:
            picture = double(picture, 2 * picture.shape[0], 2 * picture.shape[1])
        picture = picture[: full.height, : full.width]
        return np.where(self._view.hole[:, :, None], picture, self._view.pixels)


def build_pyramid(view: View, recipe: Recipe, workers: Workers) -> list[Level]:
    """Levels from the coarsest that can be painted to the full size; empty where no level has enough known patches."""
    depth = rim_depth(view.hole)
    thickness = depth.max() / kernels.DEPTH_UNIT
    count = 1 + max(0, math.ceil(math.log2(max(1.0, thickness / recipe.coarsest_radius))))
    image, hole = view.pixels, view.hole
    energy, known = gradient_energy(image, hole, workers)
    levels: list[Level] = []
    for index in range(count):
        if index:
            energy, known = (halve_weighted(m[:, :, None], np.ones_like(m))[0][:, :, 0] for m in (energy, known))
            image, hole = halve(image, hole)
            depth = rim_depth(hole)
        level = make_level(image, hole, depth, texture_of(energy, known, recipe, workers))
        if level.source_count < LEAST_SOURCES or not len(level.targets):
            break
        levels.append(level)
    return levels[::-1]


def make_level(image: np.ndarray, hole: np.ndarray, depth: np.ndarray, texture: np.ndarray) -> Level:
    height, width, colours = image.shape
    inner = np.zeros_like(hole)
    inner[RADIUS : height - RADIUS, RADIUS : width - RADIUS] = True
    touching = dilate(hole, RADIUS)
    channels = [image, texture[:, :, None]] if colours < kernels.CHANNELS else [image]
    return Level(
        height=height,
        width=width,
        image=np.concatenate(channels, axis=2).reshape(height * width, -1),
        colours=colours,
        hole=hole,
        valid=(inner & ~touching).ravel(),
        targets=np.flatnonzero(inner & touching).astype(np.int32),
        pixels=np.flatnonzero(hole).astype(np.int32),
        depth=depth.ravel(),
    )


def gradient_energy(image: np.ndarray, hole: np.ndarray, workers: Workers) -> tuple[np.ndarray, np.ndarray]:
    grey = np.ascontiguousarray(image.mean(axis=2, dtype=np.float32))
    energy, known = np.empty_like(grey), np.empty_like(grey)
    workers.each(lambda _, low, high: kernels.gradient_energy(grey, hole, low, high, energy, known), len(grey), 64)
    return energy, known


def texture_of(energy: np.ndarray, known: np.ndarray, recipe: Recipe, workers: Workers) -> np.ndarray:
    """How rough the full-size picture is around each pixel of a level, (H, W) in [-1, 1].

    Sources are told apart by it (Newson et al. 2014), and because it is taken from the full size at every level, what is
    sharp and what is out of focus are different things from the first step on.
    """
    ratio = np.empty_like(energy)
    energy, known = np.ascontiguousarray(energy), np.ascontiguousarray(known)
    workers.each(
        lambda _, low, high: kernels.box_ratio(energy, known, recipe.texture_reach, low, high, ratio), len(ratio), 64
    )
    texture = np.clip(recipe.texture * ratio - 1, -1, 1)
    texture[ratio < 0] = 0
    return texture


def rim_depth(hole: np.ndarray) -> np.ndarray:
    depth = np.zeros(hole.shape, np.int16)
    kernels.rim_distance(hole, depth)
    return depth


def random_field(level: Level, rng: np.random.Generator) -> np.ndarray:
    field = np.full(len(level.image), -1, np.int32)
    field[level.targets] = random_sources(level, rng)
    return field


def random_sources(level: Level, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(np.flatnonzero(level.valid), len(level.targets)).astype(np.int32)


def finer_field(painting: Painting, level: Level, rng: np.random.Generator) -> np.ndarray:
    coarse = painting.level
    field = np.full(len(level.image), -1, np.int32)
    kernels.upsample_field(
        painting.field,
        coarse.width,
        len(coarse.image),
        level.targets,
        level.width,
        len(level.image),
        level.valid,
        random_sources(level, rng),
        field,
    )
    return field


def smooth_start(level: Level) -> np.ndarray:
    picture = level.image.reshape(level.height, level.width, -1)
    return push_pull(picture, (~level.hole).astype(np.float32)).reshape(level.image.shape)[level.pixels]


def colour_noise(rng: np.random.Generator, shape: tuple[int, ...], colours: int) -> np.ndarray:
    """Unit noise for the colours, none for the texture channel."""
    noise = np.zeros(shape, np.float32)
    noise[:, :colours] = rng.standard_normal((shape[0], colours), np.float32)
    return noise


def vote(
    level: Level,
    pixels: np.ndarray,
    field: np.ndarray,
    recipe: Recipe,
    workers: Workers,
    *,
    decay: float | None = None,
    sharpness: float = 0.0,
) -> np.ndarray:
    """What the field's patches would put at these pixels: (P,) -> (P, C + 1) float32; NaN where no patch lies."""
    steps = np.arange(kernels.DEPTH_TABLE) - kernels.DEPTH_TABLE // 2
    weights = ((decay or recipe.rim_decay) ** (-steps / kernels.DEPTH_UNIT)).astype(np.float32)
    out = np.empty((len(pixels), level.image.shape[1]), np.float32)
    workers.each(
        lambda _, low, high: kernels.vote(
            level.image,
            level.width,
            pixels,
            low,
            high,
            field,
            level.cost,
            level.depth,
            weights,
            np.float32(sharpness),
            np.int32(round(recipe.soft_rim * kernels.DEPTH_UNIT)),
            out,
        ),
        len(pixels),
    )
    return out


def typical_cost(level: Level) -> float:
    """The median patch distance, of at most 10,000 targets."""
    targets = level.targets[:: max(1, len(level.targets) // 10_000)]
    return float(np.median(level.cost[targets]))


def grain(level: Level) -> float:
    """Root mean square of the highest octave around the hole, in the image's range."""
    image = level.image[:, : level.colours].reshape(level.height, level.width, -1)
    box = tighten(level.hole, level.box)
    if box is None:
        return 0.0
    around = box.pad(16).clamp(level.box).slices
    crop, hole = image[around], level.hole[around]
    low = double(halve(crop, np.zeros_like(hole))[0], *hole.shape)
    known = ~dilate(hole, RADIUS)
    return float(np.sqrt(np.mean((crop - low)[known] ** 2))) if known.any() else 0.0


def without_step(level: Level, painting: Painting, recipe: Recipe, workers: Workers) -> np.ndarray:
    """The painting less the colour step that is left along the rim, carried smoothly inward.

    What the patches would put on the rim's known side is compared with what stands there; the smoothed difference is
    spread over the hole as a membrane (Pérez et al. 2003, Poisson image editing, with push-pull in place of a solver).
    """
    box = tighten(level.hole, level.box)
    assert box is not None
    box = box.pad(2 * RADIUS + 4).clamp(level.box)
    hole = level.hole[box.slices]
    ring = dilate(hole, RADIUS) & ~hole
    index = np.arange(len(level.image), dtype=np.int32).reshape(level.height, level.width)[box.slices]
    told = vote(level, index[ring], painting.field, recipe, workers, decay=1.0)
    seen = np.isfinite(told).all(axis=1)
    known = np.zeros(ring.shape, np.float32)
    known[ring] = seen
    correction = np.zeros((*ring.shape, level.colours), np.float32)
    for channel in range(level.colours):
        step = np.zeros(ring.shape, np.float32)
        step[ring] = np.where(seen, level.image[index[ring], channel] - told[:, channel], 0)
        smooth = np.empty_like(step)
        reach = 2 * RADIUS
        workers.each(lambda _, low, high: kernels.box_ratio(step, known, reach, low, high, smooth), len(step), 64)  # noqa: B023
        correction[:, :, channel] = np.where(known > 0, smooth, 0)
    values = painting.values.copy()
    values[:, : level.colours] += push_pull(correction, known)[hole]
    return values
