"""The patch engine's promises to whoever iterates: it can be stopped soon, and keeps no scale longer than needed."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines import patch, registry
from eraser.engines import patch_kernels as kernels
from eraser.engines.patch_denoiser import PatchDenoiser, Recipe, away_of
from eraser.engines.patch_levels import Level, Workers, build_levels


def test_no_more_than_a_step_of_searching_lies_between_two_moments_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level's first step searches six times as long as the others; at full size that alone could be seconds."""
    sweeps = []
    sweep = PatchDenoiser._sweep

    def counted(self: PatchDenoiser, *, rescore: bool) -> None:
        sweeps.append(rescore)
        sweep(self, rescore=rescore)

    monkeypatch.setattr(PatchDenoiser, "_sweep", counted)
    y, x = np.mgrid[:300, :300].astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 0.02, (300, 300, 3))
    line = np.tanh((y - 148) / 1.2)[:, :, None]  # an edge through the hole, which is drawn first
    hole = np.hypot(y - 150, x - 150) < 55
    pixels = np.where(hole[:, :, None], 0, 0.5 * line + grain).astype(np.float32)
    fractions, notes = [], set()
    recipe = Recipe()
    for progress in patch.PatchEngine(registry.load("patch").info, recipe=recipe).fill(View(pixels, hole), seed=0):
        assert len(sweeps) <= recipe.sweeps
        sweeps.clear()
        fractions.append(progress.fraction)
        notes.add(progress.note)
    assert fractions == sorted(fractions)
    assert {"sources for the edges", "levelling the seams"} <= notes
    assert len(fractions) > recipe.first_sweeps + recipe.fine_steps + recipe.starts


def test_the_finest_scale_is_painted_without_the_others_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a third of its memory, and what is painted there is as large as the hole."""
    alive: weakref.WeakSet[Level] = weakref.WeakSet()
    seen = []
    vote, build = patch.vote, patch.level_steps

    def watched(level: Level, *arguments, **settings):
        gc.collect()
        seen.append((level.width, sorted(level.width for level in alive)))
        return vote(level, *arguments, **settings)

    monkeypatch.setattr(patch, "vote", watched)  # a scale's first, from the field of the one before
    monkeypatch.setattr(Level, "__hash__", object.__hash__)

    def built(*arguments, **settings):
        levels = yield from build(*arguments, **settings)
        alive.update(levels)
        return levels

    monkeypatch.setattr(patch, "level_steps", built)
    pixels = np.random.default_rng(0).normal(0, 0.2, (400, 400, 3)).astype(np.float32)
    hole = np.zeros((400, 400), bool)
    hole[120:270, 130:290] = True
    pixels[hole] = 0
    for _ in patch.PatchEngine(registry.load("patch").info, threads=1).fill(View(pixels, hole), seed=0):
        pass
    assert [others for width, others in seen if width == 400] == [[400]]


@pytest.mark.parametrize("shape", [(90, 120), (400, 150)])
def test_a_source_in_another_row_costs_in_proportion_to_how_far_it_is_in_the_height_of_the_view(shape):
    hole = np.zeros(shape, bool)
    hole[30:50, 40:60] = True
    view = View(np.zeros((*shape, 3), np.float32), hole)
    level = build_levels(view, coarsest_radius=30, texture=12, texture_reach=2, workers=Workers(1))[-1]
    rows = np.array([0, 1, shape[0] // 2, shape[0]])
    prices = away_of(Recipe(other_rows=6000), level) * rows * shape[1] >> kernels.AWAY_SHIFT
    assert prices == pytest.approx(6000 * rows / shape[0], abs=6)
