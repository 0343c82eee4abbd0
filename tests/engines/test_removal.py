"""Removals by a latent model, with a painter that draws what it is told to: what it is asked for, judged and kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import eraser
from eraser.canvas import View
from eraser.engines import latent as module
from eraser.engines.attempts import Attempts, seeds
from eraser.engines.base import EngineInfo
from eraser.engines.latent import EMPTY, OBJECTS, LatentEngine
from eraser.engines.latent_records import Options
from eraser.errors import EngineError, Refused
from eraser.geometry import Box
from eraser.judge import Verdict
from tests.engines.views import VIEW, run, view_with

INFO = EngineInfo(name="latent", summary="", licence="", takes_prompt=True)
BRIEF = Options(steps=3, tries=1)


class Recorder:
    """A painter that draws what it is told to, and remembers what it was asked for."""

    factor, runs_on = 2, "CPU"
    side = 128  # so that there are enough patches to judge

    def __init__(self, *drawings: float | None) -> None:
        self.drawings, self.asked = list(drawings), []

    def steps(self, scene, wish, options):
        [seed] = wish.seeds
        self.asked.append((scene, wish.prompt, wish.negative, seed, wish.strength))
        yield 1, None
        value = self.drawings.pop(0)
        if isinstance(value, Exception):
            raise value
        if callable(value):
            value = value(scene)
        return (scene.picture if value is None else np.full_like(scene.picture, 1) * value)[None]

    def decode(self, latents, side):
        return None

    def noise(self, strength, options):
        return strength

    def unheard(self, options):
        return ""


def test_a_removal_starts_from_an_emptied_scene_with_a_grown_hole_and_words_for_emptiness():
    painter = Recorder(None)
    engine = LatentEngine(INFO, painter, Options(tries=1), threads=1)
    known, hole = engine._shrunk(VIEW, engine.window(VIEW))
    run(engine.fill(VIEW, seed=5))
    [(scene, prompt, negative, seed, strength)] = painter.asked
    assert (prompt, negative, seed, strength) == (EMPTY, OBJECTS, 5, 0.99)
    plain = engine._scene(known, hole, grown=False).hole
    assert (scene.hole & plain).sum() == plain.sum()
    assert scene.hole.sum() > plain.sum()
    # where the object was there is texture of the photo now, not the grey of a hole
    assert scene.picture[plain].std() > 0.2


def test_a_prompt_is_drawn_from_noise_alone_in_the_hole_as_it_is():
    painter = Recorder(None)
    engine = LatentEngine(INFO, painter, Options(negative="fog"), threads=1)
    known, hole = engine._shrunk(VIEW, engine.window(VIEW))
    run(engine.fill(VIEW, seed=5, prompt="a door"))
    [(scene, prompt, negative, _, strength)] = painter.asked
    assert (prompt, negative, strength) == ("a door", "fog", 1.0)
    assert np.array_equal(scene.hole, engine._scene(known, hole, grown=False).hole)


def test_a_removal_that_fits_badly_is_drawn_again_with_another_seed_and_the_best_is_kept():
    view = view_with(200, 200, Box(60, 60, 70, 70))
    painter = Recorder(0.95, 0.4, -0.95)
    engine = LatentEngine(INFO, painter, Options(tries=3), threads=1)
    drawing, seen = run(engine._remove(view, engine.window(view), 7))
    assert [asked[3] for asked in painter.asked] == [*seeds(7, 3)]
    assert any("draw 1 of at most 3: it fits its surroundings worse" in step.note for step in seen)
    assert any("draw 2 of at most 3: it does not join on" in step.note for step in seen)
    _, hole = engine._shrunk(view, engine.window(view))
    assert np.allclose(drawing.pixels[hole], 0.4)
    fits = Recorder(None, 0.95, 0.95)  # the emptied scene itself fits as well as it does
    run(LatentEngine(INFO, fits, Options(tries=3), threads=1)._remove(view, engine.window(view), 7))
    assert len(fits.asked) == 1


def removal(view: View, *drawings, tries: int = 3) -> tuple[module.Drawing, dict[str, object], Recorder]:
    painter = Recorder(*drawings)
    engine = LatentEngine(INFO, painter, Options(tries=tries), threads=1)
    drawing, seen = run(engine._remove(view, engine.window(view), 7))
    return drawing, dict(seen[-1].facts), painter


def test_a_removal_that_shows_again_what_was_erased_is_drawn_again_and_all_of_it_is_told():
    view = view_with(200, 200, Box(60, 60, 70, 70))
    there = view.pixels.copy()
    there[65:125, 65:125] = np.array([0.9, -0.7, 0.2]) + 0.2 * np.sin(np.arange(60) / 2)[:, None, None]
    judged = replace(view, erased=lambda box: there[box.slices])

    engine = LatentEngine(INFO, Recorder(), Options(), threads=1)
    box = engine.window(view)
    small = shrink_to(there[box.slices], 128)

    def again(scene):
        return np.where(scene.hole[:, :, None], small, scene.picture)

    drawing, facts, painter = removal(judged, again, None, again)
    assert len(painter.asked) == 2
    assert [draw["seed"] for draw in facts["draws"]] == [*seeds(7, 2)]
    assert facts["kept"] == {"seed": [*seeds(7, 2)][1], "why": "the first with nothing against it"}
    assert "there again" in facts["draws"][0]["said"]
    assert facts["draws"][0]["likeness"] > 0.8 > 0.1 > facts["draws"][1]["likeness"]
    hole = engine._shrunk(view, box)[1]
    assert np.abs(drawing.pixels[hole] - small[hole]).mean() > 0.2
    json.dumps(facts)
    # nothing better comes: rather the emptied scene than the object
    drawing, facts, painter = removal(judged, again, again, again)
    assert len(painter.asked) == 3
    assert facts["kept"]["seed"] is None
    assert "the emptied scene stays" in facts["kept"]["why"]
    emptied = painter.asked[0][0].picture
    assert np.allclose(drawing.pixels[hole], emptied[hole], atol=1e-6)
    # a view without what was erased is judged by its fit alone
    assert "likeness" not in removal(view, None)[1]["draws"][0]


def test_each_reason_to_draw_again_is_one_by_itself():
    def trouble(verdict: Verdict) -> str:
        attempts = Attempts(Verdict(misfit=0.1, seam=1.0, likeness=0.0))
        attempts.add(0, module.Drawing(np.zeros((1, 1, 3), np.float32), Box(0, 0, 1, 1)), verdict)
        return attempts.trouble

    assert trouble(Verdict(0.14, 2.4, 0.39)) == ""
    assert trouble(Verdict(0.14, 1.0, 0.41)) == "what was erased seems to be there again"
    assert "fits its surroundings worse" in trouble(Verdict(0.16, 1.0, 0.0))
    assert "does not join on" in trouble(Verdict(0.1, 2.6))
    assert trouble(Verdict(None, None)) == ""  # too small to judge


def test_the_seeds_of_a_holes_drawings_are_never_those_of_other_variations():
    for first in (0, 7, 2**53, 2**63 - 1):
        drawn = [[*seeds((first + number) % 2**63, 16)] for number in range(64)]
        assert [own[0] for own in drawn] == [(first + number) % 2**63 for number in range(64)]
        every = [seed for own in drawn for seed in own]
        assert len(set(every)) == len(every)
        assert all(0 <= seed < 2**53 for own in drawn for seed in own[1:])
    assert [*seeds(3, 2)] == [*seeds(3, 5)][:2]


def test_variations_that_are_drawn_again_do_not_draw_each_others(monkeypatch):
    monkeypatch.setattr(Attempts, "trouble", property(lambda self: "bad" if len(self.made) < 3 else ""))
    painter = Recorder(*[None] * 9)
    session = eraser.Eraser()
    session._engine = LatentEngine(INFO, painter, Options(tries=3), threads=1)
    photo = np.rint((VIEW.pixels + 1) * 127.5).astype(np.uint8)
    reports = []
    session.variations(photo, VIEW.hole, count=3, grow=0, on_report=reports.append)
    asked = [call[3] for call in painter.asked]
    assert len(set(asked)) == 9
    told = [part.facts["draws"] for report in reports for part in report.painted]
    assert [draw["seed"] for draws in told for draw in draws] == asked


def test_a_drawing_that_the_safety_checker_refuses_is_drawn_again_and_only_all_of_them_are_an_error():
    no = Refused("the checkpoint's safety checker refuses what was drawn", hint="other words")
    drawing, facts, painter = removal(VIEW, no, None)
    first, second = seeds(7, 2)
    assert [asked[3] for asked in painter.asked] == [first, second]
    assert facts["draws"][0] == {"seed": first, "said": "the checkpoint's safety checker refuses it"}
    assert facts["draws"][1]["seed"] == second
    assert facts["kept"] == {"seed": second, "why": "the only one that was let out"}
    assert np.isfinite(drawing.pixels).all()
    # one that was let out, whatever is against it, is better than none
    wide = view_with(200, 200, Box(60, 60, 70, 70))
    assert removal(wide, 0.95, no, no)[1]["kept"]["seed"] == first
    with pytest.raises(Refused, match="refuses all of 3 drawings"):
        removal(VIEW, no, no, no)
    with pytest.raises(Refused, match="refuses what was drawn"):
        removal(VIEW, no, tries=1)


def test_a_seam_that_is_levelled_later_is_nothing_against_a_drawing_in_any_wording():
    attempts = Attempts(Verdict(misfit=0.1, seam=1.0, likeness=0.0))
    drawing = module.Drawing(np.zeros((1, 1, 3), np.float32), Box(0, 0, 1, 1))
    for seed, verdict in enumerate([Verdict(0.3, 2.6, 0.0), Verdict(0.1, 2.0, 0.0)]):
        attempts.add(seed, drawing, verdict)
    bad, good = attempts.facts["draws"]
    assert bad["said"] == (
        "it fits its surroundings worse than the emptied scene does and it does not join on at the hole's rim"
    )
    assert good == {"seed": 1, "misfit": 0.1, "seam": 2.0, "likeness": 0.0, "said": "nothing against it"}
    assert attempts.facts["kept"] == {"seed": 1, "why": "the first with nothing against it"}
    attempts.add(2, drawing, Verdict(None, 1.0))
    assert attempts.facts["draws"][2]["said"] == "too small to judge"


def shrink_to(picture: np.ndarray, side: int) -> np.ndarray:
    return module.shrink(picture, np.zeros(picture.shape[:2], bool), side, side)[0]


def test_another_engine_can_empty_the_scene():
    class Flat:
        info = INFO

        def fill(self, view, *, seed, prompt=None):
            yield module.Progress(0.5, "flat")
            return np.full_like(view.pixels, 0.25)

    painter = Recorder(None)
    engine = LatentEngine(INFO, painter, Options(tries=1, prefill="migan"), threads=1, prefill=Flat())
    _, seen = run(engine.fill(VIEW, seed=5))
    [(scene, *_)] = painter.asked
    known, hole = engine._shrunk(VIEW, engine.window(VIEW))
    plain = engine._scene(known, hole, grown=False).hole
    middle = plain & ~np.roll(~plain, 3, 0) & ~np.roll(~plain, -3, 0) & ~np.roll(~plain, 3, 1) & ~np.roll(~plain, -3, 1)
    assert np.allclose(scene.picture[middle], 0.25)
    assert any(step.facts.get("prefill") == "migan" for step in seen)


def test_what_the_photo_has_nothing_alike_for_gets_the_photos_grain():
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(-0.2, 0.05, (200, 200, 3)), -1, 1).astype(np.float32)
    hole = np.zeros((200, 200), bool)
    hole[60:140, 60:140] = True
    pixels[hole] = 0
    engine = LatentEngine(INFO, Recorder(np.array([0.8, -0.8, 0.3])), Options(), threads=1)
    filled, seen = run(engine.fill(View(pixels, hole), seed=0, prompt="a red ball"))
    inner = filled[85:115, 85:115]
    assert np.abs(inner.mean(axis=(0, 1)) - [0.8, -0.8, 0.3]).max() < 0.05  # the drawing's own colours
    assert inner.std(axis=(0, 1)) == pytest.approx(0.05, rel=0.25)
    assert seen[-1].facts["seam"] > 1.4  # a ball is a ball: its edge is told
    engine = LatentEngine(INFO, Recorder(np.array([0.8, -0.8, 0.3])), Options(), threads=1)
    behind, _ = run(engine.fill(View(pixels, hole, lends_texture=False), seed=0, prompt="a red ball"))
    assert behind[85:115, 85:115].std(axis=(0, 1)).max() < 1e-4  # what lies around is a subject's, not the background's


def test_what_the_model_cannot_draw_is_left_to_the_patch_engine_unless_there_is_a_prompt():
    engine = LatentEngine(INFO, Recorder(), BRIEF, threads=1)
    for view, words in [
        (view_with(40, 40, Box(9, 9, 9, 9), channels=4), "CMYK"),
        (view_with(40, 40, Box(0, 0, 40, 40)), "nothing is known"),
    ]:
        filled, seen = run(engine.fill(view, seed=0))
        assert all(words in step.note for step in seen)
        assert np.isfinite(filled).all()
        with pytest.raises(EngineError, match=words):
            run(engine.fill(view, seed=0, prompt="a door"))
