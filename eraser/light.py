"""One picture's light brought to another's: its colour judged by the strongest edges, its strength by brightness."""

from __future__ import annotations

import numpy as np

from eraser.canvas import row_blocks
from eraser.pyramid import halve

SIDE = 256  # pixels that a picture is shrunk to, at most, before its light is estimated
SAMPLED = 1024  # pixels of a side that are looked at; of larger pictures every so many
POWER = 6  # of the Minkowski mean over edges and over brightness
CLIPPED = 0.98  # linear; brighter channels say nothing of the light's colour
FEWEST = 64  # pixels that say something
MOST_HUE = 0.4  # stops a channel may be moved beside the others, and
MOST_LIGHT = 0.4  # stops that all may be moved: what is further off is another subject matter, not another light
KNEE = 0.7  # linear; what gets brighter is bent from here on, so that nothing is clipped
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709, of linear values


def gains(
    picture: np.ndarray, outside: np.ndarray, reference: np.ndarray, beyond: np.ndarray, strength: float
) -> np.ndarray:
    """What to multiply a picture's linear light by, so that it comes that far towards the reference's: (C,) float32.

    picture, reference (H, W, C) sRGB in [-1, 1] · outside, beyond (H, W) bool: pixels that are not to be looked at ·
    strength 0 (leave it) to 1. The light's colour is the Minkowski mean of edges, "grey edge" (van de Weijer et al.
    2007, p = 6), its strength that of brightness, "shades of grey" (Finlayson & Trezzi 2004). Both are limited.
    """
    mine, theirs = _light(picture, outside), _light(reference, beyond)
    if mine is None or theirs is None or strength <= 0:
        return np.ones(picture.shape[2], np.float32)
    weight = LUMA if picture.shape[2] == 3 else np.ones(1)
    hue, light = np.log2(theirs[0] / mine[0]), np.log2(theirs[1] / mine[1]) @ weight
    hue = np.clip(hue - hue @ weight, -MOST_HUE, MOST_HUE)
    light = np.clip(light, -MOST_LIGHT, MOST_LIGHT)
    return np.exp2(strength * (hue + light)).astype(np.float32)


def relit(picture: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The picture (H, W, C) sRGB in [-1, 1] in that light; highlights are bent, not clipped: white stays below white.

    The shoulder is Reinhard's (2002, eq. 4) above the knee, for the channels that get brighter.
    """
    result = np.empty_like(picture)
    top = np.maximum((gain - KNEE) / (1 - KNEE), 1)  # where white comes to lie
    for rows in row_blocks(picture.shape):
        lit = linear(picture[rows]) * gain
        over = np.maximum((lit - KNEE) / (1 - KNEE), 0)
        bent = KNEE + (1 - KNEE) * over * (1 + over / top**2) / (1 + over)
        result[rows] = encoded(np.where((over > 0) & (gain > 1), bent, lit))
    return result


def linear(values: np.ndarray) -> np.ndarray:
    """sRGB values in [-1, 1] as linear light in [0, 1] (IEC 61966-2-1)."""
    unit = np.clip((values + 1) / 2, 0, 1)
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encoded(light: np.ndarray) -> np.ndarray:
    """The way back from `linear`."""
    unit = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.asarray(np.clip(unit * 2 - 1, -1, 1), np.float32)


def _light(picture: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Edges (C,) and brightness (C,) of the pixels that are not outside; None where too few are there."""
    step = max(1, max(outside.shape) // SAMPLED)
    picture, hidden = picture[::step, ::step], outside[::step, ::step]
    small = np.where(hidden[:, :, None], 0, linear(picture)).astype(np.float32)
    while max(hidden.shape) > SIDE:
        small, hidden = halve(small, hidden)
    seen = ~hidden & (small.max(axis=2) < CLIPPED)
    middle = np.zeros_like(seen)
    middle[1:-1, 1:-1] = seen[1:-1, 1:-1] & seen[:-2, 1:-1] & seen[2:, 1:-1] & seen[1:-1, :-2] & seen[1:-1, 2:]
    if np.count_nonzero(middle) < FEWEST:
        return None
    down, across = np.zeros_like(small), np.zeros_like(small)
    down[1:-1], across[:, 1:-1] = small[2:] - small[:-2], small[:, 2:] - small[:, :-2]
    edges = _mean(np.hypot(down, across)[middle])
    bright = _mean(small[~hidden])
    if edges.min() <= 1e-5 or bright.min() <= 1e-5:  # one flat colour shows no light
        return None
    return edges, bright


def _mean(values: np.ndarray) -> np.ndarray:
    mean: np.ndarray = (values.astype(np.float64) ** POWER).mean(axis=0) ** (1 / POWER)
    return mean
