"""Maps are found from matches of which many are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.engines import agreement
from eraser.engines.agreement import LEAST_CORNERS, agreed_maps
from eraser.engines.projections import through
from eraser.geometry import Box

BOX = Box(60, 60, 80, 70)
NEAR = np.array([[1.02, 0.03, 90.0], [-0.02, 0.97, 12.0], [2e-4, -1e-4, 1.0]])
FAR = np.array([[0.8, 0.0, -40.0], [0.05, 0.85, 60.0], [0, 0, 1.0]])


def seen(rng: np.random.Generator, matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """So many places around the box, and where the map takes them, to within half a pixel."""
    places = rng.uniform([40, 40], [160, 150], (count, 2))
    return places, through(matrix, places) + rng.uniform(-0.5, 0.5, (count, 2))


def chance(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(40, 160, (count, 2)), rng.uniform(0, 300, (count, 2))


def together(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first, second = (np.concatenate(side) for side in zip(*parts, strict=True))
    return first, second, np.arange(len(first))


def off(found: np.ndarray, matrix: np.ndarray) -> float:
    places = np.array([[BOX.x, BOX.y], [BOX.right, BOX.y], [BOX.x, BOX.bottom], [BOX.right, BOX.bottom]], float)
    return float(np.abs(through(found, places) - through(matrix, places)).max())


def test_two_maps_are_found_among_as_many_matches_by_chance_the_larger_first():
    rng = np.random.default_rng(1)
    maps = agreed_maps(*together(seen(rng, FAR, 30), chance(rng, 80), seen(rng, NEAR, 50)), BOX)
    assert len(maps) == 2
    assert off(maps[0], NEAR) < 1
    assert off(maps[1], FAR) < 1


@pytest.mark.parametrize(("count", "found"), [(LEAST_CORNERS - 1, 0), (2 * LEAST_CORNERS, 1)])
def test_a_map_needs_so_many_corners(count, found):
    rng = np.random.default_rng(2)
    assert len(agreed_maps(*together(seen(rng, NEAR, count), chance(rng, 60)), BOX)) == found


def test_matches_of_the_same_few_corners_are_not_many_witnesses():
    rng = np.random.default_rng(3)
    first, second, corner = together(seen(rng, NEAR, 3 * LEAST_CORNERS))
    assert agreed_maps(first, second, corner % (LEAST_CORNERS - 1), BOX) == []


def test_chance_is_no_map():
    assert agreed_maps(*together(chance(np.random.default_rng(4), 300)), BOX) == []


def test_a_map_that_is_not_gentle_is_none(monkeypatch):
    matches = together(seen(np.random.default_rng(4), NEAR, 60))
    assert len(agreed_maps(*matches, BOX)) == 1
    monkeypatch.setattr(agreement, "is_gentle", lambda matrix, box: box != BOX)
    assert agreed_maps(*matches, BOX) == []
