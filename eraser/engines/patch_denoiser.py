"""The denoiser of the patch engine at one scale, what can be turned about it, and its walk down the noise levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_fields import vote
from eraser.engines.patch_levels import Level, Workers, features_of, paint
from eraser.sampling import Denoiser, sample

LAYERED = (0.3, 0.8)  # `Level.layered` up to which a picture counts as not layered, and from which as wholly


@dataclass(frozen=True, slots=True)
class Recipe:
    """What can be turned; docs/decisions/0004-patch-engine.md says what was measured. Noise is in the [-1, 1] range."""

    coarsest_radius: float = 1.6  # pixels: how thick the hole is where painting starts
    starts: int = 8  # paintings of the coarse scales, of which the most consistent one goes on
    start_steps: int = 12
    start_targets: int = 1000  # scales up to this many patches are painted several times
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
    repeats: int = 4  # pictures that are warped to the hole, where the photo repeats itself; 0 for none
    rim_decay: float = 2.2  # a vote weighs this much less per pixel that its patch lies further inside
    repetition: float = 0.1  # penalty on often used sources, in median patch distances per doubling
    foreign: float = 1.0  # penalty on sources less like the rim than the rim is like itself, in patch distances
    other_rows: float = 8000.0  # penalty on sources in other rows, as a patch distance for the view's whole height
    layered_rows: float = 9.0  # times as much in pictures that are layered
    texture: float = 12.0  # weight of the texture channel
    texture_reach: int = 2
    focus: float = 0.5  # share of the row's mean in each estimate of that channel, while a layered picture is started
    sharp_steps: int = 8  # of a scale, its last, whose votes count alike patches for more; before, votes are means
    sharpness: float = 0.3  # of those: sigma² in median patch distances; lower copies, higher blends
    last_sharpness: float = 0.1  # of the very last
    seam_tolerance: float = 0.3  # steps between plain pieces well above it are edges, and stay where the photo has such


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
        sigmas: np.ndarray | None,
        reach: int,
    ) -> None:
        """sigmas: that are walked, the last of which have sharp votes; None for none. reach: of random search, in
        pixels."""
        self.field = field
        self._spare = field.copy()
        self._level, self._recipe, self._rng, self._workers = level, recipe, rng, workers
        self._sigmas, self._reach = sigmas, reach
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
        sharpness = self._sharpness(sigma)
        pixels = self._level.pixels
        return vote(self._level, pixels, self.field, self._workers, decay=self._recipe.rim_decay, sharpness=sharpness)

    def _sharpness(self, sigma: float) -> float:
        """The softmax over patches gets sharper as the noise goes."""
        sigmas, recipe = self._sigmas, self._recipe
        if sigmas is None or sigma > sigmas[-1 - min(recipe.sharp_steps, len(sigmas) - 1)]:
            return 0.0
        return sharpness_of(recipe.last_sharpness if sigma <= sigmas[-2] else recipe.sharpness, self._typical)

    def _sweep(self, *, rescore: bool) -> None:
        level, targets = self._level, self._level.targets
        penalties, run_shift = self._penalties()
        away = away_of(self._recipe, level)
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
                away,
                level.lending,
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


@dataclass(frozen=True, slots=True)
class ColourNoise:
    """Unit noise for the colours, none for the texture channel."""

    rng: np.random.Generator
    colours: int

    def __call__(self, shape: tuple[int, int]) -> np.ndarray:
        noise = np.zeros(shape, np.float32)
        noise[:, : self.colours] = self.rng.standard_normal((shape[0], self.colours), np.float32)
        return noise


def walk(
    denoiser: Denoiser, patches: PatchDenoiser, start: np.ndarray, sigmas: np.ndarray, noise: ColourNoise
) -> Iterator[np.ndarray | None]:
    """Walk the noise down from the start, (N, C + 1): yields the hole's values after every step, None within the first.

    denoiser: the patches' own, or one that asks them.
    """
    noisy = start + float(sigmas[0]) * noise(start.shape)
    for _ in patches.search(noisy):
        yield None
    steps = sample(
        denoiser,
        np.zeros((1, 1), np.float32),
        np.ones((1, 1), np.float32),  # the loop runs on the hole's pixels alone
        sigmas,
        noise=noise,
        noisy=noisy,
        eta=math.inf,  # the estimate is renoised from scratch: what must be remembered is in the field
    )
    del start, noisy  # as large as the hole, like all that a step makes: none is kept longer than it is needed
    for step in steps:
        yield step.clean
        del step


def away_of(recipe: Recipe, level: Level) -> int:
    """The search's `away`, such that a source the whole height away costs `recipe.other_rows`; up to
    `recipe.layered_rows` times as much where the level is layered.

    In most photographs what lies in other rows is at another distance: of another size, in other light, less or more
    out of focus.
    """
    penalty = recipe.other_rows * recipe.layered_rows ** layered_share(level)
    return round(penalty * (1 << kernels.AWAY_SHIFT) / (level.height * level.width))


def layered_share(level: Level) -> float:
    """From 0, not layered, to 1, wholly."""
    low, high = LAYERED
    return min(1.0, max(0.0, (level.layered - low) / (high - low)))


def sharpness_of(width: float, typical_cost: float) -> float:
    """1 / (2 sigma²) of a vote. width: sigma² in median patch distances."""
    return 1 / (2 * width * max(1.0, typical_cost))
