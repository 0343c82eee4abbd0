"""Pictures in which distance, and with it size and focus, goes by rows: how that is seen, and what is made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from eraser.canvas import View
from eraser.engines import patch, patch_levels, registry
from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_denoiser import LAYERED, Recipe, away_of
from eraser.engines.patch_levels import Level, layering
from tests.engines.finest import levels_of
from tests.running import outcome


def a_level(shape: tuple[int, int], hole: tuple[slice, slice]) -> Level:
    """The full size of a picture in which nothing is to be seen."""
    gap = np.zeros(shape, bool)
    gap[hole] = True
    view = View(np.zeros((*shape, 3), np.float32), gap)
    return levels_of(view, coarsest_radius=30, texture=12)[-1]


@pytest.mark.parametrize("shape", [(90, 120), (400, 150)])
def test_a_source_in_another_row_costs_in_proportion_to_how_far_it_is_in_the_height_of_the_view(shape):
    level = a_level(shape, np.s_[30:50, 40:60])
    rows = np.array([0, 1, shape[0] // 2, shape[0]])
    prices = away_of(Recipe(other_rows=6000), level) * rows * shape[1] >> kernels.AWAY_SHIFT
    assert prices == pytest.approx(6000 * rows / shape[0], abs=6)


def test_a_source_in_another_row_costs_more_the_more_layered_the_picture_is():
    level, prices = a_level((90, 120), np.s_[30:50, 40:60]), []
    for layered in (0, LAYERED[0], sum(LAYERED) / 2, LAYERED[1], 1):
        level.layered = layered
        away = away_of(Recipe(other_rows=5000, layered_rows=16), level)
        prices.append(away * level.height * level.width / (1 << kernels.AWAY_SHIFT))
        assert away_of(Recipe(other_rows=0), level) == 0
    assert prices == pytest.approx([5000, 5000, 20_000, 80_000, 80_000], rel=1e-3)


def test_layering_is_the_share_of_the_texture_s_variance_between_rows():
    """In the second case one row of two is 1 in half of what is known: of a variance of 3/16, the rows' means have
    1/16."""
    level = a_level((40, 60), np.s_[10:30, 20:40])
    texture = level.image.reshape(40, 60, 4)[:, :, 3]
    texture[:] = np.arange(40)[:, None] % 2
    assert layering(level) == pytest.approx(1)
    texture[:, 30:] = 0
    assert layering(level) == pytest.approx(1 / 3)
    texture[:] = np.arange(60) % 2
    assert layering(level) == pytest.approx(0)
    texture[level.hole] = 9  # what is not known does not count
    assert layering(level) == pytest.approx(0)
    texture[:10] = texture[30:] = 5  # nor do other rows
    assert layering(level) == pytest.approx(0)


def test_the_texture_of_a_row_is_the_mean_of_what_is_known_of_it():
    level = a_level((40, 60), np.s_[10:30, 20:40])
    level.hole[14] = level.hole[17:19] = True  # from rim to rim
    level.hole[22, 3:] = True  # and nearly so
    level.pixels = np.flatnonzero(level.hole)
    texture = level.image.reshape(40, 60, 4)[:, :, 3]
    texture[:] = np.arange(40)[:, None] / 40
    texture[:, ::2] += 0.2
    texture[level.hole] = 9
    rows, columns = np.nonzero(level.hole)
    assert level.row_texture == pytest.approx(rows / 40 + 0.1, abs=1e-6)
    assert np.isin([14, 17, 18, 22], rows[columns == 5]).all(), "these were made up from the rows beside them"
    assert replace(level, image=level.image[:, :3]).row_texture.size == 0


@pytest.mark.parametrize("side", [18, 60])
def test_only_starts_are_drawn_to_their_rows_and_never_the_finest_scale(monkeypatch, side):
    """As far as the picture is layered: here half of the way from where it counts as such. The smaller hole has few
    enough patches for a start at the finest scale, the larger too many at the one before."""
    seen, paint = [], patch.paint_small

    def painted(level, *more):
        seen.append((level.width, len(level.targets) <= Recipe().start_targets, more[-1]))
        return paint(level, *more)

    monkeypatch.setattr(patch, "paint_small", painted)
    monkeypatch.setattr(patch_levels, "layering", lambda _: sum(LAYERED) / 2)
    hole = np.zeros((160, 200), bool)
    hole[50 : 50 + side, 70 : 70 + side] = True
    pixels = np.random.default_rng(0).normal(0, 0.3, (160, 200, 3)).astype(np.float32)
    engine = patch.PatchEngine(registry.load("patch").info, recipe=Recipe(focus=0.6, edge_targets=0))
    outcome(engine.fill(View(np.where(hole[:, :, None], 0, pixels).astype(np.float32), hole), seed=0))
    assert {few for width, few, _ in seen if width == (200 if side == 18 else 100)} == {side == 18}
    assert [focus for *_, focus in seen] == pytest.approx([0.3 * (few and width < 200) for width, few, _ in seen])


def out_of_focus(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rough ground in focus in a few rows only, and darker there but around the hole, (240, 360, 3); the hole."""
    noise = ndimage.gaussian_filter(rng.normal(0, 1, (240, 360, 3)), (0.7, 0.7, 0))
    blurred = [ndimage.gaussian_filter(noise, (radius, radius, 0)) if radius else noise for radius in range(7)]
    y, x = np.mgrid[:240, :360]
    hole = np.hypot((y - 118) / 45, (x - 180) / 80) < 1
    away = np.minimum(6, np.rint(np.abs(y[:, 0] - 130) / 10).astype(int))
    ground = 0.35 * np.stack([blurred[radius][row] for row, radius in enumerate(away)])
    shade = np.exp(-(((y - 130) / 22) ** 2)) * np.clip((ndimage.distance_transform_edt(~hole) - 14) / 20, 0, 1)
    return np.clip(ground + 0.25 - 0.5 * shade[:, :, None], -1, 1).astype(np.float32), hole


@pytest.mark.parametrize(("focus", "least", "most"), [(Recipe().focus, 0.85, 1.15), (0, 0, 0.75)])
def test_what_lies_in_focus_is_not_filled_with_what_is_out_of_focus(focus, least, most):
    """Though that fits nearly everything; without the rows' texture it does win."""
    picture, hole = out_of_focus(np.random.default_rng(0))
    engine = patch.PatchEngine(registry.load("patch").info, recipe=Recipe(focus=focus))
    filled = outcome(engine.fill(View(np.where(hole[:, :, None], 0, picture), hole), seed=0))
    steps, inside = np.abs(np.diff(filled, axis=1)).mean(axis=2)[124:136], hole[124:136, 1:]
    assert least < steps[inside].mean() / steps[~inside].mean() < most


def test_a_picture_without_texture_or_without_its_channel_is_not_layered():
    level = a_level((40, 60), np.s_[10:30, 20:40])
    assert layering(level) == 0
    assert layering(replace(level, image=level.image[:, :3])) == 0
    assert layering(a_level((40, 60), np.s_[10:30, :])) == 0


def test_a_few_known_pixels_in_each_row_do_not_make_a_picture_layered():
    level = a_level((40, 60), np.s_[10:30, 3:])
    level.image[:, 3] = np.random.default_rng(0).normal(0, 0.3, len(level.image))
    assert layering(level) == 0


def test_rows_weigh_as_much_as_is_known_of_them():
    """Ten rows of one texture with 40 known pixels, ten with 59, every other of which is rougher by 1."""
    level = a_level((40, 60), np.s_[10:30, 20:40])
    level.hole[20:30] = False
    level.hole[20:30, 59] = True  # its rows still belong to the hole's box
    texture = level.image.reshape(40, 60, 4)[:, :, 3]
    texture[20:30] = 1
    texture[20:30, ::2] = 0
    known = ~level.hole[10:30]
    values = texture[10:30]
    means = np.array([row[seen].mean() for row, seen in zip(values, known, strict=True)])
    between = np.repeat(means, known.sum(axis=1)).var()
    assert layering(level) == pytest.approx(between / values[known].var())
    assert 0.1 < layering(level) < 0.9


@pytest.mark.parametrize(("axis", "lowest", "highest"), [(0, 0.8, 1), (1, 0, 0.2)], ids=["down", "across"])
def test_grain_that_grows_layers_a_picture_if_it_grows_downward(axis, lowest, highest):
    ramp = np.expand_dims(np.linspace(0.01, 0.2, 240, dtype=np.float32), (1 - axis, 2))
    pixels = ramp * np.random.default_rng(0).normal(0, 1, (240, 240, 3)).astype(np.float32)
    hole = np.zeros((240, 240), bool)
    hole[60:180, 80:160] = True
    view = View(np.where(hole[:, :, None], 0, pixels), hole)
    levels = levels_of(view, coarsest_radius=1.6, texture=3)
    assert len(levels) > 3
    assert all(lowest <= level.layered == levels[0].layered <= highest for level in levels)
