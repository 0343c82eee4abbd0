"""Fields, which say where each patch came from: started, carried to a finer scale, and turned into colours."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_levels import Level, Workers
from eraser.pyramid import push_pull


@dataclass(frozen=True, slots=True)
class Painting:
    """A level as painted: its field, (n,) int32, and the hole's values, (N, C + 1) float32."""

    level: Level
    field: np.ndarray
    values: np.ndarray
    cost: np.ndarray  # (n,) int32: distance of each target's patch to its source

    @property
    def mean_cost(self) -> float:
        """How well the painting agrees with itself and its surroundings."""
        return float(self.cost[self.level.targets].mean())


def random_field(level: Level, rng: np.random.Generator) -> np.ndarray:
    field = np.full(level.hole.size, -1, np.int32)
    field[level.targets] = _random_sources(level, rng)
    return field


def finer_field(painting: Painting, level: Level, rng: np.random.Generator) -> np.ndarray:
    """The painting's field at the next finer level: same offsets, doubled."""
    field = np.full(level.hole.size, -1, np.int32)
    coarse = painting.level
    kernels.upsample_field(
        painting.field,
        coarse.width,
        coarse.hole.size,
        level.targets,
        level.width,
        len(level.image),
        level.valid,
        _random_sources(level, rng),
        field,
    )
    return field


def smooth_start(level: Level) -> np.ndarray:
    """The surroundings continued smoothly into the hole: (N, C + 1)."""
    picture = level.picture
    return push_pull(picture, (~level.hole).astype(np.float32)).reshape(level.hole.size, -1)[level.pixels]


def vote(
    level: Level, pixels: np.ndarray, field: np.ndarray, workers: Workers, *, decay: float, sharpness: float = 0.0
) -> np.ndarray:
    """What the field's patches would put at these pixels, (P,) -> (P, C + 1) float32; NaN where no patch lies.

    decay: a patch's vote weighs this much less per pixel that it lies further inside, so that painting grows inward
    from the rim. sharpness: 1 / (2 sigma²) of the softmax over patch distances; 0 gives all the same weight.
    """
    weights = depth_weights(decay)
    out = np.empty((len(pixels), level.image.shape[1]), np.float32)
    workers.each(
        lambda _, low, high: kernels.vote(
            level.image,
            level.colours,
            level.width,
            pixels,
            low,
            high,
            field,
            level.cost,
            level.depth,
            weights,
            np.float32(sharpness),
            out,
        ),
        len(pixels),
    )
    return out


@functools.cache
def depth_weights(decay: float) -> np.ndarray:
    """Of a vote, by how many DEPTH_UNITs its centre lies deeper than its pixel, plus half of DEPTH_TABLE."""
    steps = np.arange(kernels.DEPTH_TABLE) - kernels.DEPTH_TABLE // 2
    weights: np.ndarray = (decay ** (-steps / kernels.DEPTH_UNIT)).astype(np.float32)
    return weights


def sharpest_sources(
    level: Level, field: np.ndarray, workers: Workers, *, decay: float, sharpness: float
) -> np.ndarray:
    """The source pixel that weighs most in a sharp vote, for each of the hole's pixels: (N,) int32."""
    label = np.empty(len(level.pixels), np.int32)
    slope = np.float32(math.log(decay) / kernels.DEPTH_UNIT / sharpness)
    workers.each(
        lambda _, low, high: kernels.sharpest_source(
            level.width, level.pixels, low, high, field, level.cost, level.depth, slope, label
        ),
        len(level.pixels),
    )
    return label


def _random_sources(level: Level, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(np.flatnonzero(level.valid[: level.hole.size]), len(level.targets)).astype(np.int32)
