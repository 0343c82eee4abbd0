"""What compares everything with everything has slow, obvious twins here, and must agree with them."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.engines import match_kernels as kernels


@pytest.mark.parametrize(("count", "most"), [(0, 2), (1, 2), (3, 4), (40, 1), (40, 4)])
def test_the_most_alike_are_those_of_sorting_all_cosines(count, most):
    rng = np.random.default_rng(count + most)
    descriptors = rng.normal(0.3, 1, (count, 24)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    places = rng.integers(0, 30, (count, 2)).astype(np.int32)
    asked = rng.permutation(count)[: count // 2 + 1]
    apart = 36
    best, cosines = np.empty((len(asked), most), np.int64), np.empty((len(asked), most), np.float32)
    kernels.most_alike(descriptors, places, asked, apart, best, cosines)
    for row, one in enumerate(asked):
        alike = descriptors @ descriptors[one]
        far = ((places - places[one]) ** 2).sum(axis=1) >= apart
        expected = [k for k in np.argsort(-alike) if far[k] and alike[k] > 0][:most]
        missing = most - len(expected)
        assert list(best[row]) == expected + [-1] * missing
        assert cosines[row] == pytest.approx(np.append(alike[expected], np.zeros(missing)), abs=1e-6)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_matches_that_are_moved_alike_support_each_other(count):
    rng = np.random.default_rng(count)
    first = rng.uniform(0, 60, (count, 2)).astype(np.float32)
    second = (first + rng.normal((30, 5), 4, first.shape)).astype(np.float32)
    nearest, reach, stretch = 5.0**2, 40.0**2, 0.2
    supports = np.ones((count, count), bool)
    kernels.support(first, second, nearest, reach, stretch, supports)
    apart = np.linalg.norm(first[:, None] - first, axis=2)
    otherwise = np.linalg.norm((second - first)[:, None] - (second - first), axis=2)
    expected = (apart > 5) & (apart < 40) & (otherwise < 0.2 * apart + 1)
    assert np.array_equal(supports, expected)
    assert count < 30 or 0.1 < expected.mean() < 0.9, "the case tells nothing"
