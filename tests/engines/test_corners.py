"""Corners are found where there are any, and told apart by what is around them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from eraser.engines.corners import (
    AXES,
    CELL,
    CELLS,
    CLIPPED,
    CORNERS,
    MATCHES,
    MOST_MATCHES,
    PARTS,
    SAME,
    corners,
    matches,
)
from eraser.geometry import Box

SIZE = 160, 200
HOLE = Box(40, 50, 30, 40)


def texture(rng: np.random.Generator, *, hole: Box | None = None) -> np.ndarray:
    """Soft spots of all sizes from a few pixels up; nothing is known in the hole."""
    grey = sum(ndimage.gaussian_filter(rng.normal(0, radius, SIZE), radius) for radius in (1.5, 3, 6))
    grey = grey.astype(np.float32)
    if hole is not None:
        grey[hole.slices] = np.nan
    return grey


def test_corners_are_those_of_a_bright_rectangle():
    grey = np.zeros(SIZE, np.float32)
    grey[50:100, 60:140] = 0.5
    places, _ = corners(grey)
    expected = {(60, 50), (139, 50), (60, 99), (139, 99)}
    assert len(places) == len(expected)
    for x, y in expected:
        assert np.abs(places - [x, y]).max(axis=1).min() <= 2


def test_no_corner_is_told_by_what_is_not_known_nor_lies_where_its_surroundings_are_cut_off():
    """The rim of a hole is a corner of nothing, and neither is that of the picture."""
    places, _ = corners(texture(np.random.default_rng(1), hole=HOLE))
    x, y = places.T
    margin = CELLS * CELL // 2 + 2
    assert len(places) > 50
    assert ((x >= margin) & (y >= margin) & (x < SIZE[1] - margin) & (y < SIZE[0] - margin)).all()
    around = HOLE.pad(3)
    assert not ((x >= around.x) & (x < around.right) & (y >= around.y) & (y < around.bottom)).any()
    grey = np.full(SIZE, 0.3, np.float32)
    grey[HOLE.slices] = np.nan
    assert len(corners(grey)[0]) == 0


def test_every_part_of_the_picture_has_its_strongest_corner_before_any_has_many():
    rng = np.random.default_rng(1)
    grey = rng.normal(0, 0.01, (600, 800)).astype(np.float32)
    grey[:300] *= 50
    places, _ = corners(ndimage.gaussian_filter(grey, 1))
    assert len(places) == CORNERS
    part = places[:, 1] * PARTS // 600 * PARTS + places[:, 0] * PARTS // 800
    counts = np.bincount(part, minlength=PARTS**2)
    assert counts.max() - counts.min() <= 1


def test_descriptors_are_gradients_to_each_side_gathered_over_cells():
    """Against the formula as it is written, one direction after the other."""
    grey = texture(np.random.default_rng(2))
    places, descriptors = corners(grey)
    dy, dx = np.gradient(ndimage.gaussian_filter(grey, 0.8, truncate=2.5))
    whole = np.pad(np.ones((SIZE[0] - 4, SIZE[1] - 4)), 2)  # beyond the picture nothing is known
    dy, dx = dy * whole, dx * whole
    x, y = places.T
    reach = (CELLS - 1) / 2 * CELL
    offsets = np.arange(-reach, reach + 1, CELL).round().astype(int)
    rows = []
    for down in offsets:
        for across in offsets:
            for angle in np.arange(2 * AXES) * np.pi / AXES:
                towards = np.maximum(0, dx * np.cos(angle) + dy * np.sin(angle))
                gathered = ndimage.uniform_filter(ndimage.uniform_filter(towards, CELL), 3)
                rows.append(gathered[y + down, x + across])
    expected = np.array(rows).T
    expected = np.minimum(expected / np.linalg.norm(expected, axis=1, keepdims=True), CLIPPED)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert len(places) > 100
    assert np.allclose(descriptors, expected, atol=1e-4)


def test_corners_of_a_picture_that_is_seen_twice_match_their_own_copies():
    rng = np.random.default_rng(3)
    grey = texture(rng, hole=HOLE)
    shift = 90
    grey[:, 20 + shift : 100 + shift] = grey[:, 20:100]
    grey[HOLE.y : HOLE.bottom, HOLE.x + shift : HOLE.right + shift] = texture(rng)[:40, :30]
    first, second, corner = matches(grey, HOLE)
    copies = (np.abs(second - first - [shift, 0]) < 0.5).all(axis=1)
    inside = (first[:, 0] > 32) & (first[:, 0] < 88)
    assert inside.sum() > 20
    assert len(np.unique(corner[copies])) > 0.8 * len(np.unique(corner[inside]))
    assert np.bincount(corner).max() <= MATCHES
    assert np.linalg.norm(second - first, axis=1).min() >= SAME


@pytest.mark.parametrize("size", [(30, 30), (12, 200)])
def test_a_picture_without_room_for_corners_has_no_matches(size):
    grey = np.random.default_rng(4).normal(size=size).astype(np.float32)
    box = Box(10, 4, 5, 5)
    grey[box.slices] = np.nan
    first, second, corner = matches(grey, box)
    assert first.shape == second.shape == (0, 2)
    assert corner.shape == (0,)


def test_of_an_exact_repetition_all_copies_match_however_many_there_are():
    """They are equally alike, so none of them can be the weakest."""
    grey = np.tile(ndimage.gaussian_filter(np.random.default_rng(5).normal(0, 1, (40, 40)), 1.5, mode="wrap"), (5, 6))
    grey = grey.astype(np.float32)
    box = Box(90, 70, 50, 50)
    grey[box.slices] = np.nan
    first, second, corner = matches(grey, box)
    assert len(first) >= MOST_MATCHES
    assert set(np.bincount(corner)) <= {0, MATCHES}, "some corner lost a copy"
    assert np.abs((second - first + 20) % 40 - 20).max() == 0
