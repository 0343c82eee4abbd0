"""One picture's light brought to another's: a known cast is found, limited, and taken back."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.light import MOST_HUE, MOST_LIGHT, encoded, gains, linear, relit

NOWHERE = np.zeros((90, 120), bool)


def scene(seed: int = 0) -> np.ndarray:
    """Grey and coloured rectangles, none of them clipped: (90, 120, 3) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    light = np.full((90, 120, 3), 0.3, np.float32)
    for _ in range(60):
        y, x = rng.integers(0, 80), rng.integers(0, 110)
        colour = rng.uniform(0.02, 0.5) * np.ones(3) if rng.random() < 0.7 else rng.uniform(0.02, 0.5, 3)
        light[y : y + rng.integers(4, 30), x : x + rng.integers(4, 30)] = colour
    return encoded(light)


def cast(picture: np.ndarray, stops: list[float]) -> np.ndarray:
    return encoded(linear(picture) * np.exp2(np.array(stops, np.float32)))


@pytest.mark.parametrize("stops", [[0.2, 0, -0.2], [-0.1, 0.15, 0.1], [0.3, 0.3, 0.3], [-0.3, -0.25, -0.2]])
def test_a_known_cast_is_taken_back(stops):
    picture = scene()
    other = cast(picture, stops)
    gain = gains(other, NOWHERE, picture, NOWHERE, 1.0)
    assert np.abs(np.log2(gain) + stops).max() < 0.02
    # the shoulder bends highlights, of which this scene has none
    assert np.abs(relit(other, gain) - picture).mean() < 0.01


def test_half_the_strength_goes_half_the_way_and_none_nowhere():
    picture = scene()
    other = cast(picture, [0.3, 0.1, -0.1])
    whole, half = (np.log2(gains(other, NOWHERE, picture, NOWHERE, strength)) for strength in (1.0, 0.5))
    assert np.allclose(half, whole / 2, atol=1e-5)
    assert np.array_equal(gains(other, NOWHERE, picture, NOWHERE, 0.0), np.ones(3, np.float32))


def test_another_subject_matter_moves_light_no_further_than_its_limits():
    red = scene() * np.array([1, 0.02, 0.02], np.float32) - np.array([0, 0.9, 0.9], np.float32)
    found = np.log2(gains(red, NOWHERE, scene(1), NOWHERE, 1.0))
    assert np.abs(found).max() > 0.3
    assert np.abs(found).max() <= MOST_HUE + MOST_LIGHT + 1e-6


def test_pixels_that_are_not_to_be_seen_do_not_count():
    picture, other = scene(), cast(scene(), [0.2, 0, -0.2])
    hidden = NOWHERE.copy()
    hidden[20:70, 30:90] = True
    expected = gains(other, hidden, picture, hidden, 1.0)
    other[hidden], picture[hidden] = np.nan, 1.0
    assert np.array_equal(gains(other, hidden, picture, hidden, 1.0), expected)


@pytest.mark.parametrize("flat", [np.zeros((90, 120, 3), np.float32), np.full((90, 120, 3), -1, np.float32)])
def test_a_flat_picture_and_one_that_is_hidden_show_no_light(flat):
    assert np.array_equal(gains(flat, NOWHERE, scene(), NOWHERE, 1.0), np.ones(3, np.float32))
    assert np.array_equal(gains(scene(), ~NOWHERE, scene(), NOWHERE, 1.0), np.ones(3, np.float32))


def test_grey_pictures_change_in_brightness_alone():
    grey = scene()[:, :, :1]
    gain = gains(cast(grey, [0.3]), NOWHERE, grey, NOWHERE, 1.0)
    assert gain.shape == (1,)
    assert np.log2(gain) == pytest.approx(-0.3, abs=0.02)


def test_brighter_light_clips_nothing_and_keeps_the_order_of_levels():
    ramp = np.linspace(-1, 1, 256, dtype=np.float32)[None, :, None].repeat(3, axis=2)
    lit = relit(ramp, np.array([1.7, 1.2, 0.7], np.float32))
    steps = np.diff(lit[0], axis=0)
    assert (steps > 0).all()
    assert lit[0, -1, 0] == pytest.approx(1, abs=1e-4)
    assert lit[0, -1, 1] == pytest.approx(1, abs=1e-4)
    assert lit[0, -1, 2] < 1
    assert np.abs(relit(ramp, np.ones(3, np.float32)) - ramp).max() < 1e-5
