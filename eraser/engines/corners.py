"""Corners of a grey picture, and which of them look alike."""

from __future__ import annotations

import numpy as np

from eraser.engines.match_kernels import most_alike
from eraser.geometry import Box

WINDOW = 5  # pixels over which a corner's gradients are gathered
CELL = 5  # pixels to a side of a descriptor's cells, of which there are CELLS x CELLS
CELLS = 4
SPREAD = np.convolve(np.ones(CELL) / CELL, np.ones(3) / 3)  # of a gradient over pixels: over a cell, then a little more
AXES = 4  # along which gradients are told, to either side
CLIPPED = 0.25  # of a descriptor's length: one strong edge must not be all of it (Lowe 2004)
PARTS = 12  # of the picture along each side, that corners are spread over
CORNERS = 1500
FAINT = 1e-6  # smaller eigenvalue of the gradients' products, in the image's range [-1, 1]
NEAR = 300  # corners around the hole
MOST_MATCHES = 700  # in all, those most alike: each is compared with each other
MATCHES = 4  # for each of them
ALIKE = 0.8  # cosine between descriptors of corners that match
SAME = 6  # pixels within which a corner is not another one


def matches(grey: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of corners that look alike: places (M, 2) around the hole's box, places (M, 2) anywhere, and for each pair
    the number of its first corner.

    grey (H, W) float32, NaN where it is not known: in the hole.
    """
    from scipy import ndimage

    places, descriptors = corners(grey)
    hole_distance = ndimage.distance_transform_edt(~np.isnan(grey))[places[:, 1], places[:, 0]]
    near = np.argsort(hole_distance, kind="stable")[:NEAR]
    near = near[hole_distance[near] < max(box.width, box.height) / 2 + 20]
    best, cosines = np.empty((len(near), MATCHES), np.int64), np.empty((len(near), MATCHES), np.float32)
    most_alike(descriptors, places, near, SAME**2, best, cosines)
    strongest = np.sort(cosines, axis=None)[-MOST_MATCHES:]
    # as strong as the last of them are all its copies in an exact repetition
    corner, column = np.nonzero((cosines > ALIKE) & (cosines >= strongest.min(initial=1)))
    return places[near[corner]].astype(float), places[best[corner, column]].astype(float), corner


def corners(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, 2) int32, x before y, all over the known picture, and what is around them: (N, D) float32, of unit
    length.

    Corners as in Shi & Tomasi 1994; gradients by direction in CELLS x CELLS cells as in Lowe 2004, but upright and of
    one size: what repeats itself at another angle altogether is of no use as a neighbour.
    """
    from scipy import ndimage

    known = np.isfinite(grey)
    smooth = ndimage.gaussian_filter(np.where(known, grey, 0), 0.8, truncate=2.5)
    wholly_known = ndimage.minimum_filter(known, WINDOW, mode="constant")
    dy, dx = (slope * wholly_known for slope in np.gradient(smooth))
    xx, xy, yy = (ndimage.uniform_filter(product, WINDOW) for product in (dx * dx, dx * dy, dy * dy))
    strength = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    reach = CELLS * CELL // 2 + 2
    inside = np.zeros_like(known)
    inside[reach:-reach, reach:-reach] = True
    inside &= ndimage.minimum_filter(known, WINDOW + 4, mode="constant")
    y, x = np.nonzero(inside & (strength == ndimage.maximum_filter(strength, WINDOW)) & (strength > FAINT))
    # the strongest of each part of the picture before the next strongest of any
    part = y * PARTS // grey.shape[0] * PARTS + x * PARTS // grey.shape[1]
    order = np.lexsort((-strength[y, x], part))
    rank = np.arange(len(order)) - np.searchsorted(part[order], part[order])
    chosen = order[np.argsort(rank, kind="stable")][:CORNERS]
    y, x = y[chosen], x[chosen]
    return np.stack([x, y], axis=1).astype(np.int32), _descriptors(dx, dy, x, y)


def _descriptors(dx: np.ndarray, dy: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    angles = (np.arange(AXES) * np.pi / AXES).astype(np.float32)
    axes = np.stack([np.cos(angles), np.sin(angles)])
    # gradients to one side of an axis are half the sum of what there is along it and of the same without its sign
    slopes = np.stack([dx, dy, *(np.abs(dx * across + dy * down) for across, down in axes.T)])
    gathered = ndimage.correlate1d(ndimage.correlate1d(slopes, SPREAD, 1), SPREAD, 2)
    offsets = ((np.arange(CELLS) - (CELLS - 1) / 2) * CELL).round().astype(int)
    cells = np.stack([gathered[:, y + down, x + across] for down in offsets for across in offsets])  # (cells, 2 + A, N)
    along = cells[:, :1] * axes[0][:, None] + cells[:, 1:2] * axes[1][:, None]
    towards = np.concatenate([cells[:, 2:] + along, cells[:, 2:] - along], axis=1)
    return _unit(np.minimum(_unit(towards.reshape(CELLS**2 * 2 * AXES, len(x)).T), CLIPPED))


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = np.ascontiguousarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))
    return unit
