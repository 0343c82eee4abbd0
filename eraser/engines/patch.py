"""The patch engine: a diffusion model that needs no training, because the photo's own patches are its training set.

The best denoiser that is local and treats all places alike is the posterior mean over training patches (Kamb & Ganguli
2024, arXiv:2412.20292). Here the training patches are the known ones of this one photo, the few that matter for each
place are found by PatchMatch (Barnes et al. 2009), and the sampling loop runs from the coarsest scale, where the hole
is a few pixels wide, to the finest. What passes from scale to scale is not the picture but *where each patch came
from*, so that every scale is painted with its own, sharp pixels. Patches do not mind a kink in a line; so edges that
continue each other across the hole are drawn through it first, and the rest is painted around them.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from eraser.canvas import View
from eraser.engines import patch_kernels as kernels
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.edges import draw_edges
from eraser.engines.patch_fields import (
    Painting,
    depth_weights,
    finer_field,
    random_field,
    sharpest_sources,
    smooth_start,
    vote,
)
from eraser.engines.patch_levels import STRIP, Level, Workers, features_of, level_steps, paint, redraw
from eraser.engines.patch_small import paint_level
from eraser.engines.seams import level_rim, level_seams
from eraser.machine import usable_processors
from eraser.pyramid import double, push_pull
from eraser.sampling import sample
from eraser.schedule import geometric


@dataclass(frozen=True, slots=True)
class Recipe:
    """What can be turned; docs/decisions/0004-patch-engine.md says what was measured. Noise is in the [-1, 1] range."""

    coarsest_radius: float = 1.6  # pixels: how thick the hole is where painting starts
    starts: int = 6  # paintings of the coarse scales, of which the most consistent one goes on
    start_steps: int = 12
    start_targets: int = 1500  # scales up to this many patches are painted several times
    first_noise: tuple[float, float, int] = (0.4, 0.04, 16)  # from, to, steps at the coarsest scale
    noise_share: float = 1.0  # of the surroundings' highest-octave energy, where finer scales start
    last_noise: float = 0.016
    steps: int = 20
    fine_steps: int = 12  # at full size
    patience: int = 60_000  # scales with more patches than this are given fewer steps, as most is decided by then
    least_steps: int = 5
    first_sweeps: int = 6  # PatchMatch sweeps in a scale's first step
    sweeps: int = 1
    reach: int = 64  # pixels that random search goes from the best source so far at finer scales; 0 for everywhere
    edge_targets: int = 10_000  # the finest scale with so few patches is where edges are drawn; 0 for none
    rim_decay: float = 2.2  # a vote weighs this much less per pixel that its patch lies further inside
    repetition: float = 0.03  # penalty on often used sources, in median patch distances per doubling
    foreign: float = 1.0  # penalty on sources less like the rim than the rim is like itself, in patch distances
    texture: float = 12.0  # weight of the texture channel
    texture_reach: int = 2
    sharpness: float = 0.02  # of the last vote: sigma² in median patch distances; lower copies, higher blends
    seam_tolerance: float = 0.5  # steps between pieces well above it are edges, and stay


ALONE = Workers(1)


@dataclass(frozen=True, slots=True)
class State:
    """Where a painting is: at which level, and the hole's values (N, C + 1) after a step, None within one."""

    index: int
    level: Level
    values: np.ndarray | None = None
    steps: int = 1  # since the state before


class PatchDenoiser:
    """E[clean | noisy, surroundings] over the level's own known patches, for the pixels of its hole.

    The loop's arrays are the hole's pixels alone, (N, C + 1), so `known` and `hole` say nothing here; the surroundings
    stand in the level, and every patch that reaches over the rim is compared with them.
    """

    sees_known = True

    def __init__(
        self,
        level: Level,
        field: np.ndarray,
        recipe: Recipe,
        rng: np.random.Generator,
        workers: Workers,
        *,
        last: float,
        reach: int,
    ) -> None:
        """last: the noise level of the last call, whose vote is sharp. reach: of random search, in pixels."""
        self.field = field
        self._spare = field.copy()
        self._level, self._recipe, self._rng, self._workers = level, recipe, rng, workers
        self._last, self._reach = last, reach
        self._searched = False
        self._calls = self._turns = 0
        self._typical = 0.0
        self._features = features_of(level, workers)
        self._foreign = None if level.foreign is None else (level.foreign * recipe.foreign).astype(np.int32)

    def search(self, noisy: np.ndarray) -> Iterator[None]:
        """Look for the sources of a noisy picture, which the next call is to bring. A level's first search takes
        longer than any other step, so whoever iterates may stop between its sweeps."""
        paint(self._features, self._level.pixels, noisy, self._level.colours, self._workers)
        for turn in range(self._recipe.first_sweeps if self._calls == 0 else self._recipe.sweeps):
            self._sweep(rescore=turn == 0)
            yield
        self._searched = True

    def __call__(self, noisy: np.ndarray, sigma: float, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
        if not self._searched:
            for _ in self.search(noisy):
                pass
        self._searched = False
        self._calls += 1
        # the softmax over patches is all but a maximum once the noise is gone
        sharpness = sharpness_of(self._recipe, self._typical) if sigma <= self._last else 0.0
        pixels = self._level.pixels
        return vote(self._level, pixels, self.field, self._workers, decay=self._recipe.rim_decay, sharpness=sharpness)

    def _sweep(self, *, rescore: bool) -> None:
        level, targets = self._level, self._level.targets
        penalties, run_shift = self._penalties()
        seed = int(self._rng.integers(1, 1 << 31))
        backward = bool(self._turns % 2)
        self._workers.each(
            lambda strip, low, high: kernels.search(
                self._features,
                level.width,
                targets,
                low,
                high,
                self.field,
                self._spare,
                level.cost,
                level.valid,
                penalties,
                run_shift,
                self._reach,
                1,
                backward,
                rescore,
                (seed + 7919 * strip) | 1,
            ),
            len(targets),
        )
        self.field, self._spare = self._spare, self.field
        self._turns += 1
        if rescore:
            self._typical = level.typical_cost

    def _penalties(self) -> tuple[np.ndarray, int]:
        """Penalty per run of sources, and how often a source's number is halved to find its run."""
        usage = self._usage()
        if self._foreign is None:
            return usage, kernels.CELL_SHIFT
        return np.repeat(usage, 1 << kernels.CELL_SHIFT)[: len(self._foreign)] + self._foreign, 0

    def _usage(self) -> np.ndarray:
        """Penalty per run of sources: the logarithm of how much more than its share it is used."""
        level = self._level
        runs = (level.valid.size >> kernels.CELL_SHIFT) + 1
        weight = self._recipe.repetition * self._typical
        if weight == 0:
            return np.zeros(runs, np.int32)
        uses = np.bincount(self.field[level.targets] >> kernels.CELL_SHIFT, minlength=runs)
        share = max(1.0, (1 << kernels.CELL_SHIFT) * len(level.targets) / level.source_count)
        return (weight * np.log2(1 + uses.astype(np.float32) / np.float32(share))).astype(np.int32)


def paint_small(
    level: Level,
    field: np.ndarray,
    start: np.ndarray,
    sigmas: list[float],
    recipe: Recipe,
    rng: np.random.Generator,
    reach: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A level of one strip, from its start to its end: its field and the hole's values. Costs are left in the level."""
    steps = len(sigmas) - 1
    fields = np.stack([field, field])
    values = start.astype(np.float32)  # a copy
    share = max(1.0, (1 << kernels.CELL_SHIFT) * len(level.targets) / level.source_count)
    uses = np.arange(len(level.targets) + 1, dtype=np.float32)
    foreign = np.empty(0, np.int32) if level.foreign is None else (level.foreign * recipe.foreign).astype(np.int32)
    last = paint_level(
        features_of(level, ALONE),
        level.image,
        level.width,
        level.colours,
        level.targets,
        level.pixels,
        fields,
        level.cost,
        level.valid,
        foreign,
        np.float32(recipe.repetition) * np.log2(1 + uses / np.float32(share)),
        level.depth,
        depth_weights(recipe.rim_decay),
        values,
        rng.standard_normal((steps, len(values), level.colours), np.float32),
        np.asarray(sigmas, np.float32),
        rng.integers(1, 1 << 31, recipe.first_sweeps + (steps - 1) * recipe.sweeps),
        recipe.first_sweeps,
        recipe.sweeps,
        reach,
        1 / (2 * recipe.sharpness),
    )
    return fields[last], values


class PatchEngine:
    """See the module. threads: how many to use, all by default; results do not depend on it."""

    def __init__(self, info: EngineInfo, *, recipe: Recipe | None = None, threads: int | None = None) -> None:
        self.info = info
        self._recipe = recipe or Recipe()
        self._workers = Workers(threads or usable_processors())

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract. There is no prompt to take."""
        recipe = self._recipe
        levels = yield from level_steps(
            view,
            coarsest_radius=recipe.coarsest_radius,
            texture=recipe.texture,
            texture_reach=recipe.texture_reach,
            workers=self._workers,
        )
        if not levels:  # nowhere a whole known patch: a smooth continuation is all there is to say
            smooth = push_pull(view.pixels, (~view.hole).astype(np.float32))
            yield Progress(1.0, "a smooth continuation")
            return smooth
        yield Progress(0.0, "looking at the edges")
        # edges are drawn below the full size, because what is drawn has no texture
        small = [level for level in levels[:-1] if len(level.targets) <= recipe.edge_targets]
        stages, drawing = self._draw_edges(small)
        every = stages + levels[len(small) :]
        # the scales that are painted several times; a drawing is made use of once
        several = every if drawing is None else stages
        coarse = len([level for level in several if len(level.targets) <= recipe.start_targets])
        starts = recipe.starts if coarse else 0
        steps = [self._step_count(every, index) for index in range(len(every))]
        tracker = Tracker(view, every, [n * (starts if i < coarse else 1) for i, n in enumerate(steps)])
        best: Painting | None = None
        if starts:
            best = yield from self._start(every[:coarse], seed, starts, steps[:coarse], tracker)
        rng = np.random.default_rng((seed, starts))
        if drawing is not None:
            if stages:
                best = yield from tracker.told(
                    self._descend(every, range(coarse, len(stages)), best, rng, self._workers)
                )
            coarse, best = len(stages), (yield from self._undraw(drawing, small[-1], best, rng, tracker))
        finest = yield from tracker.told(self._descend(every, range(coarse, len(every)), best, rng, self._workers))
        level = finest.level
        del levels, small, stages, every, best  # what is left to do needs the memory of the coarser scales
        result = view.pixels.reshape(len(level.image), -1).copy()
        result[level.pixels] = np.clip((yield from self._finish(finest, tracker)), -1, 1)
        yield Progress(1.0, "seams levelled")
        return result.reshape(view.pixels.shape)

    def _start(
        self, levels: list[Level], seed: int, count: int, steps: list[int], tracker: Tracker
    ) -> Generator[Progress, None, Painting]:
        """Paint these levels several times, as many at once as there are threads; returns the most consistent one."""
        ended = threading.Event()

        def paint_one(start: int) -> Painting | None:
            own = [copy.copy(level) for level in levels]  # each keeps patch distances of its own
            states = self._descend(own, range(len(own)), None, np.random.default_rng((seed, start)), ALONE)
            while not ended.is_set():
                try:
                    next(states)
                except StopIteration as finished:
                    painting: Painting = finished.value
                    return painting
            return None

        for level in levels[1:]:
            level.grain  # noqa: B018 - for all of them
        best: Painting | None = None
        try:
            for painting in self._workers.map(paint_one, count):
                assert painting is not None, "nobody ended it"
                if best is None or painting.mean_cost < best.mean_cost:
                    best = painting
                yield tracker.start(steps, best)
        finally:
            ended.set()
        assert best is not None, "there is at least one start"
        return best

    def _draw_edges(self, levels: list[Level]) -> tuple[list[Level], np.ndarray | None]:
        """The levels, and the picture (n, C + 1) of the last, with edges drawn through the hole; None without edges."""
        if not levels:
            return levels, None
        level = levels[-1]
        picture = level.image.reshape(level.height, level.width, -1)
        drawn, picture = draw_edges(picture, level.hole, level.colours)
        if not drawn.any():
            return levels, None
        return redraw(levels, picture, drawn, self._recipe.coarsest_radius), picture.reshape(level.image.shape)

    def _undraw(
        self,
        drawing: np.ndarray,
        level: Level,
        painting: Painting | None,
        rng: np.random.Generator,
        tracker: Tracker,
    ) -> Generator[Progress, None, Painting]:
        """A painting of the whole hole: patches are found for what was drawn, too, and from there on it can change."""
        picture, field = drawing.copy(), random_field(level, rng)
        if painting is not None:
            picture[painting.level.pixels] = painting.values
            field[painting.level.targets] = painting.field[painting.level.targets]
        reach = max(level.height, level.width)
        level.cost = np.zeros_like(level.cost)
        denoiser = PatchDenoiser(level, field, self._recipe, rng, self._workers, last=0.0, reach=reach)
        values = picture[level.pixels]
        for _ in denoiser.search(values):
            yield tracker.pause("sources for the edges")
        values = denoiser(values, np.inf, picture, level.hole)
        return Painting(level, denoiser.field, values, level.cost)

    def _step_count(self, levels: list[Level], index: int) -> int:
        recipe = self._recipe
        if index == 0:
            return recipe.first_noise[2]
        if len(levels[index].targets) <= recipe.start_targets:
            return recipe.start_steps
        steps = recipe.fine_steps if index == len(levels) - 1 else recipe.steps
        excess = max(1.0, len(levels[index].targets) / recipe.patience)
        return max(recipe.least_steps, round(steps / math.sqrt(excess)))

    def _descend(
        self, levels: list[Level], which: range, painting: Painting | None, rng: np.random.Generator, workers: Workers
    ) -> Generator[State, None, Painting]:
        """Paint these levels, coarsest first, continuing from the painting of the one before."""
        recipe = self._recipe
        for index in which:
            level = levels[index]
            reach = max(level.height, level.width)
            if painting is None:
                field, start = random_field(level, rng), smooth_start(level)
                sigmas = geometric(*recipe.first_noise)
            else:
                field = finer_field(painting, level, rng)
                yield State(index, level)
                start = vote(level, level.pixels, field, workers, decay=recipe.rim_decay)
                yield State(index, level)
                high = max(0.04, recipe.noise_share * level.grain)
                sigmas = geometric(high, recipe.last_noise, self._step_count(levels, index))
                reach = min(reach, recipe.reach or reach)
            level.cost = np.zeros_like(level.cost)  # paintings keep theirs
            if len(level.targets) < 2 * STRIP:  # a single strip
                field, values = paint_small(level, field, start, sigmas, recipe, rng, reach)
                painting = Painting(level, field, values, level.cost)
                yield State(index, level, values, len(sigmas) - 1)
                continue
            denoiser = PatchDenoiser(level, field, recipe, rng, workers, last=sigmas[-2], reach=reach)
            noise = ColourNoise(rng, level.colours)
            noisy = start + float(sigmas[0]) * noise(start.shape)
            for _ in denoiser.search(noisy):
                yield State(index, level)
            values = start
            for step in sample(
                denoiser,
                np.zeros((1, 1), np.float32),
                np.ones((1, 1), np.float32),  # the loop runs on the hole's pixels alone
                sigmas,
                noise=noise,
                noisy=noisy,
                eta=math.inf,  # the estimate is renoised from scratch: what must be remembered is in the field
            ):
                values = step.clean
                yield State(index, level, values)
            painting = Painting(level, denoiser.field, values, level.cost)
        assert painting is not None, "there is at least one level"
        return painting

    def _finish(self, painting: Painting, tracker: Tracker) -> Generator[Progress, None, np.ndarray]:
        return (yield from finish(painting, self._recipe, self._workers, tracker))


def finish(
    painting: Painting, recipe: Recipe, workers: Workers, tracker: Tracker
) -> Generator[Progress, None, np.ndarray]:
    """The finest painting's colours, without steps along the rim and between pieces: (N, C)."""
    level = painting.level
    level.cost = painting.cost
    sharpness = sharpness_of(recipe, level.typical_cost)
    label = sharpest_sources(level, painting.field, workers, decay=recipe.rim_decay, sharpness=sharpness)
    yield tracker.finish(0.2)
    values = level_rim(level, painting.field, painting.values, workers)
    yield tracker.finish(0.4)
    seams = level_seams(level, label, values, workers, tolerance=recipe.seam_tolerance)
    for done, _ in enumerate(seams, start=1):
        yield tracker.finish(0.4 + 0.6 * done / level.colours)
    return values[:, : level.colours]


@dataclass(frozen=True, slots=True)
class ColourNoise:
    """Unit noise for the colours, none for the texture channel."""

    rng: np.random.Generator
    colours: int

    def __call__(self, shape: tuple[int, int]) -> np.ndarray:
        noise = np.zeros(shape, np.float32)
        noise[:, : self.colours] = self.rng.standard_normal((shape[0], self.colours), np.float32)
        return noise


class Tracker:
    """Turns steps into progress: a step costs what its level has targets, and a little for being one."""

    def __init__(self, view: View, levels: list[Level], steps: list[int]) -> None:
        self._view = view
        self._costs = [len(level.targets) + 500 for level in levels]
        self._finish = 2 * self._costs[-1]  # levelling the seams takes about two steps' time
        self._total = sum(cost * count for cost, count in zip(self._costs, steps, strict=True)) + self._finish
        self._done = 0

    def told(self, states: Generator[State, None, Painting]) -> Generator[Progress, None, Painting]:
        """The states as progress; returns what they return."""
        while True:
            try:
                state = next(states)
            except StopIteration as finished:
                painting: Painting = finished.value
                return painting
            if state.values is None:
                yield self.pause(self.note(state.index))
            else:
                yield self.step(state.index, state.level, state.values, state.steps)

    def step(self, index: int, level: Level, values: np.ndarray, steps: int = 1) -> Progress:
        self._done += steps * self._costs[index]
        return Progress(self._fraction, self.note(index), lambda: self._preview(level, values))

    def start(self, counts: list[int], best: Painting) -> Progress:
        """After one of several paintings of the first levels, with so many steps each."""
        self._done += sum(cost * count for cost, count in zip(self._costs, counts, strict=False))
        return Progress(self._fraction, self.note(len(counts) - 1), lambda: self._preview(best.level, best.values))

    def pause(self, note: str) -> Progress:
        """Within what takes longer than a step: nothing new to show, but a moment to stop at."""
        return Progress(self._fraction, note)

    def finish(self, share: float) -> Progress:
        """After that share of levelling the seams."""
        return Progress(self._fraction + share * self._finish / self._total, "levelling the seams")

    def note(self, index: int) -> str:
        smaller = 2 ** (len(self._costs) - 1 - index)
        return f"structure, at 1/{smaller} of the size" if smaller > 1 else "texture, at full size"

    @property
    def _fraction(self) -> float:
        return min(1.0, self._done / self._total)

    def _preview(self, level: Level, values: np.ndarray) -> np.ndarray:
        picture = level.colour_image.copy()
        picture.reshape(-1, level.colours)[level.pixels] = values[:, : level.colours]
        full = self._view.size
        while picture.shape[0] < full.height or picture.shape[1] < full.width:
            picture = double(picture, 2 * picture.shape[0], 2 * picture.shape[1])
        return np.where(self._view.hole[:, :, None], picture[: full.height, : full.width], self._view.pixels)


def sharpness_of(recipe: Recipe, typical_cost: float) -> float:
    """1 / (2 sigma²) of a level's last vote."""
    return 1 / (2 * recipe.sharpness * max(1.0, typical_cost))
