"""Lend a hole what repeats itself elsewhere: pictures warped into place, as rows of sources below the photo.

Patches are copied as they are, so what is to be copied at another angle has to be warped first. Below the photo it is
like any other source to all that copies, compares and levels; each is offered only to the place it was warped for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eraser.engines.projections import taken_from
from eraser.engines.repeats import REACH, shrinkage
from eraser.geometry import Box
from eraser.pyramid import dilate, push_pull
from eraser.window import tighten

LEAST_SHOWN = 0.75  # of the hole, by all of them together
MARGIN = 1.5  # pixels of the coarsest scale around the hole that are warped as well
MOST_PIXELS = 6_000_000  # lent, of the view's whole width: some 40 bytes each
CLEAR = 3  # pixels to the nearest unknown one: as far as the cubic spline's ringing is seen
OTHER = 0.3  # in the range [-1, 1], from the usual difference: a half is other light, and a half another thing
TONE = 15  # pixels of the searched picture over which the difference in tone is a mean


@dataclass(frozen=True, slots=True)
class Lent:
    """A photo with rows of sources below it.

    pixels (R, W, C) float32, 0 where unknown · unknown (R, W) bool, in the photo its hole · offset: rows from a place
    to where its source stands in the first warped picture · period: rows from there to the next · count: of them.
    scales: how many there can be, each half the next; at all of them rows, offset and period are whole numbers.
    """

    pixels: np.ndarray
    unknown: np.ndarray
    offset: int
    period: int
    count: int
    scales: int


def lend(pixels: np.ndarray, hole: np.ndarray, maps: list[np.ndarray], scales: int) -> Lent | None:
    """The photo (H, W, C) float32 with what the maps show, warped to its hole (H, W) bool; None without maps, and where
    they show too little of the hole.

    maps: from `find_repeats`, the most useful first; in large photos no more than memory allows.
    """
    if not maps:
        return None
    align = 1 << (scales - 1)
    height, width, colours = pixels.shape
    frame = Box(0, 0, width, height)
    tight = tighten(hole, frame)
    assert tight is not None, "there is a hole"
    factor = shrinkage(hole)
    around = tight.pad(max(REACH * factor, round(MARGIN * align))).clamp(frame)
    box = Box.between(around.x, around.y // align * align, around.right, around.bottom)
    period = _up(box.height, align) + align  # a row of nothing at the coarsest scale
    top = _up(height, align) + align
    maps = maps[: MOST_PIXELS // (period * width)]
    if not maps:
        return None
    warped = _warped(pixels, hole, maps, box)
    hidden = hole[box.slices]
    shown = np.any([known for _, known in warped], axis=0)
    if np.sum(shown & hidden) < LEAST_SHOWN * hidden.sum():
        return None
    everything = np.zeros((top + period * len(maps), width, colours), np.float32)
    unknown = np.ones(everything.shape[:2], bool)
    everything[:height], unknown[:height] = pixels, hole
    for index, (picture, known) in enumerate(warped):
        picture = picture + _tone(pixels[box.slices], hidden, picture, known, factor)
        rows = slice(top + index * period, top + index * period + box.height)
        everything[rows, box.x : box.right] = np.where(known[:, :, None], np.clip(picture, -1, 1), 0)
        unknown[rows, box.x : box.right] = ~known
    return Lent(everything, unknown, top - box.y, period, len(maps), scales)


def _warped(
    pixels: np.ndarray, hole: np.ndarray, maps: list[np.ndarray], box: Box
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each map what it shows in the box: (h, w, C) float32, and where that is known, (h, w) bool."""
    from scipy import ndimage

    clear = ~dilate(hole, CLEAR)
    clear[[0, 1, -2, -1]] = clear[:, [0, 1, -2, -1]] = False
    splines = [ndimage.spline_filter(pixels[:, :, channel], 3, np.float32) for channel in range(pixels.shape[2])]
    warped = []
    for matrix in maps:
        places = taken_from(matrix, box)
        shown = [ndimage.map_coordinates(spline, places, prefilter=False, mode="nearest") for spline in splines]
        known = ndimage.map_coordinates(clear, places, order=0, mode="constant", cval=False)
        warped.append((np.stack(shown, axis=2), known))
    return warped


def _tone(here: np.ndarray, hole: np.ndarray, shown: np.ndarray, known: np.ndarray, factor: int) -> np.ndarray:
    """What makes a warped picture of the same brightness as its new surroundings, carried smoothly into the hole."""
    from scipy import ndimage

    ring = known & ~hole & (ndimage.distance_transform_edt(~hole) <= REACH * factor)
    reach = TONE * factor, TONE * factor
    difference = np.where(ring[:, :, None], here - shown, 0)
    # what is far from the rest is another thing, not other light
    usual = np.median(difference[ring], axis=0) if ring.any() else np.zeros(here.shape[2])
    share = (ring / (1 + (np.abs(difference - usual).max(axis=2) / OTHER) ** 4)).astype(np.float32)
    weight = ndimage.uniform_filter(share, reach)
    difference = ndimage.uniform_filter(difference * share[:, :, None], (*reach, 0))
    return push_pull(difference / np.maximum(weight, 1e-6)[:, :, None], ring.astype(np.float32))


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
