"""The patch engine's promise to whoever iterates: it can be stopped soon, wherever it is."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines import patch, registry
from eraser.engines.patch_denoiser import PatchDenoiser, Recipe


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
