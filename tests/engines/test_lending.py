"""What a picture repeats elsewhere is lent to its hole: in place, in its light, at every scale."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines import lending, registry
from eraser.engines.lending import Lent, lend
from eraser.engines.patch import PatchEngine
from eraser.engines.patch_denoiser import Recipe
from eraser.engines.repeats import find_repeats
from eraser.pyramid import halve
from tests.engines.finest import levels_of
from tests.engines.walls import HOLE, SIZE, wall
from tests.running import outcome

SCALES = 5
MOST = 4
LIGHT = sum(np.meshgrid(np.linspace(-0.15, 0.15, SIZE[1]), np.linspace(-0.15, 0.15, SIZE[0])))[
    :, :, None
]  # from a corner


def blanked(picture: np.ndarray) -> np.ndarray:
    return np.where(HOLE[:, :, None], np.float32(0), picture)


def lent_wall(picture: np.ndarray) -> Lent:
    pixels = blanked(picture)
    found = lend(pixels, HOLE, find_repeats(pixels, HOLE, MOST), SCALES)
    assert found is not None
    return found


def in_place(lent: Lent) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each lent picture: what it puts at every place of the photo, and where it knows something of the hole."""
    pictures = []
    for index in range(lent.count):
        rows = np.arange(SIZE[0]) + lent.offset + index * lent.period
        inside = rows < len(lent.pixels)
        there, seen = np.zeros((*SIZE, 3), np.float32), np.zeros(SIZE, bool)
        there[inside], seen[inside] = lent.pixels[rows[inside]], ~lent.unknown[rows[inside]]
        pictures.append((there, seen & HOLE))
    return pictures


def test_what_is_lent_is_what_the_hole_hides_but_for_each_stone_s_own_brightness():
    pictures = in_place(lent_wall(wall()))
    for there, seen in pictures:
        assert np.corrcoef(there[seen].ravel(), wall()[seen].ravel())[0, 1] > 0.8
    assert np.any([seen for _, seen in pictures], axis=0)[HOLE].mean() >= lending.LEAST_SHOWN


def test_what_is_lent_takes_the_light_of_its_new_place():
    """A stone further to a side it is lighter or darker by 0.07; the same stones are lent in even light."""
    even, lit = blanked(0.8 * wall()), blanked((0.8 * (wall() + LIGHT)).astype(np.float32))
    maps = find_repeats(even, HOLE, MOST)
    too_light = []
    for picture, truth in ((even, 0.8 * wall()), (lit, 0.8 * (wall() + LIGHT))):
        lent = lend(picture, HOLE, maps, SCALES)
        assert lent is not None
        too_light.append([float((there - truth)[seen].mean()) for there, seen in in_place(lent)])
    assert np.abs(np.subtract(*too_light)).max() < 0.02


def test_the_photo_stays_as_it_is_and_what_is_lent_can_be_halved_with_it():
    pixels = blanked(wall())
    lent = lent_wall(wall())
    assert np.array_equal(lent.pixels[: SIZE[0]], pixels)
    assert np.array_equal(lent.unknown[: SIZE[0]], HOLE)
    coarsest = 2 ** (SCALES - 1)
    assert lent.offset % coarsest == lent.period % coarsest == 0
    known = np.flatnonzero((~lent.unknown[SIZE[0] :]).any(axis=1)) + SIZE[0]
    assert known[0] - SIZE[0] >= coarsest, "a coarse row of nothing lies between photo and lent pictures"
    gaps = np.diff(known)
    assert (gaps > 1).sum() == lent.count - 1
    assert (gaps[gaps > 1] > coarsest).all()


def test_at_every_scale_a_place_s_lent_source_shows_what_is_hidden_there():
    lent = lent_wall(wall())
    truth, no_hole = wall(), np.zeros(SIZE, bool)
    view = View(blanked(wall()), HOLE)
    levels = levels_of(view, coarsest_radius=1.6, texture=12, lent=lent)
    assert len(levels) > 3
    for level in reversed(levels):
        offset, period, count = level.lending
        compared = []
        for index in range(count):
            sources = level.targets + offset + index * period
            usable = np.array([source < len(level.valid) and level.valid[source] for source in sources])
            there = level.image[sources[usable], : level.colours]
            compared.append(np.abs(there - truth.reshape(-1, 3)[level.targets[usable]]).mean(axis=1))
        # a mean step from stone to mortar is 0.6
        assert np.median(np.concatenate(compared)) < 0.15
        truth, no_hole = halve(truth, no_hole)


def test_nothing_is_lent_without_maps_or_by_maps_that_show_too_little():
    pixels = blanked(wall())
    assert lend(pixels, HOLE, [], SCALES) is None
    far_away = np.array([[1.0, 0, 1000], [0, 1, 0], [0, 0, 1]])
    assert lend(pixels, HOLE, [far_away], SCALES) is None


def test_in_large_photos_no_more_is_lent_than_memory_allows(monkeypatch: pytest.MonkeyPatch):
    whole = lent_wall(wall())
    assert whole.count > 1
    monkeypatch.setattr(lending, "LEAST_SHOWN", 0.2)
    monkeypatch.setattr(lending, "MOST_PIXELS", whole.period * SIZE[1])
    pixels = blanked(wall())
    maps = find_repeats(pixels, HOLE, MOST)
    one = lend(pixels, HOLE, maps, SCALES)
    assert one is not None
    assert one.count == 1
    monkeypatch.setattr(lending, "MOST_PIXELS", 0)
    assert lend(pixels, HOLE, maps, SCALES) is None


def painted(*, threads: int = 1, repeats: int = MOST) -> np.ndarray:
    engine = PatchEngine(registry.load("patch").info, recipe=Recipe(repeats=repeats), threads=threads)
    return outcome(engine.fill(View(blanked(wall()), HOLE), seed=0))


def test_a_tilted_wall_is_continued_stone_by_stone():
    def error(repeats: int) -> float:
        return float(((painted(repeats=repeats) - wall())[HOLE] ** 2).mean())

    assert error(MOST) < 0.5 * error(0)


def test_with_lent_sources_the_number_of_threads_changes_nothing():
    assert np.array_equal(painted(threads=1), painted(threads=2))
