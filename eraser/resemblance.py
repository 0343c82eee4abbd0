"""Whether a filling shows again what was erased: which of its patches are nearer to that than to the surroundings."""

from __future__ import annotations

import numpy as np

from eraser.geometry import Box
from eraser.pyramid import dilate, halve_mean
from eraser.window import tighten

REACH = 3  # patches are 7x7
WIDTH = 2.0  # pixels, the deviation of the weight of a patch's pixels from its middle
SCALES = 2
LARGEST = 3000  # pixels of the hole at the first scale, at most: the object as a whole is looked for, not its grain
MOST = 1500  # patches of each kind
FEWEST = 30  # patches that say something
COMMON = 0.95  # of the surroundings' patches are as near to another of theirs as what counts as theirs
CLOSER = 0.5  # times as far, squared, as anything around: what belongs to neither is near to neither
STANDS_OUT = 0.2  # of what was erased must be foreign: some of it is by chance

DOWN, ACROSS = (part.ravel() for part in np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1])
WEIGHT = np.exp(-(DOWN**2 + ACROSS**2) / (4 * WIDTH**2)).astype(np.float32)


def likeness(pixels: np.ndarray, hole: np.ndarray, erased: np.ndarray) -> float | None:
    """How much of what made the erased thing stand out is there again: 0 for nothing, about 1 for all of it.

    pixels (H, W, C) float32 in [-1, 1], filled · hole (H, W) bool · erased (H, W, C), what was there. None where that
    cannot be told: too few patches, or what was erased looks like its surroundings.

    Patches of what was erased that no patch around is as near to as patches around are to each other are foreign. The
    filling's foreign patches that are nearer to those than to any around are counted, over how many there were; by
    colour, and by lightness less its mean, which a change of colour leaves alone. The larger count is the answer.
    """
    every = Box(0, 0, hole.shape[1], hole.shape[0])
    box = tighten(hole, every)
    if box is None:
        return None
    near = box.pad(max(4 * REACH, max(box.width, box.height) // 2)).clamp(every).slices
    layers, inside = np.concatenate([pixels[near], erased[near]], axis=2), hole[near]
    while np.count_nonzero(inside) > LARGEST:
        layers, inside = halve_mean(layers), halve_mean(inside)
    shares: list[tuple[float | None, ...]] = []
    for scale in range(SCALES):
        if scale:
            layers, inside = halve_mean(layers), halve_mean(inside)
        rng = np.random.default_rng(scale)
        around, within = (_places(where, rng) for where in (~dilate(inside, REACH), inside))
        if min(len(around), len(within)) < FEWEST:
            break
        patches = _patches(layers, np.concatenate([around, within]))
        shares.append(tuple(_shown_again(look(patches), len(around)) for look in (_colour, _relief)))
    by_look = [[share for share in found if share is not None] for found in zip(*shares, strict=True)]
    return max((float(np.mean(found)) for found in by_look if found), default=None)


def _shown_again(patches: np.ndarray, around: int) -> float | None:
    """patches (N, 2, values), of the filling and of what was erased, the first of them those around, where both are the
    same; None if nothing was foreign."""
    ring, filled, erased = patches[:around, 0], patches[around:, 0], patches[around:, 1]
    common = np.quantile(_nearest(ring, ring, itself=False), COMMON)
    foreign = erased[_nearest(erased, ring) > common]
    if len(foreign) < max(FEWEST // 3, STANDS_OUT * len(erased)):
        return None
    to_ring = _nearest(filled, ring)
    again = (to_ring > common) & (_nearest(filled, foreign) < CLOSER * to_ring)
    return min(1.0, float(np.count_nonzero(again) / len(foreign)))


def _places(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) rows and columns of whole patches' middles, at most MOST of them."""
    inner = np.zeros_like(where)
    inner[REACH:-REACH, REACH:-REACH] = where[REACH:-REACH, REACH:-REACH]
    places = np.argwhere(inner)
    return places if len(places) <= MOST else places[rng.choice(len(places), MOST, replace=False)]


def _patches(layers: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(H, W, 2 C) at places (N, 2) -> (N, 2, 49, C)."""
    patches = layers[places[:, :1] + DOWN, places[:, 1:] + ACROSS]
    both: np.ndarray = patches.reshape(len(places), len(DOWN), 2, -1).swapaxes(1, 2)
    return both


def _colour(patches: np.ndarray) -> np.ndarray:
    weighted = patches * WEIGHT[:, None]
    return weighted.reshape(*weighted.shape[:2], -1)


def _relief(patches: np.ndarray) -> np.ndarray:
    lightness = patches.mean(axis=3)
    relief: np.ndarray = (lightness - lightness.mean(axis=2, keepdims=True)) * WEIGHT
    return relief


def _nearest(patches: np.ndarray, others: np.ndarray, *, itself: bool = True) -> np.ndarray:
    """Squared distance of each of the patches (N, values) to the nearest of the others, itself left out if asked."""
    squares = (patches**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2 * patches @ others.T
    if not itself:
        np.fill_diagonal(squares, np.inf)
    return np.maximum(squares.min(axis=1), 0)
