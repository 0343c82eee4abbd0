"""The patch engine's promises to whoever iterates: it can be stopped soon, and keeps nothing longer than needed."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines import patch, registry
from eraser.engines.patch_denoiser import PatchDenoiser, Recipe
from eraser.engines.patch_levels import Level
from tests.running import outcome


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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("most", [0, patch.MOST_BESIDE])
def test_repetitions_are_looked_for_once_beside_what_comes_next_or_before_it(monkeypatch, threads, most):
    """With a single thread, when they are asked for."""
    asked, searched_by = [], []

    def searched(pixels, hole, count):
        searched_by.append(threading.current_thread())
        asked.append(len(levels_built))
        return []

    levels_built, build = [], patch.level_steps

    def built(*arguments, **settings):
        levels = yield from build(*arguments, **settings)
        levels_built.append(levels)
        return levels

    monkeypatch.setattr(patch, "level_steps", built)
    monkeypatch.setattr(patch, "find_repeats", searched)
    monkeypatch.setattr(patch, "MOST_BESIDE", most)
    outcome(patch.PatchEngine(registry.load("patch").info, threads=threads).fill(a_view(), seed=0))
    here = searched_by == [threading.current_thread()]
    assert len(searched_by) == 1
    assert here == (threads == 1 or most == 0)
    assert most or asked == [0]
    assert threads == 2 or asked == [1 if most else 0]


def test_an_error_of_the_search_is_the_fill_s(monkeypatch):
    def failing(*_):
        raise ArithmeticError("no maps today")

    monkeypatch.setattr(patch, "find_repeats", failing)
    with pytest.raises(ArithmeticError, match="no maps today"):
        outcome(patch.PatchEngine(registry.load("patch").info, threads=2).fill(a_view(), seed=0))


def test_nobody_searches_any_more_when_a_fill_has_been_closed(monkeypatch):
    begun, ended = threading.Event(), threading.Event()

    def slowly(*_):
        begun.set()
        time.sleep(0.2)
        ended.set()
        return []

    monkeypatch.setattr(patch, "find_repeats", slowly)
    steps = patch.PatchEngine(registry.load("patch").info, threads=2).fill(a_view(), seed=0)
    next(steps)
    next(steps)
    assert begun.wait(10)
    assert not ended.is_set()
    steps.close()
    assert ended.is_set()


def a_view() -> View:
    hole = np.zeros((120, 140), bool)
    hole[50:80, 60:90] = True
    return View(
        np.where(hole[:, :, None], 0, np.random.default_rng(0).normal(0, 0.3, (120, 140, 3))).astype("f4"), hole
    )
