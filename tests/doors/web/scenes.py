"""Drawn photographs whose object is easy to find again."""

from __future__ import annotations

import numpy as np


def scene(width: int, height: int, seed: int = 0, *, radius: float = 0) -> np.ndarray:
    """(height, width, 3) uint8: a grainy slope with a red disc in the middle, by itself a twelfth as wide in radius."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    slope = 60 + 90 * y / height + 40 * x / width
    grain = rng.integers(-8, 9, (height, width), np.int8)
    pixels = np.empty((height, width, 3), np.uint8)
    for band, share in enumerate((0.6, 0.9, 1.0)):
        pixels[:, :, band] = np.clip(slope * np.float32(share) + grain, 0, 255)
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (radius or width / 12) ** 2
    pixels[disc] = (220, 30, 20)
    return pixels


def redness(pixels: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the disc is."""
    wide = pixels.astype(np.int32)
    return wide[:, :, 0] > wide[:, :, 2] + 50 * (257 if pixels.dtype == np.uint16 else 1)
