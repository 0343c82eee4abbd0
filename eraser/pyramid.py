"""Halving, doubling and smooth filling of images with unknown pixels, in plain numpy."""

from __future__ import annotations

import numpy as np


def halve(image: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the known ones of 2x2 pixels: (H, W, C), (H, W) bool -> (ceil(H/2), ceil(W/2), C) and its hole.

    A pixel is known where at least half of what it stands for is; pixels under the hole come out 0.
    """
    image, hole = even(image), even(hole)
    count = np.zeros((hole.shape[0] // 2, hole.shape[1] // 2), np.uint8)
    total = np.zeros((*count.shape, image.shape[2]), np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            known = ~hole[dy::2, dx::2]
            count += known
            total += image[dy::2, dx::2] * known[:, :, None]
    smaller_hole = count < 2
    total /= np.maximum(count, 1)[:, :, None]
    total[smaller_hole] = 0
    return total, smaller_hole


def double(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear enlargement by two, cut to (height, width, C)."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return _double_axis(_double_axis(padded, 0), 1)[:height, :width]


def push_pull(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The image where weight > 0, and a smooth continuation of it elsewhere: (H, W, C), (H, W) -> (H, W, C).

    Gortler et al. 1996, "The Lumigraph", section 3.4: averages pulled up a pyramid, then pushed down into the gaps.
    """
    known = weight > 0
    values = np.where(known[:, :, None], image, 0).astype(np.float32)
    if known.all() or weight.size == 1:
        return values
    smaller, gap = halve_weighted(values, np.minimum(weight, 1).astype(np.float32))
    continued = double(push_pull(smaller, gap), *weight.shape)
    return np.where(known[:, :, None], values, continued)


def halve_weighted(image: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means over 2x2 pixels and the weights' sum, at most 1."""
    image, weight = even(image, zero=True), even(weight, zero=True)
    total = np.zeros((weight.shape[0] // 2, weight.shape[1] // 2, image.shape[2]), np.float32)
    share = np.zeros(total.shape[:2], np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            part = weight[dy::2, dx::2]
            share += part
            total += image[dy::2, dx::2] * part[:, :, None]
    total /= np.maximum(share, 1e-12)[:, :, None]
    return total, np.minimum(share, 1)


def halve_mean(part: np.ndarray) -> np.ndarray:
    """Half the size: pixels (H, W, C) by their mean, a mask (H, W) where at least half of a pixel is covered."""
    mask = part.dtype == np.bool_
    values = part[:, :, None].astype(np.float32) if mask else part
    smaller = halve_weighted(values, np.ones(values.shape[:2], np.float32))[0]
    return smaller[:, :, 0] >= 0.5 if mask else smaller


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """A (2 radius + 1)² square around every True pixel: (H, W) bool -> (H, W) bool."""
    grown = mask.copy()
    for _ in range(radius):
        rows = grown.copy()
        rows[1:] |= grown[:-1]
        rows[:-1] |= grown[1:]
        grown = rows.copy()
        grown[:, 1:] |= rows[:, :-1]
        grown[:, :-1] |= rows[:, 1:]
    return grown


def even(array: np.ndarray, *, zero: bool = False) -> np.ndarray:
    """Both sides even, by the last row and column once more, or zeros: (H, W, ...), the array itself where they are."""
    height, width = array.shape[:2]
    if height % 2 == width % 2 == 0:
        return array
    padded = np.zeros((height + height % 2, width + width % 2, *array.shape[2:]), array.dtype)  # np.pad is slow
    padded[:height, :width] = array
    if not zero:
        padded[height:, :width] = array[-1:]
        padded[:, width:] = padded[:, width - 1 : width]
    return padded


def _double_axis(padded: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation at quarter positions along an axis that carries one extra pixel at either end."""
    before, here, after = (
        np.take(padded, range(start, padded.shape[axis] - 2 + start), axis=axis) for start in (0, 1, 2)
    )
    pair = np.stack([0.75 * here + 0.25 * before, 0.75 * here + 0.25 * after], axis=axis + 1)
    shape = list(here.shape)
    shape[axis] *= 2
    return pair.reshape(shape)
