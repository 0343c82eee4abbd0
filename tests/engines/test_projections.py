"""Projective maps: fitted, scaled and aligned where the right one is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from eraser.engines.projections import MOST_STRETCH, NOWHERE, aligned, fit, is_gentle, scaled, taken_from, through
from eraser.geometry import Box

TILTED = np.array([[0.9, 0.08, 14.0], [-0.05, 1.1, -9.0], [4e-4, -3e-4, 1.0]])
BOX = Box(30, 40, 60, 50)


@pytest.mark.parametrize("projective", [True, False])
def test_a_map_is_found_from_what_it_does(projective):
    rng = np.random.default_rng(1)
    matrix = TILTED if projective else np.vstack([TILTED[:2], [0, 0, 1]])
    places = rng.uniform(0, 200, (20, 2))
    found = fit(places, through(matrix, places), projective=projective)
    assert np.allclose(through(found, places + 7), through(matrix, places + 7), atol=1e-6)


def test_a_fitted_map_has_the_least_squares_of_errors():
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 100, (30, 2))
    seen = through(np.vstack([TILTED[:2], [0, 0, 1]]), places) + rng.normal(0, 1, places.shape)
    found = fit(places, seen, projective=False)

    def errors(matrix: np.ndarray) -> float:
        return float(((through(matrix, places) - seen) ** 2).sum())

    for row in range(2):
        for column in range(3):
            for step in (-1e-3, 1e-3):
                moved = found.copy()
                moved[row, column] += step
                assert errors(moved) >= errors(found)


def test_places_on_the_horizon_are_nowhere():
    matrix = np.array([[1, 0, 0], [0, 1, 0], [0.01, 0, -1.0]])
    assert (through(matrix, np.array([[100.0, 5.0]])) == NOWHERE).all()


def test_a_scaled_map_does_the_same_in_a_larger_picture():
    factor = 3
    small = np.array([[12.0, 20.0], [50.0, 31.0]])

    def larger(places: np.ndarray) -> np.ndarray:
        return places * factor + (factor - 1) / 2  # a small pixel's middle is that of the pixels it stands for

    assert np.allclose(through(scaled(TILTED, factor), larger(small)), larger(through(TILTED, small)))
    assert np.allclose(scaled(scaled(TILTED, factor), 1 / factor), TILTED)


@pytest.mark.parametrize(
    ("matrix", "gentle"),
    [
        (TILTED, True),
        (np.diag([-1.0, 1, 1]), False),  # mirrored
        (np.diag([1, 1, np.nan]), False),
        (np.diag([MOST_STRETCH * 1.1, 1, 1]), False),
        (np.diag([1, 0.9 / MOST_STRETCH, 1]), False),
        (np.array([[1, 0, 0], [0, 1, 0], [-1 / 60, 0, 1.0]]), False),  # its horizon crosses the box
    ],
)
def test_gentle_maps_neither_mirror_nor_tear_nor_stretch(matrix, gentle):
    assert is_gentle(matrix, BOX) == gentle


def test_what_a_box_is_taken_from_is_where_the_map_takes_its_pixels():
    rows, columns = taken_from(TILTED, BOX)
    for y, x in ((0, 0), (BOX.height - 1, 3)):
        expected = through(TILTED, np.array([[BOX.x + x, BOX.y + y]], float))[0]
        assert np.allclose((columns[y, x], rows[y, x]), expected)


def test_a_map_that_is_two_pixels_off_is_brought_into_line_despite_other_light():
    """What the true map shows stands in the box, darker to one side; the map to be aligned is off by two pixels."""
    rng = np.random.default_rng(1)
    grey = ndimage.gaussian_filter(rng.normal(0, 1, (200, 240)), 2)
    box = Box(20, 30, 70, 60)
    matrix = np.array([[1.02, 0.03, 95.0], [-0.02, 0.97, 60.0], [1e-4, -1e-4, 1.0]])
    shown = ndimage.map_coordinates(grey, taken_from(matrix, box), order=3)
    grey[box.slices] = shown + np.linspace(-0.3, 0.3, box.width)
    ring = np.ones((box.height, box.width), bool)
    ring[15:45, 15:55] = False
    off = matrix + np.array([[0.01, 0, 1.5], [0, 0.01, -1.5], [0, 0, 0]])

    def error(candidate: np.ndarray) -> float:
        return float(np.abs(taken_from(candidate, box) - taken_from(matrix, box)).max())

    assert error(off) > 1.5
    assert error(aligned(grey, off, ring, box)) < 0.2


def test_a_map_that_shows_nothing_known_stays_as_it_is():
    grey = np.full((80, 80), np.nan, np.float32)
    ring = np.ones((20, 20), bool)
    assert np.array_equal(aligned(grey, TILTED, ring, Box(10, 10, 20, 20)), TILTED)


def test_a_map_that_folds_the_picture_is_not_aligned_and_says_nothing():
    """Everything onto one line: there is no way back along its derivatives."""
    grey = ndimage.gaussian_filter(np.random.default_rng(1).normal(0, 1, (120, 140)), 2)
    fold = np.array([[1.0, 0, 5.0], [0, 0, 60.0], [0, 0, 1.0]])
    box = Box(20, 30, 60, 50)
    found = aligned(grey, fold, np.ones((box.height, box.width), bool), box)
    assert through(found, np.array([[30.0, 40.0]])) == pytest.approx(np.array([[35.0, 60.0]]))
