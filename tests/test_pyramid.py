"""Halving, doubling and smooth filling, against definitions written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from eraser.pyramid import dilate, double, halve, halve_weighted, push_pull

SIZES = [(1, 1), (1, 2), (2, 1), (1, 7), (2, 2), (3, 3), (5, 4), (8, 8), (13, 6), (16, 31)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def slow_halve(image: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = (hole.shape[0] + 1) // 2, (hole.shape[1] + 1) // 2
    smaller, smaller_hole = np.zeros((height, width, image.shape[2])), np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            # beyond an odd edge the last row or column counts twice
            four = [
                (min(2 * y + dy, hole.shape[0] - 1), min(2 * x + dx, hole.shape[1] - 1))
                for dy in (0, 1)
                for dx in (0, 1)
            ]
            known = [image[place] for place in four if not hole[place]]
            smaller_hole[y, x] = len(known) < 2
            if len(known) >= 2:
                smaller[y, x] = np.mean(known, axis=0)
    return smaller, smaller_hole


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_halving_takes_the_mean_of_known_pixels_only(size, channels, rng):
    for share in (0.0, 0.3, 0.8, 1.0):
        image = rng.uniform(-1, 1, (*size, channels)).astype(np.float32)
        hole = rng.random(size) < share
        smaller, smaller_hole = halve(image, hole)
        expected, expected_hole = slow_halve(image, hole)
        assert np.array_equal(smaller_hole, expected_hole)
        assert smaller.dtype == np.float32
        assert np.allclose(smaller, expected, atol=1e-6)
        assert not smaller[smaller_hole].any()


def test_halving_never_looks_under_the_hole(rng):
    image = rng.random((9, 12, 3)).astype(np.float32)
    hole = rng.random((9, 12)) < 0.4
    garbage = np.where(hole[:, :, None], np.float32(1e6), image)
    assert np.allclose(halve(image, hole)[0], halve(garbage, hole)[0])


@pytest.mark.parametrize("size", SIZES)
def test_weighted_halving_is_a_weighted_mean_and_keeps_the_weight(size, rng):
    image = rng.uniform(-1, 1, (*size, 2)).astype(np.float32)
    weight = (rng.random(size) * (rng.random(size) < 0.6)).astype(np.float32)
    mean, total = halve_weighted(image, weight)
    for y in range(total.shape[0]):
        for x in range(total.shape[1]):
            part = (slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
            assert total[y, x] == pytest.approx(min(1, weight[part].sum()), abs=1e-6)
            if weight[part].sum() > 1e-6:
                expected = (image[part] * weight[part][:, :, None]).sum((0, 1)) / weight[part].sum()
                assert mean[y, x] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cut", [0, 1])
def test_doubling_interpolates_at_quarter_positions(size, cut, rng):
    small = rng.random((*size, 2)).astype(np.float32)
    height, width = 2 * size[0] - cut, 2 * size[1] - cut
    rows = (np.arange(height) - 0.5) / 2
    columns = (np.arange(width) - 0.5) / 2
    expected = np.stack(
        [
            ndimage.map_coordinates(
                small[:, :, c].astype(float), np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
            )
            for c in range(2)
        ],
        axis=2,
    )
    assert np.allclose(double(small, height, width), expected, atol=1e-6)


def test_halving_undoes_doubling_of_a_slope_away_from_the_border():
    slope = np.add.outer(np.arange(8.0), 3 * np.arange(9.0))[:, :, None].astype(np.float32)
    back, _ = halve(double(slope, 16, 18), np.zeros((16, 18), bool))
    assert np.allclose(back[1:-1, 1:-1], slope[1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_push_pull_keeps_what_is_known_and_stays_within_its_range(size, share, rng):
    image = rng.uniform(-1, 1, (*size, 3)).astype(np.float32)
    weight = (rng.random(size) < share).astype(np.float32)
    weight[rng.integers(size[0]), rng.integers(size[1])] = 1
    known = weight > 0
    garbage = np.where(known[:, :, None], image, np.float32(1e6))
    filled = push_pull(garbage, weight)
    assert np.array_equal(filled[known], image[known])
    low, high = image[known].min(axis=0), image[known].max(axis=0)
    assert (filled >= low - 1e-5).all()
    assert (filled <= high + 1e-5).all()


def test_push_pull_continues_smoothly_rather_than_by_the_nearest_pixel():
    slope = np.repeat(np.linspace(-1, 1, 64, dtype=np.float32)[None, :, None], 64, axis=0)
    weight = np.ones((64, 64), np.float32)
    weight[16:48, 16:48] = 0
    filled = push_pull(slope, weight)
    assert np.abs(filled - slope).max() < 0.35  # the hole's two sides differ by 1
    assert np.abs(np.diff(filled[:, :, 0], axis=1)).max() < 0.2


def test_push_pull_without_anything_known_is_black_and_finite():
    assert not push_pull(np.ones((7, 5, 3), np.float32), np.zeros((7, 5), np.float32)).any()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 4), st.randoms(use_true_random=False))
def test_dilation_reaches_a_square_around_each_pixel(height, width, radius, random):
    mask = np.array([[random.random() < 0.1 for _ in range(width)] for _ in range(height)])
    before = mask.copy()
    expected = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        expected[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = True
    assert np.array_equal(dilate(mask, radius), expected)
    assert np.array_equal(mask, before)
