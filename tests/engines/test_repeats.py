"""Repetitions are found where a picture is made of them, and nowhere else."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from eraser.engines.projections import through
from eraser.engines.repeats import LEAST_HOLE, find_repeats, smaller
from tests.engines.walls import HOLE, PERIOD, SIZE, hole_in, tilt, wall


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_maps_of_a_tilted_wall_are_shifts_by_whole_stones(times):
    """However many times smaller the picture is made to be searched."""
    hole, to_wall = hole_in(times), np.linalg.inv(tilt(times))
    maps = find_repeats(np.where(hole[:, :, None], 0, wall(times)), hole, 4)
    assert maps
    places = np.argwhere(hole)[:: 97 * times**2, ::-1].astype(float)
    for matrix in maps:
        # on the wall itself, where nothing is tilted
        stones = (through(to_wall, through(matrix, places)) - through(to_wall, places)) / PERIOD
        off = np.abs(stones - stones.mean(axis=0).round())
        assert off.mean() < 0.02  # less than a pixel of 48 or 36
        assert off.max() < 0.06
        assert np.abs(stones.mean(axis=0)).max() > 0.9


def test_several_maps_are_different_ones_the_more_useful_first_and_no_more_than_asked_for():
    picture = np.where(HOLE[:, :, None], 0, wall())
    several = find_repeats(picture, HOLE, 4)
    assert len(several) > 1
    assert np.array_equal(find_repeats(picture, HOLE, 1), several[:1])
    assert find_repeats(picture, HOLE, 0) == []
    places = np.argwhere(HOLE)[:, ::-1].astype(float)
    taken = [through(matrix, places) for matrix in several]
    for one, other in combinations(taken, 2):
        assert np.abs(one - other).max() > 5

    def shown(moved: np.ndarray) -> int:
        x, y = moved.round().astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < SIZE[1]) & (y < SIZE[0])
        return int((~HOLE[y[inside], x[inside]]).sum())

    assert shown(taken[0]) >= shown(taken[-1])


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


@pytest.mark.parametrize(("side", "searched"), [(LEAST_HOLE - 1, False), (60, True)])
def test_a_small_hole_is_left_to_patches(side, searched):
    hole = np.zeros(SIZE, bool)
    hole[100 : 100 + side, 120 : 120 + side] = True
    assert bool(find_repeats(np.where(hole[:, :, None], 0, wall()), hole, 4)) == searched


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


def test_a_strip_thinner_than_a_pixel_of_the_searched_picture_is_not_searched():
    hole = np.zeros((2, 200_000), bool)
    hole[:, 90_000:90_100] = True
    assert find_repeats(np.zeros((*hole.shape, 3), np.float32), hole, 4) == []
