"""Take away the colour steps that are left where a painted hole meets its rim, and where pieces inside it meet.

Gradient-domain correction (Pérez et al. 2003, "Poisson image editing"; along inner seams as in Darabi et al. 2012,
"Image melding"): the pieces' own differences are kept, the steps between pieces are not. What is solved for is the
correction alone, which is smooth away from the seams, so a coarse grid finds nearly all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_fields import vote
from eraser.engines.patch_levels import RADIUS, ROWS, Level, Workers, box_ratio
from eraser.pyramid import dilate, even, push_pull

HALF_PLAIN = 0.6  # of the texture channel, above its least: a clear sky has less, water about as much
REACH = 60.0  # pixels over which a correction dies away: without it small errors add up to tints
ROUGH_REACH = 10.0  # where it is rough: there tints show, and broad steps do not
CYCLES = 4  # of multigrid: each leaves a half of the error at worst, a fifth as a rule
SWEEPS = 1  # over both colours of the board, before and after each visit of the coarser scale
COARSEST = 8  # cells of the longer side
COARSEST_SWEEPS = 4
LEFT_OVER = -1  # for the kernel: no half sweep, but what is left
LEAST_WEIGHT = 0.01  # of what the rim tells: `box_ratio` knows no smaller ones
SMALL = 1_000_000  # pixels around a hole, up to which memory does not matter


@dataclass(frozen=True, slots=True)
class Mesh:
    """A hole at one scale, as springs: (H, W) float32 each. Cells without an anchor are not in the hole."""

    anchor: np.ndarray  # to 0: by known neighbours, and everywhere a little
    right: np.ndarray  # to the next cell
    down: np.ndarray


def level_rim(level: Level, field: np.ndarray, values: np.ndarray, workers: Workers, *, tolerance: float) -> np.ndarray:
    """The hole's values less the broad colour step along the rim, carried smoothly inward: (N, C + 1) float32.

    What the patches would put on the rim's known side is compared with what stands there.
    """
    box = level.hole_box.pad(2 * RADIUS + 4).clamp(level.box)
    hole = level.hole[box.slices]
    ring = dilate(hole, RADIUS) & ~hole
    y, x = np.nonzero(ring)
    places = ((y + box.y) * level.width + x + box.x).astype(np.int32)
    told = vote(level, places, field, workers, decay=1.0)
    seen = np.isfinite(told).all(axis=1)
    known = np.zeros(ring.shape, np.float32)
    # beside smaller differences a large one is of what is seen, not of light
    worst = np.abs(level.image[places, : level.colours] - told[:, : level.colours]).max(axis=1, initial=0)
    known[ring] = np.where(seen, np.maximum(LEAST_WEIGHT, 1 / (1 + (worst / tolerance) ** 4)), 0)
    levelled = values.copy()
    for channel in range(level.colours):  # one at a time: a third of the memory
        step = np.zeros(ring.shape, np.float32)
        step[ring] = np.where(seen, known[ring] * (level.image[places, channel] - told[:, channel]), 0)
        smooth = np.where(known > 0, box_ratio(step, known, 2 * RADIUS, workers), 0)
        levelled[:, channel] += push_pull(smooth[:, :, None], known)[:, :, 0][hole]
    return levelled


def level_seams(
    level: Level, label: np.ndarray, values: np.ndarray, workers: Workers, *, tolerance: float
) -> Iterator[None]:
    """Take the steps between pieces out of the hole's values, in large holes a colour at a time; yields after each.

    label (N,) int32: the known pixel each was copied from · values (N, >= C) float32, written to. Steps far above the
    tolerance stay where it is plain, as far as the photo has such steps around the pieces' sources.
    """
    plainness = _plainness(level, label)
    steps = _steps(level, label, values, plainness, workers, tolerance)
    # one more pixel all round: those known ones hold the correction to 0
    crop = level.hole[level.hole_box.pad(1).clamp(level.box).slices]
    pull = np.zeros(crop.shape, np.float32)
    pull[crop] = REACH ** (-2 * plainness) * ROUGH_REACH ** (-2 * (1 - plainness))
    scales = meshes(crop, pull)
    # large holes one colour at a time, for a third of the memory
    together = level.colours if crop.size <= SMALL else 1
    for first in range(0, level.colours, together):
        some = slice(first, first + together)
        source = np.zeros((*crop.shape, together), np.float32)
        source[crop] = steps[:, some]
        values[:, some] += membrane(source, scales, workers)[crop]
        yield


def _plainness(level: Level, label: np.ndarray) -> np.ndarray:
    """From 1, plain, to 0, rough: (N,) float32 for the hole's pixels. In rough texture any step may be chance, so
    edges cannot be told from seams there."""
    if level.image.shape[1] == level.colours:
        return np.ones(len(label), np.float32)
    rough = (level.image[label, level.colours] + 1) / np.float32(HALF_PLAIN)
    plainness: np.ndarray = 1 / (1 + rough**2)
    return plainness


def _steps(
    level: Level, label: np.ndarray, values: np.ndarray, plainness: np.ndarray, workers: Workers, tolerance: float
) -> np.ndarray:
    """What is missing between each of the hole's pixels and its neighbours: (N, C)."""
    hole_index = np.full(len(level.image), kernels.KNOWN, np.int32)
    if level.lent is not None:
        hole_index[level.hole.size :][~level.lent.ravel()] = kernels.NOTHING
    hole_index[level.pixels] = np.arange(len(level.pixels), dtype=np.int32)
    steps = np.empty((len(level.pixels), level.colours), np.float32)
    largest = largest_steps_around(level, workers)
    box = level.hole_box
    workers.each(
        lambda _, low, high: kernels.seam_steps(
            level.image,
            values,
            level.colours,
            level.width,
            level.hole.size,
            hole_index,
            label,
            plainness,
            largest,
            (box.x, box.x + box.width),
            box.y + low,
            box.y + high,
            np.float32(tolerance),
            steps,
        ),
        box.height,
        ROWS,
    )
    return steps


def largest_steps_around(level: Level, workers: Workers) -> np.ndarray:
    """The largest step between known pixels beside each other in each of the kernels' STEP_BLOCKs, and in those around
    it: (rows, columns of blocks) float32."""
    from scipy import ndimage

    unknown = level.hole if level.lent is None else np.concatenate([level.hole, ~level.lent])
    rows, columns = (-(-side // kernels.STEP_BLOCK) for side in unknown.shape)
    largest = np.empty((rows, columns), np.float32)
    workers.each(
        lambda _, low, high: kernels.largest_steps(level.image, level.colours, unknown, low, high, largest),
        rows,
        ROWS // kernels.STEP_BLOCK,
    )
    around: np.ndarray = ndimage.maximum_filter(largest, 3)
    return around


def meshes(hole: np.ndarray, pull: np.ndarray) -> list[Mesh]:
    """The hole at all scales, finest first; known pixels must be in the array to be felt, beyond it nothing is.

    pull (H, W) float32: of each pixel to 0, by nothing but itself; above 0 in the hole.
    """
    known = ~hole
    ties: list[np.ndarray] = [np.zeros(hole.shape, np.float32) for _ in range(3)]
    right, down, rim = ties
    right[:, :-1] = hole[:, :-1] & hole[:, 1:]
    down[:-1] = hole[:-1] & hole[1:]
    rim[:, 1:] += known[:, :-1]
    rim[:, :-1] += known[:, 1:]
    rim[1:] += known[:-1]
    rim[:-1] += known[1:]
    rim *= hole
    mass = hole * pull
    found = [Mesh(rim + mass, right, down)]
    # once a cell is held by its mass as firmly as by its neighbours, sweeps alone are quick enough
    while max(hole.shape) > COARSEST and mass.max() < 1:
        # the middle of a cell twice as large is half a cell further from the rim
        rim, mass = _pool(rim / (1 + rim / 2)), _pool(mass)
        right, down = even(right, zero=True), even(down, zero=True)
        right = (right[::2, 1::2] + right[1::2, 1::2]) / 2
        down = (down[1::2, ::2] + down[1::2, 1::2]) / 2
        hole = mass > 0
        found.append(Mesh(rim + mass, right, down))
    return found


def membrane(source: np.ndarray, scales: list[Mesh], workers: Workers) -> np.ndarray:
    """u (H, W, C) with (4 + pull) u - (sum of u around) = -source in the hole, u = 0 outside, to a few percent.

    Multigrid with W cycles (Brandt 1977): plain coarse to fine would lose the steps, which are pairs of opposite
    sources side by side, and a correction too large by half shows as a tint.
    """
    surface = np.zeros(source.shape, np.float32)
    for _ in range(CYCLES):
        _cycle(surface, source, scales, workers)
    return surface


def _cycle(surface: np.ndarray, source: np.ndarray, scales: list[Mesh], workers: Workers) -> None:
    mesh, *coarser = scales
    if not coarser:
        _relax(surface, source, mesh, [0, 1] * COARSEST_SWEEPS, workers)
        return
    _relax(surface, source, mesh, [0, 1] * SWEEPS, workers)
    rest = np.empty_like(surface)
    _each_row(
        workers,
        surface,
        lambda low, high: kernels.balance(
            surface, source, mesh.anchor, mesh.right, mesh.down, low, high, LEFT_OVER, rest
        ),
    )
    below = np.empty((*coarser[0].anchor.shape, source.shape[2]), np.float32)
    _each_row(workers, below, lambda low, high: kernels.gather(rest, low, high, below))
    correction = np.zeros_like(below)
    for _ in range(2):
        _cycle(correction, below, coarser, workers)
    _each_row(workers, surface, lambda low, high: kernels.spread(correction, mesh.anchor, low, high, surface))
    _relax(surface, source, mesh, [1, 0] * SWEEPS, workers)


def _relax(surface: np.ndarray, source: np.ndarray, mesh: Mesh, parities: list[int], workers: Workers) -> None:
    def half_sweep(parity: int) -> Callable[[int, int], object]:
        return lambda low, high: kernels.balance(
            surface, source, mesh.anchor, mesh.right, mesh.down, low, high, parity, surface
        )

    for parity in parities:
        _each_row(workers, surface, half_sweep(parity))


def _each_row(workers: Workers, image: np.ndarray, kernel: Callable[[int, int], object]) -> None:
    workers.each(lambda _, low, high: kernel(low, high), len(image), ROWS)


def _pool(array: np.ndarray) -> np.ndarray:
    """Sums over 2x2."""
    whole = even(array, zero=True)
    return whole[::2, ::2] + whole[::2, 1::2] + whole[1::2, ::2] + whole[1::2, 1::2]
