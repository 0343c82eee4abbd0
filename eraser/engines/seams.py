"""Take away the colour steps that are left where a painted hole meets its rim, and where pieces inside it meet.

Gradient-domain correction (Pérez et al. 2003, "Poisson image editing"; along inner seams as in Darabi et al. 2012,
"Image melding"): the pieces' own differences are kept, the steps between pieces are not. What is solved for is the
correction alone, which is smooth away from the seams, so a coarse grid finds nearly all of it.
"""

from __future__ import annotations

import numpy as np

from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_fields import vote
from eraser.engines.patch_levels import RADIUS, ROWS, Level, Workers, box_ratio
from eraser.pyramid import dilate, double, push_pull

TOLERANCE = 0.5  # of the [-1, 1] range: steps well above it are edges that somebody wants to see
SMOOTH = 0.6  # of the texture channel: a clear sky has less, water about as much
REACH = 60.0  # pixels over which a correction dies away: without it small errors add up to tints
SPEED = 1.6  # over-relaxation
SWEEPS = 24  # per scale
COARSEST = 4  # pixels of the shorter side


def level_rim(level: Level, field: np.ndarray, values: np.ndarray, workers: Workers) -> np.ndarray:
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
    known[ring] = seen
    levelled = values.copy()
    for channel in range(level.colours):  # one at a time: a third of the memory
        step = np.zeros(ring.shape, np.float32)
        step[ring] = np.where(seen, level.image[places, channel] - told[:, channel], 0)
        smooth = np.where(known > 0, box_ratio(step, known, 2 * RADIUS, workers), 0)
        levelled[:, channel] += push_pull(smooth[:, :, None], known)[:, :, 0][hole]
    return levelled


def level_seams(
    level: Level, label: np.ndarray, values: np.ndarray, workers: Workers, *, tolerance: float = TOLERANCE
) -> np.ndarray:
    """The hole's values without steps between pieces: (N, C) float32.

    label (N,) int32: the source pixel each was copied from · values (N, >= C). Steps far above the tolerance stay.
    """
    hole_index = np.full(len(level.image), -1, np.int32)
    hole_index[level.pixels] = np.arange(len(level.pixels), dtype=np.int32)
    steps = np.empty((len(level.pixels), level.colours), np.float32)
    workers.each(
        lambda _, low, high: kernels.seam_steps(
            level.image,
            values,
            level.colours,
            level.width,
            hole_index,
            level.pixels,
            label,
            low,
            high,
            np.float32(tolerance),
            np.float32(SMOOTH),
            steps,
        ),
        len(level.pixels),
    )
    # with known pixels around it, also at coarse scales: the correction is held to 0 there, but not at the crop's edge
    crop = level.hole[level.hole_box.pad(round(REACH)).clamp(level.box).slices]
    levelled = values[:, : level.colours].copy()
    for channel in range(level.colours):  # one at a time: a third of the memory
        source = np.zeros((*crop.shape, 1), np.float32)
        source[crop, 0] = steps[:, channel]
        levelled[:, channel] += membrane(source, crop, workers)[crop, 0]
    return levelled


def membrane(source: np.ndarray, hole: np.ndarray, workers: Workers, pull: float = 1 / REACH**2) -> np.ndarray:
    """u (H, W, C) with (4 + pull) u - (sum of u around) = -source in the hole, u = 0 outside, nearly; coarse to fine.

    A scale starts from the coarser scale's answer (cascadic multigrid, Bornemann & Deuflhard 1996).
    """
    height, width = hole.shape
    if min(height, width) > COARSEST:
        surface = double(membrane(_pool(source * hole[:, :, None]), _pool(hole) >= 2, workers, 4 * pull), height, width)
        surface = np.where(hole[:, :, None], surface, 0).astype(np.float32)
    else:
        surface = np.zeros(source.shape, np.float32)
    for half in range(2 * SWEEPS):
        _relax(surface, source, hole, half % 2, pull, workers)
    return surface


def _relax(
    surface: np.ndarray, source: np.ndarray, hole: np.ndarray, parity: int, pull: float, workers: Workers
) -> None:
    workers.each(
        lambda _, low, high: kernels.relax(
            surface, source, hole, low, high, parity, np.float32(SPEED), np.float32(pull)
        ),
        len(surface),
        ROWS,
    )


def _pool(array: np.ndarray) -> np.ndarray:
    """Sums over 2x2."""
    odd = [(0, length % 2) for length in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    padded = np.pad(array, odd) if any(after for _, after in odd) else array
    kind = np.uint8 if array.dtype == np.bool_ else array.dtype
    total = padded[::2, ::2].astype(kind)
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        total += padded[dy::2, dx::2]
    return total
