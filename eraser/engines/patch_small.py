"""A small scale painted from its first step to its last in one compiled call.

Where a scale has few patches a step's work takes less time than asking for it: this is `sampling.sample` over a
`PatchDenoiser`, step for step, without Python in between, so that several paintings can really run at once. That it is
the same is what tests/engines/test_patch_small.py shows. One thing is added: estimates may be drawn to the texture of
their rows.
"""

from __future__ import annotations

import numpy as np

from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_denoiser import Recipe, away_of
from eraser.engines.patch_fields import depth_weights
from eraser.engines.patch_kernels import compiled
from eraser.engines.patch_levels import STRIP, Level, Workers, features_of

MOST_TARGETS = 2 * STRIP - 1  # patches of a scale that is a single strip
ALONE = Workers(1)


def paint_small(
    level: Level,
    field: np.ndarray,
    start: np.ndarray,
    sigmas: np.ndarray,
    recipe: Recipe,
    rng: np.random.Generator,
    reach: int,
    focus: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """A level of one strip, from its start to its end: its field and the hole's values. Costs are left in the level."""
    steps = len(sigmas) - 1
    field, other = field.copy(), field.copy()
    values = start.astype(np.float32)  # a copy
    share = max(1.0, (1 << kernels.CELL_SHIFT) * len(level.targets) / level.source_count)
    uses = np.arange(len(level.targets) + 1, dtype=np.float32)
    foreign = np.empty(0, np.int32) if level.foreign is None else (level.foreign * recipe.foreign).astype(np.int32)
    runs = (len(level.valid) >> kernels.CELL_SHIFT) + 1
    last = paint_level(
        features_of(level, ALONE),
        level.image,
        level.width,
        level.colours,
        level.targets,
        level.pixels,
        field,
        other,
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
        away_of(recipe, level),
        level.lending,
        reach,
        recipe.sharp_steps,
        1 / (2 * recipe.sharpness),
        1 / (2 * recipe.last_sharpness),
        np.empty_like(values),
        np.empty(runs, np.int32),
        np.empty(runs, np.int32),
        np.empty(len(foreign), np.int32),
        level.row_texture if focus else np.empty(0, np.float32),
        np.float32(focus),
    )
    return (field, other)[last], values


@compiled()
def paint_level(
    features,
    image,
    width,
    colours,
    targets,
    pixels,
    field,
    other,
    cost,
    valid,
    foreign,
    repetition,
    depth,
    weights,
    values,
    noise,
    sigmas,
    seeds,
    first_sweeps,
    sweeps,
    away,
    lending,
    reach,
    sharp_steps,
    sharpness,
    last_sharpness,
    noisy,
    uses,
    usage,
    penalties,
    row_texture,
    focus,
):
    """Walk the noise down from sigmas[0] to 0; returns which of the two fields is the last.

    field, other (n,) int32, both the start · values (N, C + 1) the start, overwritten with the result · noise
    (steps, N, C) · seeds: one per sweep · foreign (n,) int32 or empty · repetition (T + 1,) float32: penalty of a run
    of sources by how often it is used, in median patch distances · sharpness: of the last sharp_steps votes but the
    very last, in inverse median distances · row_texture (N,) float32 or empty, focus: what the texture of every
    estimate is drawn to, and how far · noisy, uses, usage, penalties: room, like values, one per run, and like foreign
    """
    first, once = np.int64(0), np.int64(1)  # literals would have the kernels compiled once more
    runs = usage.size
    typical = np.float32(0)
    turn = 0
    steps = sigmas.size - 1
    for step in range(steps):
        for k in range(pixels.size):
            for c in range(values.shape[1]):
                extra = sigmas[step] * noise[step, k, c] if c < colours else np.float32(0)
                noisy[k, c] = values[k, c] + extra
        kernels.paint(features, pixels, noisy, colours, first, pixels.size)
        for sweep in range(first_sweeps if step == 0 else sweeps):
            for run in range(runs):
                uses[run] = 0
            for k in range(targets.size):
                uses[field[targets[k]] >> kernels.CELL_SHIFT] += 1
            for run in range(runs):
                usage[run] = np.int32(typical * repetition[uses[run]])
            for source in range(foreign.size):
                penalties[source] = usage[source >> kernels.CELL_SHIFT] + foreign[source]
            kernels.search(
                features,
                width,
                targets,
                first,
                targets.size,
                field,
                other,
                cost,
                valid,
                penalties if foreign.size else usage,
                0 if foreign.size else kernels.CELL_SHIFT,
                away,
                lending,
                reach,
                once,
                turn % 2 == 1,
                sweep == 0,
                seeds[turn] | 1,
            )
            field, other = other, field
            turn += 1
            if sweep == 0:
                typical = np.float32(max(1, median(cost, targets)))
        sharp = np.float32(0)
        if step >= steps - sharp_steps:
            sharp = np.float32((last_sharpness if step == steps - 1 else sharpness) / typical)
        kernels.vote(image, colours, width, pixels, first, pixels.size, field, cost, depth, weights, sharp, values)
        for k in range(row_texture.size):
            values[k, colours] += focus * (row_texture[k] - values[k, colours])
    return turn & 1


@compiled()
def median(cost, targets):
    """The lower median of the targets' costs, by halving the range: numba compiles no sort, which takes seconds."""
    low, high = np.int64(0), np.int64(2**31 - 1)
    while low < high:
        middle = (low + high) >> 1
        below = np.int64(0)
        for k in range(targets.size):
            below += np.int64(cost[targets[k]] <= middle)
        if 2 * below >= targets.size:
            high = middle
        else:
            low = middle + 1
    return low
