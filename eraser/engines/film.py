"""The grain of the photo for what a network drew: as much as lies around the hole, where the filling has less."""

from __future__ import annotations

import numpy as np

from eraser.geometry import Box
from eraser.pyramid import dilate
from eraser.window import tighten

RING = 24  # pixels around the hole whose grain is measured
REACH = 9  # pixels of a side, over which grain is averaged
FLOOR = 0.25  # of the ring's pixels have less: the smooth ones, whose unevenness is grain and not texture
LEAST = 0.5 / 127.5  # of a deviation, that is worth adding: half a level of 255
FEWEST = 64  # pixels that say something


def with_grain(pixels: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
    """pixels (H, W, C) float32 in [-1, 1], filled, with noise in the hole (H, W) where it is smoother than the photo's
    smooth parts around it; nothing is taken from what is as grainy already. White noise, per channel; Immerkær 1996
    measures the deviation, by an operator that leaves slopes and most edges alone."""
    every = Box(0, 0, hole.shape[1], hole.shape[0])
    box = tighten(hole, every)
    if box is None:
        return pixels
    near = box.pad(RING + REACH).clamp(every).slices
    part, inside = pixels[near], hole[near]
    # known pixels whose measure does not reach into the hole
    ring = dilate(inside, RING) & ~dilate(inside, 1 + REACH // 2)
    if np.count_nonzero(ring) < FEWEST:
        return pixels
    deviation = _deviation(part)
    floor = np.quantile(deviation[ring], FLOOR, axis=0)
    missing = np.sqrt(np.maximum(0, floor**2 - deviation[inside] ** 2))
    missing[missing < LEAST] = 0
    if not missing.any():
        return pixels
    noise = np.random.default_rng((seed, 1996)).standard_normal(missing.shape, np.float32)
    result = pixels.copy()
    result[near][inside] = np.clip(part[inside] + missing * noise, -1, 1)
    return result


def _deviation(pixels: np.ndarray) -> np.ndarray:
    """The noise's standard deviation about every pixel and of every channel: (H, W, C)."""
    from scipy import ndimage

    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    response = np.abs(ndimage.convolve(pixels, kernel[:, :, None], mode="nearest"))
    mean: np.ndarray = ndimage.uniform_filter(response, (REACH, REACH, 1), mode="nearest")
    return mean * np.float32(np.sqrt(np.pi / 2))
