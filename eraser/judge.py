"""How well a filling fits what is around it, as a number, so that the best of several can be kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eraser.geometry import Box
from eraser.pyramid import dilate, halve_weighted
from eraser.window import tighten

RING = 8  # pixels around the hole that the filling should resemble
SKIP = 3  # of them next to the hole, where the filling touches them anyhow
REACH = 3  # patches are 7x7
SCALES = 3
DIRECTIONS = 32
PATCHES = 4000  # compared at most
QUANTILES = 256
FEWEST = 8  # patches that say something


def misfit(pixels: np.ndarray, hole: np.ndarray) -> float:
    """Sliced Wasserstein distance between patches of the filled hole and of a ring around it: less is better.

    pixels (H, W, C) float32 in [-1, 1], filled · hole (H, W) bool. 0 where there are too few patches to compare.
    Rabin et al. 2011, at three scales; the ring is narrow because what lies near the hole is what it hid.
    """
    every = Box(0, 0, hole.shape[1], hole.shape[0])
    box = tighten(hole, every)
    if box is None:
        return 0.0
    near = box.pad(2 * RING).clamp(every).slices
    pixels, inside = pixels[near], hole[near]
    around = dilate(inside, RING) & ~dilate(inside, SKIP)
    distances = []
    for scale in range(SCALES):
        if scale:
            pixels, inside, around = (_half(part) for part in (pixels, inside, around))
        filled, known = _projected(pixels, inside, scale), _projected(pixels, around, scale)
        if filled is not None and known is not None:
            distances.append(float(np.abs(filled - known).mean()))
    return float(np.mean(distances)) if distances else 0.0


def _projected(pixels: np.ndarray, where: np.ndarray, scale: int) -> np.ndarray | None:
    """Quantiles of the patches centred at `where` along fixed directions, (QUANTILES, DIRECTIONS); None if too few."""
    height, width, channels = pixels.shape
    rows, columns = np.nonzero(where)
    whole = (rows >= REACH) & (rows < height - REACH) & (columns >= REACH) & (columns < width - REACH)
    rows, columns = rows[whole], columns[whole]
    if len(rows) < FEWEST:
        return None
    step = -(-len(rows) // PATCHES)
    rows, columns = rows[::step], columns[::step]
    directions = np.random.default_rng(scale).standard_normal(((2 * REACH + 1) ** 2 * channels, DIRECTIONS), np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    patches = np.concatenate([pixels[rows + dy, columns + dx] for dy, dx in _offsets()], axis=1)
    return np.quantile(patches @ directions, (np.arange(QUANTILES) + 0.5) / QUANTILES, axis=0)


def _offsets() -> Iterator[tuple[int, int]]:
    span = range(-REACH, REACH + 1)
    return ((dy, dx) for dy in span for dx in span)


def _half(part: np.ndarray) -> np.ndarray:
    """Half the size: pixels by their mean, a mask where at least half of a pixel is covered."""
    mask = part.dtype == np.bool_
    values = part[:, :, None].astype(np.float32) if mask else part
    smaller = halve_weighted(values, np.ones(values.shape[:2], np.float32))[0]
    return smaller[:, :, 0] >= 0.5 if mask else smaller
