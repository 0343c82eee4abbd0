"""Seam levelling on pieces whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.engines.seams import level_rim, level_seams
from eraser.geometry import Box, Size
from eraser.pyramid import dilate
from tests.engines.finest import WORKERS, level_of

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
    level = level_of(np.zeros((*hole.shape, 3), np.float32), hole)
    label = (level.pixels + shift).astype(np.int32)
    assert not hole.reshape(-1)[label].any(), "the piece comes from known pixels"
    values = np.full((len(level.pixels), 4), 0.1, np.float32)

    list(level_seams(level, label, values, WORKERS, tolerance=0.3))
    levelled = np.zeros(hole.shape, np.float32)
    levelled[hole] = values[:, 0]

    at_the_rim = hole & dilate(~hole, 1)
    assert np.abs(levelled[at_the_rim]).max() < 0.02


def test_a_step_between_two_rough_pieces_goes_and_their_roughness_stays():
    """Noise, 0.1 darker on the left and 0.1 lighter on the right; the hole's halves come from either side."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.15, (120, 240, 1)).astype(np.float32)
    picture = np.repeat(noise, 3, axis=2)
    picture[:, :90] -= 0.1
    picture[:, 150:] += 0.1
    hole = np.zeros((120, 240), bool)
    hole[40:80, 100:140] = True
    level = level_of(picture, hole, texture=12)
    column = level.pixels % level.width
    label = (level.pixels + np.where(column < 120, -60, 60)).astype(np.int32)
    values = level.image[label].copy()

    def step() -> float:
        beside = [values[(column >= low) & (column < high), 0].mean() for low, high in ((114, 120), (120, 126))]
        return float(beside[1] - beside[0])

    before, rough = step(), values[:, 0].std()
    list(level_seams(level, label, values, WORKERS, tolerance=0.3))
    assert before > 0.15
    assert abs(step()) < 0.35 * before
    assert values[:, 0].std() > 0.75 * rough


@pytest.mark.parametrize(
    ("width", "aside", "stays"),
    [(60, 20, False), (1, 4, True), (1, 12, True), (1, 40, False)],
    ids=["out of focus", "sharp", "sharp a block further", "sharp but far away"],
)
def test_a_step_larger_than_any_around_goes_however_large_and_an_edge_as_the_photo_has_them_stays(width, aside, stays):
    """A dark side, a light one, and `width` pixels from one to the other; what meets in the middle of the hole stands
    twice `aside` pixels apart below it."""
    column = np.arange(240)
    light = np.clip((column - 119.5) / width + 0.5, 0, 1) * 1.8 - 0.9
    picture = np.broadcast_to(light[None, :, None], (160, 240, 3)).astype(np.float32)
    hole = np.zeros((160, 240), bool)
    hole[20:60, 80:160] = True
    level = level_of(picture, hole, texture=12)
    row, column = np.divmod(level.pixels, level.width)
    label = ((row + 60) * level.width + column + np.where(column < 120, -aside, aside)).astype(np.int32)
    values = level.image[label].copy()

    def step() -> float:
        return float(np.mean(values[column == 120, 0]) - np.mean(values[column == 119, 0]))

    before = step()
    list(level_seams(level, label, values, WORKERS, tolerance=0.3))
    assert before > 1
    if stays:
        assert step() > 0.95 * before
    else:
        assert abs(step()) < 0.2


def test_in_rough_texture_an_edge_cannot_be_told_and_goes():
    """As above with noise: a dark side and a light one, and what meets in the hole comes from beside their edge."""
    rng = np.random.default_rng(1)
    picture = np.where(np.arange(240) < 120, -0.45, 0.45)[None, :, None] + rng.normal(0, 0.12, (160, 240, 1))
    picture = np.repeat(picture, 3, axis=2).astype(np.float32)
    hole = np.zeros((160, 240), bool)
    hole[20:60, 80:160] = True
    level = level_of(picture, hole, texture=12)
    row, column = np.divmod(level.pixels, level.width)
    label = ((row + 60) * level.width + column + np.where(column < 120, -4, 4)).astype(np.int32)
    values = level.image[label].copy()

    def step() -> float:
        beside = [values[(column >= low) & (column < low + 3), 0].mean() for low in (117, 120)]
        return float(beside[1] - beside[0])

    before = step()
    list(level_seams(level, label, values, WORKERS, tolerance=0.3))
    assert before > 0.8
    assert abs(step()) < 0.35 * before


@pytest.mark.parametrize("known_edges", [True, False])
def test_at_the_rim_the_known_side_tells_of_edges_too(known_edges):
    """What is copied from a flat dark place, far from any edge, beside a light known side with an edge or without."""
    picture = np.full((120, 240, 3), -0.8, np.float32)
    picture[:, 100:] = 0.8
    picture[:, 160:] = -0.8
    if known_edges:
        picture[40:80, 142] = -0.8  # a dark line beside the hole
    hole = np.zeros((120, 240), bool)
    hole[40:80, 110:140] = True
    level = level_of(picture, hole, texture=12)
    values = np.full((len(level.pixels), 4), -0.8, np.float32)
    label = (level.pixels - 80).astype(np.int32)
    list(level_seams(level, label, values, WORKERS, tolerance=0.3))
    changed = values[(level.pixels % level.width == 139) & (np.abs(level.pixels // level.width - 60) < 8), 0] + 0.8
    assert np.all(changed < 0.1) if known_edges else np.all(changed > 0.5)


def test_at_the_rim_other_light_is_taken_away_and_something_bright_beside_it_does_not_shine_in():
    """What the patches bring is 0.1 too light all along the rim; at one place there stands something white."""
    picture = np.zeros((100, 300, 3), np.float32)
    picture[:, 200:] = 0.1
    picture[46:54, 30:40] = 0.9
    hole = np.zeros((100, 300), bool)
    hole[30:70, 40:80] = True
    level = level_of(picture, hole)
    field = np.full(level.hole.size, -1, np.int32)
    field[level.targets] = level.targets + 180
    values = np.full((len(level.pixels), 4), 0.1, np.float32)
    levelled = np.full(hole.shape, np.nan, np.float32)
    levelled[hole] = level_rim(level, field, values, WORKERS, tolerance=0.3)[:, 0]
    assert np.abs(levelled[30:70, 60:80]).max() < 0.01
    assert levelled[40:60, 50:80].max() < 0.05
