"""How much of each pixel is the subject, from any mask, and in which colour: the two sides of a soft edge unmixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from eraser.canvas import opaque, row_blocks
from eraser.errors import OutOfRange
from eraser.geometry import Box, Size
from eraser.mask_kinds import opened
from eraser.masks import from_box
from eraser.window import tighten

LOSSY_ENDS = (1 / 4, 3 / 4)  # of white: what is darker or brighter in a lossy file is none or all of the subject
FLOAT_ENDS = (1 / 255, 254.5 / 255)
MOST_REACH = 64  # pixels
MOST_FLOAT = 1.01  # resampling overshoots a little; values far above are of another scale
SMOOTH, STEEP = 1e-4, 0.1  # weights of neighbours: of all, and of those beyond a step of alpha
ROUNDS, COARSE_ROUNDS, COARSE = 16, 100, 64  # of the solver; more where they cost nothing, up to so many pixels a side


def to_alpha(mask: Any, size: Size) -> np.ndarray:
    """How much of each pixel a mask marks: (H, W) float32 in [0, 1], exactly 1 where it marks in full.

    mask is of any kind that `masks.to_hole` takes; softness stays. Whole numbers span their type (bands: the strongest
    counts), unless 0 and 1 are all there is; wide and signed ones span 8 or 16 bits, as their largest value needs.
    In lossy files a quarter of white and less is 0, three quarters and more is 1, with the rest in between.
    Raises what `mask_kinds.opened` raises, and OutOfRange for numbers that are on none of these scales.
    """
    if isinstance(mask, Box):
        return from_box(mask, size).astype(np.float32)
    marks = opened(mask, size)
    bands = marks.values[:, :, None] if marks.values.ndim == 2 else marks.values
    top = float(opaque(bands.dtype)) if marks.lossy else _top(bands)
    low, high = LOSSY_ENDS if marks.lossy else (0.0, 1.0)
    if bands.dtype.kind == "f" and not marks.lossy:
        low, high = FLOAT_ENDS
    alpha = np.empty(bands.shape[:2], np.float32)
    for rows in row_blocks(bands.shape):
        share = bands[rows].max(axis=2).astype(np.float32) / np.float32(top)
        alpha[rows] = np.clip((share - low) / (high - low), 0, 1) if (low, high) != (0, 1) else np.clip(share, 0, 1)
    return alpha


def softened(alpha: np.ndarray, reach: float) -> np.ndarray:
    """Alpha (H, W) that rises over so many pixels inward from what is not full: for masks with a hard edge.

    The subject's outermost pixels hold some of the old background, which a hard mask keeps. Nothing grows; the image's
    own border is no edge. Raises OutOfRange for a reach outside 0 to MOST_REACH.
    """
    if not 0 <= reach <= MOST_REACH:
        raise OutOfRange(f"soften is {reach}", hint=f"give 0 to {MOST_REACH} pixels")
    full = alpha >= 1
    box = tighten(full, Box(0, 0, alpha.shape[1], alpha.shape[0])) if reach > 0 else None
    if box is None or full.all():
        return alpha
    from scipy import ndimage

    near = box.pad(1).clamp(Box(0, 0, alpha.shape[1], alpha.shape[0]))
    result = alpha.copy()
    rise = ndimage.distance_transform_edt(full[near.slices]).astype(np.float32) / np.float32(reach + 1)
    result[near.slices] = np.where(full[near.slices], np.minimum(rise, 1), result[near.slices])
    return result


def _top(bands: np.ndarray) -> float:
    """The value that stands for a full mark."""
    kind = bands.dtype.kind
    most = float(bands.max(initial=0))
    if kind == "f":
        if most > MOST_FLOAT:
            raise OutOfRange(f"the soft mask's floats reach {most:g}", hint="divide them so that 1 is full")
        return 1.0
    if most <= 1:
        return 1.0
    if kind == "u" and bands.dtype.itemsize <= 2:
        return float(opaque(bands.dtype))
    for top in (255.0, 65535.0):
        if most <= top:
            return top
    raise OutOfRange(f"the soft mask's whole numbers reach {most:g}", hint="scale them so that 255 is full")


def unmix(image: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours that the pixels are mixed of, image = alpha x subject + (1 - alpha) x background: two of (H, W, C).

    image (H, W, C) float32, finite · alpha (H, W) float32 in [0, 1]. The subject's colours are the image's where alpha
    is 1, the background's where it is 0; on the other side of the mixed pixels either is of no use.
    Germer et al. 2020, "Fast Multi-Level Foreground Estimation" (arXiv:2006.14970), eq. 1 to 7, from coarse to fine;
    here neighbours that have nothing of a colour are not asked for it, and what is not mixed is not solved for.
    """
    height, width = alpha.shape
    if max(height, width) > 1:
        # means keep the equation, when each of the two colours is meant in proportion to its share
        smaller, share = _half(image), _half(alpha[:, :, None])[:, :, 0]
        subject, background = (
            np.repeat(np.repeat(part, 2, axis=0), 2, axis=1)[:height, :width] for part in unmix(smaller, share)
        )
    else:
        subject, background = image.copy(), image.copy()
    full, none = alpha >= 1, alpha <= 0
    subject[full], background[none] = image[full], image[none]
    _solve(image, alpha, subject, background, COARSE_ROUNDS if max(height, width) <= COARSE else ROUNDS)
    return subject, background


def _solve(image: np.ndarray, alpha: np.ndarray, subject: np.ndarray, background: np.ndarray, rounds: int) -> None:
    """Improve both colours of the mixed pixels, in place: Jacobi rounds of a 2x2 system for each."""
    height, width = alpha.shape
    shares = alpha.reshape(-1)
    mixed = np.flatnonzero((shares > 0) & (shares < 1))
    if not mixed.size:
        return
    rows, columns = np.divmod(mixed, width)
    # at the border a pixel is its own neighbour, which pulls it nowhere
    near = np.stack([
        np.where(rows > 0, mixed - width, mixed),
        np.where(rows < height - 1, mixed + width, mixed),
        np.where(columns > 0, mixed - 1, mixed),
        np.where(columns < width - 1, mixed + 1, mixed),
    ])  # fmt: skip
    share = shares[mixed]
    weight = SMOOTH + STEEP * np.abs(shares[near] - share)  # (4, N)
    of_subject, of_background = weight * (shares[near] > 0), weight * (shares[near] < 1)
    first, second = of_subject.sum(axis=0), of_background.sum(axis=0)
    rest = 1 - share
    # the system is [a² + w, a(1-a); a(1-a), (1-a)² + v]
    scale = 1 / np.maximum(share**2 * second + rest**2 * first + first * second, 1e-20)
    colours = image.reshape(-1, image.shape[2])
    subjects, backgrounds = subject.reshape(-1, image.shape[2]), background.reshape(-1, image.shape[2])
    for _ in range(rounds):
        for channel in range(image.shape[2]):
            value = colours[mixed, channel]
            one = (of_subject * subjects[near, channel]).sum(axis=0) + share * value
            two = (of_background * backgrounds[near, channel]).sum(axis=0) + rest * value
            new = ((rest**2 + second) * one - share * rest * two) * scale
            subjects[mixed, channel] = np.clip(new, -1, 1)
            new = ((share**2 + first) * two - share * rest * one) * scale
            backgrounds[mixed, channel] = np.clip(new, -1, 1)


def _half(values: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels: (H, W, C) -> (ceil(H/2), ceil(W/2), C)."""
    padded = np.pad(values, ((0, values.shape[0] % 2), (0, values.shape[1] % 2), (0, 0)), mode="edge")
    summed = padded[0::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 0::2] + padded[1::2, 1::2]
    return np.asarray(summed / 4, np.float32)
