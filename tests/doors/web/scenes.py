"""Drawn photographs whose object is easy to find again."""

from __future__ import annotations

import numpy as np


def scene(width: int, height: int, seed: int = 0, *, radius: float = 0) -> np.ndarray:
    """(height, width, 3) uint8: a grainy slope with a red disc in the middle, by itself a twelfth as wide in radius."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    slope = 60 + 90 * y / height + 40 * x / width
    pixels = np.stack([slope * 0.6, slope * 0.9, slope], axis=2) + rng.integers(-8, 9, (height, width, 1))
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (radius or width / 12) ** 2
    pixels[disc] = (220, 30, 20)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def redness(pixels: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the disc is."""
    wide = pixels.astype(np.int32)
    return wide[:, :, 0] > wide[:, :, 2] + 50 * (257 if pixels.dtype == np.uint16 else 1)
