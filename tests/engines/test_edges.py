"""Edges that go on behind a hole are drawn through it where they belong, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.canvas import Canvas
from eraser.engines import registry
from eraser.engines.edges import draw_edges
from eraser.engines.patch import PatchEngine
from eraser.engines.patch_denoiser import Recipe
from eraser.engines.patch_levels import redraw
from tests.engines.finest import levels_of
from tests.running import outcome

SIZE = 120
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)
DISC = np.hypot(Y - 60, X - 60) < 24


def painted(side: np.ndarray, noise: float = 0.02) -> np.ndarray:
    """Dark where `side` (in pixels from an edge) is negative, bright elsewhere, with a little grain: (H, W, 3)."""
    grey = np.tanh(side / 1.2)[:, :, None] * np.array([0.5, 0.4, 0.3], np.float32)
    grain = noise * np.random.default_rng(0).standard_normal(grey.shape)
    return (grey + grain).astype(np.float32)


def drawn_over(truth: np.ndarray, hole: np.ndarray = DISC) -> tuple[np.ndarray, np.ndarray]:
    image = truth.copy()
    image[hole] = 0
    drawn, picture = draw_edges(image, hole, 3)
    assert not (drawn & ~hole).any()
    assert np.array_equal(picture[~drawn], image[~drawn])
    return drawn, picture


@pytest.mark.parametrize("degrees", range(0, 180, 15))
def test_a_line_goes_straight_on_at_any_angle(degrees):
    angle = np.radians(degrees)
    side = (Y - 57) * np.cos(angle) - (X - 62) * np.sin(angle)
    truth = painted(side)
    drawn, picture = drawn_over(truth)
    assert drawn[DISC & (np.abs(side) < 1.5)].mean() > 0.97
    assert np.abs(picture - truth)[drawn].mean() < 0.05


@pytest.mark.parametrize("radius", [80, 120, 250])
def test_an_arc_keeps_its_curve(radius):
    side = np.hypot(Y - 60 - radius, X - 60) - radius
    truth = painted(side)
    drawn, picture = drawn_over(truth)
    assert drawn[DISC & (np.abs(side) < 1.5)].mean() > 0.9
    assert np.abs(picture - truth)[drawn].mean() < 0.1


def test_a_thin_line_is_drawn():
    truth = painted(1.5 - np.abs(Y - 55 - 0.2 * (X - 60)))
    drawn, picture = drawn_over(truth)
    assert drawn[DISC].any()
    assert np.abs(picture - truth)[drawn].mean() < 0.1


def test_grain_and_gravel_have_no_edges():
    rng = np.random.default_rng(0)
    assert not drawn_over(rng.uniform(-1, 1, (SIZE, SIZE, 3)).astype(np.float32))[0].any()
    blocks = np.repeat(np.repeat(rng.uniform(-1, 1, (24, 24, 3)), 5, 0), 5, 1)[:SIZE, :SIZE]
    assert not drawn_over(blocks.astype(np.float32))[0].any()
    assert not drawn_over(np.zeros((SIZE, SIZE, 3), np.float32))[0].any()


def test_an_edge_is_not_led_to_one_beside_it():
    truth = painted(np.where(X < 60, Y - 50, Y - 66))
    assert not drawn_over(truth)[0].any()


def test_an_edge_is_not_led_to_a_different_one():
    truth = painted(Y - 60)
    truth[:, 60:] = -truth[:, 60:]
    assert not drawn_over(truth)[0].any()


def test_light_that_changes_along_an_edge_does_not_hide_it() -> None:
    """The whole profile is brighter at one end, as a beam's is that comes nearer; another colour is another edge."""
    side = Y - 58
    light = 0.15 * np.tanh((X - 60) / 6)[:, :, None]
    drawn, _ = drawn_over((painted(side) * 0.8 + light).astype(np.float32))
    assert drawn[DISC & (np.abs(side) < 1.5)].mean() > 0.9
    hue = light * np.array([1.0, -1.0, 1.0])
    drawn, _ = drawn_over((painted(side) * 0.8 + hue).astype(np.float32))
    assert not drawn.any()


def test_short_edges_do_not_bridge_a_wide_hole():
    truth = painted(Y - 60, noise=0)
    bars = (np.abs(X - 60) > 37) | (np.abs(X - 60) < 10)
    truth[bars] = -0.5
    assert not drawn_over(truth)[0].any()


def test_an_edge_that_ends_in_the_hole_stays_out():
    truth = painted(np.where(X < 60, Y - 60, -30))
    assert not drawn_over(truth)[0].any()


def test_holes_without_room_beside_them_are_left_alone():
    truth = painted(Y - 60)
    for hole in (np.ones((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool), X > 3, X == 60):
        image = truth.copy()
        drawn, picture = draw_edges(image, hole, 3)
        assert not (drawn & ~hole).any()
        assert np.isfinite(picture).all()


def test_grey_pictures_have_edges_too():
    truth = painted(Y - 58 - 0.3 * (X - 60))[:, :, :1]
    image = np.where(DISC[:, :, None], 0, truth)
    drawn, picture = draw_edges(image, DISC, 1)
    assert drawn.sum() > 200
    assert np.abs(picture - truth)[drawn].mean() < 0.05


def test_redrawn_levels_keep_their_sources_and_lose_only_what_is_drawn():
    image = np.random.default_rng(0).uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    view, _ = Canvas(image, DISC).view(Canvas(image, DISC).size.box)
    levels = levels_of(view, coarsest_radius=1.6, texture=12.0)[:-1]
    finest = levels[-1]
    drawn = finest.hole & (np.abs(np.arange(finest.height) - 30) < 4)[:, None]
    picture = finest.image.reshape(finest.height, finest.width, -1).copy()
    picture[drawn] = 0.25
    for level in levels:
        level.layered = 0.5
    redrawn = redraw(levels, picture, drawn, 1.6)
    assert np.array_equal(redrawn[-1].hole, finest.hole & ~drawn)
    assert np.array_equal(redrawn[-1].image.reshape(picture.shape)[drawn], picture[drawn])
    for before, after in zip(levels[::-1], redrawn[::-1], strict=False):
        assert np.array_equal(after.valid, before.valid)
        assert (after.source_count, after.layered) == (before.source_count, 0.5)
        assert not (after.hole & ~before.hole).any()
    assert len(redrawn) <= len(levels)


def test_a_line_across_a_hole_comes_out_straight():
    size = 360
    y, x = np.mgrid[:size, :size].astype(np.float32)
    side = y - 176 - 0.05 * (x - 180)
    truth = 0.5 + 0.3 * np.tanh(side / 1.2)[:, :, None] + np.zeros(3)
    truth = (truth + 0.02 * np.random.default_rng(0).standard_normal(truth.shape)).astype(np.float32)
    hole = np.hypot(y - 180, x - 180) < 70
    canvas = Canvas(np.where(hole[:, :, None], 0, truth).astype(np.float32), hole)

    def worst(recipe: Recipe, seed: int) -> float:
        """The largest error of a column's line, in pixels."""
        view, _ = canvas.view(canvas.size.box)
        filled = outcome(PatchEngine(registry.load("patch").info, recipe=recipe).fill(view, seed=seed))
        brightness = (filled + 1) / 2 - truth
        return float(np.abs(brightness[140:220, 115:245].mean(axis=2).sum(axis=0) / 0.6).max())

    assert np.median([worst(Recipe(), seed) for seed in range(3)]) < 1
    assert worst(Recipe(edge_targets=0), 0) > 1.2  # or this test shows nothing
