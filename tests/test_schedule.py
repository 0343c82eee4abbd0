"""Noise levels fall from `high` to `low` as their formulas say, and end in 0."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.schedule import geometric, karras


@pytest.mark.parametrize("schedule", [geometric, karras])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_levels_fall_from_high_to_low_and_then_to_exactly_zero(schedule, count):
    sigmas = schedule(5.0, 0.25, count)
    assert sigmas.shape == (count + 1,)
    assert sigmas[0] == pytest.approx(5.0)
    assert sigmas[-2] == pytest.approx(0.25)
    assert sigmas[-1] == 0.0
    assert (np.diff(sigmas) < 0).all()


@pytest.mark.parametrize("schedule", [geometric, karras])
def test_a_single_level_is_the_highest(schedule):
    assert schedule(5.0, 0.25, 1).tolist() == pytest.approx([5.0, 0.0])


def test_geometric_levels_have_equal_ratios():
    sigmas = geometric(8.0, 0.5, 5)
    assert sigmas[:-1] == pytest.approx([8, 4, 2, 1, 0.5])


def test_karras_levels_are_those_of_the_papers_equation_5():
    high, low, count, rho = 80.0, 0.002, 18, 7
    expected = [
        (high ** (1 / rho) + i / (count - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(count)
    ]
    assert karras(high, low, count) == pytest.approx([*expected, 0])


def test_karras_with_rho_one_has_equal_differences():
    assert karras(5.0, 1.0, 5, rho=1) == pytest.approx([5, 4, 3, 2, 1, 0])


def test_karras_spends_more_steps_low_than_even_steps_would():
    assert np.median(karras(5.0, 0.1, 21)) < np.median(karras(5.0, 0.1, 21, rho=1)) / 2
