"""Repetitions are found where a picture is made of them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from eraser.engines.projections import through
from eraser.engines.repeats import find_repeats, smaller
from tests.engines.walls import HOLE, PERIOD, SIZE, TILT, wall


def test_the_maps_of_a_tilted_wall_are_shifts_by_whole_stones():
    picture, hole = wall(), HOLE
    maps = find_repeats(np.where(hole[:, :, None], 0, picture), hole, 4)
    assert maps
    places = np.argwhere(hole)[::97, ::-1].astype(float)
    for matrix in maps:
        # on the wall itself, where nothing is tilted
        moved = through(np.linalg.inv(TILT), through(matrix, places)) - through(np.linalg.inv(TILT), places)
        stones = moved / PERIOD
        assert np.abs(stones - stones.mean(axis=0).round()).max() < 0.03  # 1 or 2 pixels
        assert np.abs(stones.mean(axis=0)).max() > 0.9


def test_of_several_maps_the_first_shows_most_and_there_are_no_more_than_asked_for():
    picture = np.where(HOLE[:, :, None], 0, wall())
    several = find_repeats(picture, HOLE, 4)
    assert len(several) > 1
    assert np.array_equal(find_repeats(picture, HOLE, 1), several[:1])


def _noise(rng: np.random.Generator) -> np.ndarray:
    return ndimage.gaussian_filter(rng.normal(0, 1, (*SIZE, 3)), (2, 2, 0)) * 3


def _stripes(rng: np.random.Generator) -> np.ndarray:
    """The same all along each: where along them one is, cannot be told."""
    x = np.arange(SIZE[1])
    return np.broadcast_to(np.sin(x / 6)[None, :, None] * 0.5, (*SIZE, 3)) + rng.normal(0, 0.02, (*SIZE, 3))


def _flat(rng: np.random.Generator) -> np.ndarray:
    return np.zeros((*SIZE, 3))


@pytest.mark.parametrize("made", [_noise, _stripes, _flat])
def test_nothing_is_found_where_nothing_is_repeated(made):
    rng = np.random.default_rng(1)
    picture = np.where(HOLE[:, :, None], 0, made(rng)).astype(np.float32)
    assert find_repeats(picture, HOLE, 4) == []


@pytest.mark.parametrize("side", [2, 8])
def test_a_small_hole_is_left_to_patches(side):
    hole = np.zeros(SIZE, bool)
    hole[100 : 100 + side, 120 : 120 + side] = True
    assert find_repeats(wall(), hole, 4) == []


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_smaller_picture_is_made_of_means_and_unknown_where_anything_is(factor):
    rng = np.random.default_rng(1)
    pixels, hole = rng.normal(size=(11, 14, 3)).astype(np.float32), rng.random((11, 14)) < 0.1
    small = smaller(pixels, hole, factor)
    assert small.grey.shape == (11 // factor, 14 // factor)
    for y, x in np.ndindex(small.grey.shape):
        cell = slice(y * factor, (y + 1) * factor), slice(x * factor, (x + 1) * factor)
        assert np.isnan(small.grey[y, x]) == hole[cell].any()
        if not hole[cell].any():
            assert small.grey[y, x] == pytest.approx(pixels[cell].mean(), abs=1e-6)
