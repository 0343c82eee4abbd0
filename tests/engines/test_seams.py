"""Seam levelling on pieces whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines.patch_levels import Workers, build_levels
from eraser.engines.seams import level_seams
from eraser.geometry import Box, Size
from eraser.pyramid import dilate

SIZE = Size(120, 90)


@pytest.mark.parametrize(
    ("box", "shift"),
    [(Box(40, 30, 20, 25), 40), (Box(0, 0, 120, 25), 40 * SIZE.width), (Box(100, 0, 20, 90), -50)],
    ids=["inside", "top side", "right side"],
)
def test_a_piece_that_is_too_bright_takes_the_level_of_its_rim_where_the_hole_fills_its_box(box, shift):
    """A flat picture, and in it one piece copied from `shift` pixels on, 0.1 too bright as a whole.

    Marks by box and extended sides fill their box to the corners.
    """
    hole = np.zeros((SIZE.height, SIZE.width), bool)
    hole[box.slices] = True
    view = View(np.zeros((*hole.shape, 3), np.float32), hole)
    workers = Workers(1)
    level = build_levels(view, coarsest_radius=2, texture=1, texture_reach=2, workers=workers)[-1]
    label = (level.pixels + shift).astype(np.int32)
    assert not hole.reshape(-1)[label].any(), "the piece comes from known pixels"
    values = np.full((len(level.pixels), 4), 0.1, np.float32)

    list(level_seams(level, label, values, workers, tolerance=0.5))
    levelled = np.zeros(hole.shape, np.float32)
    levelled[hole] = values[:, 0]

    at_the_rim = hole & dilate(~hole, 1)
    assert np.abs(levelled[at_the_rim]).max() < 0.02
