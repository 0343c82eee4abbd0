"""A wall of stones, all cut alike but each of its own brightness, seen at an angle."""

from __future__ import annotations

import functools

import numpy as np

from eraser.engines.projections import taken_from
from eraser.geometry import Box

SIZE = 300, 360
PERIOD = np.array([48.0, 36.0])  # of the stones, on the wall, x before y
TILT = np.array([[1.0, 0.12, 10.0], [0.04, 0.95, 4.0], [7e-4, 2e-4, 1.0]])  # from the wall to the picture

HOLE = np.zeros(SIZE, bool)
HOLE[100:190, 120:220] = True


def hole_in(times: int) -> np.ndarray:
    return HOLE.repeat(times, axis=0).repeat(times, axis=1)


def tilt(times: int) -> np.ndarray:
    """From the wall to a picture that many times as large."""
    middle = (times - 1) / 2
    larger: np.ndarray = np.array([[times, 0, middle], [0, times, middle], [0, 0, 1]]) @ TILT
    return larger


@functools.cache
def wall(times: int = 1) -> np.ndarray:
    """(H, W, 3) float32 in [-1, 1], that many times as large as SIZE."""
    rng = np.random.default_rng(5)
    height, width = (side * times for side in SIZE)
    y, x = taken_from(np.linalg.inv(tilt(times)), Box(0, 0, width, height))
    across, down = (x / PERIOD[0]) % 1, (y / PERIOD[1]) % 1
    mortar = (across < 0.1) | (down < 0.13)
    chip = np.hypot(across - 0.7, (down - 0.4) * PERIOD[1] / PERIOD[0]) < 0.12  # on every stone
    own = rng.uniform(-0.15, 0.15, (40, 40))
    stone = own[(y // PERIOD[1]).astype(int) % 40, (x // PERIOD[0]).astype(int) % 40]
    grey = np.where(mortar, 0.5, np.where(chip, -0.7, -0.2 + stone))
    noise = rng.normal(0, 0.02, (height, width, 3))
    picture: np.ndarray = (grey[:, :, None] * [1, 0.8, 0.7] + noise).astype(np.float32)
    return picture
