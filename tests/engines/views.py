"""Views to be filled, and driving whoever fills them."""

from __future__ import annotations

import numpy as np

from eraser.canvas import View
from eraser.geometry import Box


def view_with(height: int, width: int, *boxes: Box, channels: int = 3) -> View:
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width, :channels][:2]
    pixels = np.clip(np.sin(x / 7) * 0.6 + np.cos(y / 5) * 0.3 + rng.normal(0, 0.1, x.shape), -1, 1).astype(np.float32)
    hole = np.zeros((height, width), bool)
    for box in boxes:
        hole[box.slices] = True
    pixels[hole] = 0
    return View(pixels, hole)


VIEW = view_with(90, 70, Box(25, 30, 20, 22))


def run(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return finished.value, seen
