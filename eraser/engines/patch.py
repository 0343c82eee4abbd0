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
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np

from eraser.canvas import View
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.edges import draw_edges
from eraser.engines.lending import Lent, lend
from eraser.engines.patch_denoiser import ColourNoise, PatchDenoiser, Recipe, layered_share, sharpness_of, walk
from eraser.engines.patch_fields import Painting, finer_field, random_field, sharpest_sources, smooth_start, vote
from eraser.engines.patch_levels import Level, Workers, level_steps, redraw
from eraser.engines.patch_progress import State, Tracker
from eraser.engines.patch_small import ALONE, MOST_TARGETS, paint_small
from eraser.engines.repeats import find_repeats
from eraser.engines.seams import level_rim, level_seams
from eraser.machine import usable_processors
from eraser.pyramid import push_pull
from eraser.schedule import geometric

MOST_BESIDE = 2_000_000  # pixels of a view, up to which repetitions are looked for beside something else


@dataclass(frozen=True, slots=True)
class Scale:
    """A level to be painted: its place among all, coarsest first, how many steps it is given, and how far the texture
    channel of each estimate is drawn to its rows' mean, from 0 to 1."""

    index: int
    level: Level
    steps: int
    focus: float


class PatchEngine:
    """See the module. threads: how many to use, all by default; results do not depend on it."""

    def __init__(self, info: EngineInfo, *, recipe: Recipe | None = None, threads: int | None = None) -> None:
        self.info = info
        self._recipe = recipe or Recipe()
        self._workers = Workers(threads or usable_processors())

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract. There is no prompt to take."""
        recipe = self._recipe
        yield Progress(0.0, "looking at the surroundings")
        with self._searching(view) as found:
            levels = yield from self._levels(view)
            if not levels:  # nowhere a whole known patch: a smooth continuation is all there is to say
                smooth = push_pull(view.pixels, (~view.hole).astype(np.float32))
                yield Progress(1.0, "a smooth continuation")
                return smooth
            yield Progress(0.0, "looking at edges and repetitions")
            maps = found()
        lent = lend(view.pixels, view.hole, maps, len(levels))
        if lent is not None:
            del levels  # which would stand beside the larger ones until they are built
            levels = yield from self._levels(view, lent)
        # edges are drawn below the full size, because what is drawn has no texture; what is lent brings its own
        small = [level for level in levels[:-1] if len(level.targets) <= recipe.edge_targets and lent is None]
        stages, drawing = self._draw_edges(small)
        every = stages + levels[len(small) :]
        # the scales that are painted several times; a drawing is made use of once
        several = every if drawing is None else stages
        coarse = len([level for level in several if len(level.targets) <= recipe.start_targets])
        starts = recipe.starts if coarse else 0
        drawn = min(coarse, len(every) - 1) if starts else 0  # the finest scale is never a mere start
        scales = [
            Scale(index, level, self._step_count(every, index), self._focus(level) if index < drawn else 0)
            for index, level in enumerate(every)
        ]
        tracker = Tracker(view, every, [scale.steps * (starts if scale.index < coarse else 1) for scale in scales])
        best: Painting | None = None
        if starts:
            best = yield from self._start(scales[:coarse], seed, starts, tracker)
        rng = np.random.default_rng((seed, starts))
        if drawing is not None:
            if stages:
                descent = self._descend(iter(scales[coarse : len(stages)]), best, rng, self._workers)
                best = yield from tracker.told(descent)
            coarse, best = len(stages), (yield from self._undraw(drawing, small[-1], best, rng, tracker))
        left = scales[coarse:]
        del levels, small, stages, every, several, scales, lent  # finer scales need the memory of the coarser ones
        finest = yield from tracker.told(self._descend(taken_out(left), best, rng, self._workers))
        level = finest.level
        del best
        finished = yield from self._finish(finest, tracker)
        result = view.pixels.reshape(level.hole.size, -1).copy()
        result[level.pixels] = np.clip(finished, -1, 1)
        yield Progress(1.0, "seams levelled")
        return result.reshape(view.pixels.shape)

    def _searching(self, view: View) -> AbstractContextManager[Callable[[], list[np.ndarray]]]:
        """Repetitions are looked for beside the body; in a large view before it, because there a second thread's own
        memory costs more than its hundredth of a second is worth."""

        def search() -> list[np.ndarray]:
            return find_repeats(view.pixels, view.hole, self._recipe.repeats)

        if view.hole.size <= MOST_BESIDE:
            return self._workers.beside(search)
        maps = search()
        return nullcontext(lambda: maps)

    def _levels(self, view: View, lent: Lent | None = None) -> Generator[Progress, None, list[Level]]:
        recipe = self._recipe
        return (
            yield from level_steps(
                view,
                coarsest_radius=recipe.coarsest_radius,
                texture=recipe.texture,
                texture_reach=recipe.texture_reach,
                workers=self._workers,
                lent=lent,
            )
        )

    def _start(
        self, scales: list[Scale], seed: int, count: int, tracker: Tracker
    ) -> Generator[Progress, None, Painting]:
        """Paint these scales several times, as many at once as there are threads; returns the most consistent one."""
        ended = threading.Event()

        def paint_one(start: int) -> Painting | None:
            own = [replace(scale, level=copy.copy(scale.level)) for scale in scales]  # each keeps distances of its own
            states = self._descend(iter(own), None, np.random.default_rng((seed, start)), ALONE)
            while not ended.is_set():
                try:
                    next(states)
                except StopIteration as finished:
                    painting: Painting = finished.value
                    return painting
            return None

        for scale in scales[1:]:
            scale.level.grain  # noqa: B018 - for all of them
        best: Painting | None = None
        try:
            for painting in self._workers.map(paint_one, count):
                assert painting is not None, "nobody ended it"
                if best is None or painting.mean_cost < best.mean_cost:
                    best = painting
                yield tracker.start([scale.steps for scale in scales], best)
        finally:
            ended.set()
        assert best is not None, "there is at least one start"
        return best

    def _draw_edges(self, levels: list[Level]) -> tuple[list[Level], np.ndarray | None]:
        """The levels, and the picture (n, C + 1) of the last, with edges drawn through the hole; None without edges."""
        if not levels:
            return levels, None
        level = levels[-1]
        picture = level.picture
        drawn, picture = draw_edges(picture, level.hole, level.colours)
        if not drawn.any():
            return levels, None
        return redraw(levels, picture, drawn, self._recipe.coarsest_radius), picture.reshape(level.hole.size, -1)

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
        denoiser = PatchDenoiser(level, field, self._recipe, rng, self._workers, sigmas=None, reach=reach)
        values = picture[level.pixels]
        for _ in denoiser.search(values):
            yield tracker.pause("sources for the edges")
        values = denoiser(values, np.inf, picture, level.hole)
        return Painting(level, denoiser.field, values, level.cost)

    def _focus(self, level: Level) -> float:
        """In layered pictures a row's texture is known, and what is out of focus fits nearly everything."""
        return self._recipe.focus * layered_share(level)

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
        self, scales: Iterator[Scale], painting: Painting | None, rng: np.random.Generator, workers: Workers
    ) -> Generator[State, None, Painting]:
        """Paint these scales, coarsest first, continuing from the painting of the one before."""
        recipe = self._recipe
        for scale in scales:
            index, level = scale.index, scale.level
            reach = max(level.height, level.width)
            if painting is None:
                field, values = random_field(level, rng), smooth_start(level)
                sigmas = geometric(*recipe.first_noise)
            else:
                field = finer_field(painting, level, rng)
                painting = None  # nor is its level needed any more
                yield State(index, level)
                values = vote(level, level.pixels, field, workers, decay=recipe.rim_decay)
                yield State(index, level)
                high = max(0.04, recipe.noise_share * level.grain)
                sigmas = geometric(high, recipe.last_noise, scale.steps)
                reach = min(reach, recipe.reach or reach)
            level.cost = np.zeros_like(level.cost)  # paintings keep theirs
            if len(level.targets) <= MOST_TARGETS:
                field, values = paint_small(level, field, values, sigmas, recipe, rng, reach, scale.focus)
                yield State(index, level, values, len(sigmas) - 1)
            else:
                denoiser = PatchDenoiser(level, field, recipe, rng, workers, sigmas=sigmas, reach=reach)
                for estimate in walk(denoiser, denoiser, values, sigmas, ColourNoise(rng, level.colours)):
                    values = values if estimate is None else estimate
                    yield State(index, level, estimate)
                field = denoiser.field
                del denoiser, estimate  # which the next scale's would stand beside until they are made
            painting = Painting(level, field, values, level.cost)
        assert painting is not None, "there is at least one scale"
        return painting

    def _finish(self, painting: Painting, tracker: Tracker) -> Generator[Progress, None, np.ndarray]:
        return (yield from finish(painting, self._recipe, self._workers, tracker))


def taken_out(scales: list[Scale]) -> Iterator[Scale]:
    """One after the other, and nothing is kept of those before."""
    while scales:
        yield scales.pop(0)


def finish(
    painting: Painting, recipe: Recipe, workers: Workers, tracker: Tracker
) -> Generator[Progress, None, np.ndarray]:
    """The finest painting's colours, without steps along the rim and between pieces: (N, C)."""
    level = painting.level
    level.cost = painting.cost
    sharpness = sharpness_of(recipe.last_sharpness, level.typical_cost)
    label = sharpest_sources(level, painting.field, workers, decay=recipe.rim_decay, sharpness=sharpness)
    yield tracker.finish(0.2)
    values = level_rim(level, painting.field, painting.values, workers, tolerance=recipe.seam_tolerance)
    yield tracker.finish(0.4)
    seams = level_seams(level, label, values, workers, tolerance=recipe.seam_tolerance)
    for done, _ in enumerate(seams, start=1):
        yield tracker.finish(0.4 + 0.6 * done / level.colours)
    return values[:, : level.colours]
