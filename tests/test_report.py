"""A report says what made a result, and only that one."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

import eraser
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress
from eraser.fillings import MOST_SEED
from eraser.geometry import Box, Size
from eraser.provenance import PATCHES, TRAINED
from eraser.report import Attempt, Recorder, Report, plain, versions
from eraser.session import Eraser

BOX = Box(8, 8, 6, 5)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (30, 40, 3)).astype(np.uint8)


class Talker:
    """Paints its seed, and says so: the seed that is a multiple of ten fits best."""

    runs_on = "GPU"
    info = EngineInfo("talker", "tells its seed", "MIT", weights="a model, 1 MB", takes_prompt=True)

    @property
    def facts(self):
        return {"model": "talker-1", "revision": "abc", "options": {"steps": 4}}

    def fill(self, view, *, seed, prompt=None):
        yield Progress(0.2, "starting", facts={"warnings": [f"seed {seed} starts"], "prompt_seen": prompt})
        yield Progress(0.8, "painting", facts={"warnings": [f"seed {seed} starts", f"seed {seed} goes on"]})
        painted = view.pixels.copy()
        painted[view.hole] = 0.01 * (seed % 10) if seed % 10 else view.pixels[~view.hole].mean(axis=0)
        return painted


@pytest.fixture
def talker(monkeypatch):
    monkeypatch.setattr(registry, "load", lambda name: Talker())
    return Eraser("talker")


def test_a_report_says_what_was_asked_for_and_what_came_of_it(talker) -> None:
    reports: list[Report] = []
    talker.erase(image(), BOX, seed=7, tries=5, grow=2, prompt="sand", on_report=reports.append)
    (report,) = reports
    assert (report.mode, report.engine, report.licence, report.device) == ("erase", "talker", "MIT", "GPU")
    assert (report.seed, report.tries, report.prompt) == (7, 5, "sand")
    assert report.options == {"grow": 2, "make_opaque": False}
    assert (report.facts["model"], report.facts["revision"]) == ("talker-1", "abc")
    assert report.size == Size(40, 30)
    (part,) = report.painted
    assert [attempt.seed for attempt in part.attempts] == [7, 8, 9, 10, 11]
    ranks = [attempt.verdict.rank for attempt in part.attempts if attempt.verdict is not None]
    assert len(ranks) == 5
    assert part.kept == ranks.index(min(ranks))
    assert report.kept == [7 + part.kept]
    assert report.to_json()["windows"][0]["kept"] == report.kept[0]
    assert 0 < part.seconds <= report.seconds
    assert report.hole_pixels == part.hole_pixels > BOX.area
    assert report.source_type == TRAINED
    # of the filling that was kept alone, each once
    kept = report.kept[0]
    assert report.warnings == [f"seed {kept} starts", f"seed {kept} goes on"]
    assert part.facts["prompt_seen"] == "sand"
    assert report.fallbacks == []
    assert report.versions["magic-eraser"] == eraser.__version__
    assert report.versions["numpy"] == np.__version__


def test_sums_of_weights_are_made_for_who_asks_alone(talker, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(Talker, "sums", lambda engine: asked.append(1) or {"a file": "0" * 64}, raising=False)
    reports: list[Report] = []
    talker.erase(image(), BOX, on_report=reports.append)
    assert (reports[0].warnings, reports[0].fallbacks, reports[0].kept) != ([], [], [])
    assert "sha256" not in reports[0].summary()["facts"]
    assert asked == []
    assert reports[0].to_json()["facts"]["sha256"] == {"a file": "0" * 64}
    assert asked == [1]


def test_the_pixels_that_come_back_are_those_of_the_filling_named_as_kept(talker) -> None:
    reports: list[Report] = []
    result = talker.erase(image(), BOX, seed=4, tries=3, grow=0, on_report=reports.append)
    again = talker.erase(image(), BOX, seed=reports[0].kept[0], grow=0)
    assert np.array_equal(result, again)


def test_seeds_wrap_around_in_the_report_as_they_do_in_the_engine(talker) -> None:
    reports: list[Report] = []
    talker.erase(image(), BOX, seed=MOST_SEED, tries=2, on_report=reports.append)
    assert [attempt.seed for attempt in reports[0].painted[0].attempts] == [MOST_SEED, 0]


def test_every_way_in_reports() -> None:
    reports: list[Report] = []
    eraser.erase(image(), BOX, on_report=reports.append)
    eraser.outpaint(image(), left=4, bottom="10%", on_report=reports.append)
    for _ in Eraser().erase_steps(image(), BOX, on_report=reports.append):
        pass
    assert [report.mode for report in reports] == ["erase", "outpaint", "erase"]
    assert reports[1].options == {"left": 4, "top": 0, "right": 0, "bottom": 3}
    assert (reports[1].size, reports[1].hole_pixels) == (Size(44, 33), 44 * 33 - 40 * 30)
    assert {report.source_type for report in reports} == {PATCHES}
    assert {report.facts.get("model") for report in reports} == {None}


def test_a_call_that_is_stopped_reports_nothing() -> None:
    reports: list[Report] = []
    with pytest.raises(eraser.Cancelled):
        eraser.erase(image(), BOX, on_step=lambda progress: False, on_report=reports.append)
    steps = Eraser().erase_steps(image(), BOX, on_report=reports.append)
    next(steps)
    steps.close()
    assert reports == []


def test_calls_at_once_report_each_their_own(talker) -> None:
    found: dict[int, Report] = {}

    def call(seed: int) -> None:
        for _ in range(5):
            talker.erase(image(seed), BOX, seed=seed, on_report=lambda report: found.__setitem__(seed, report))

    threads = [threading.Thread(target=call, args=(seed,)) for seed in (10, 20, 30, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, report in found.items():
        assert (report.seed, report.kept) == (seed, [seed])
        assert report.warnings == [f"seed {seed} starts", f"seed {seed} goes on"]
        assert len(report.painted) == 1
    assert sorted(found) == [10, 20, 30, 40]


def test_far_holes_are_windows_of_their_own_in_a_report(talker) -> None:
    large = np.full((600, 900, 3), 99, np.uint8)
    mask = np.zeros(large.shape[:2], bool)
    mask[5:10, 5:10] = mask[580:585, 880:885] = True
    reports: list[Report] = []
    talker.erase(large, mask, grow=0, on_report=reports.append)
    assert [part.hole_pixels for part in reports[0].painted] == [25, 25]
    assert "windows" not in reports[0].summary()
    assert len(reports[0].to_json()["windows"]) == 2


def test_json_holds_whatever_an_engine_says() -> None:
    odd = {
        "path": Path("a/b"), "number": np.float32(0.5), "count": np.int64(3), "nan": float("nan"), 7: (1, {"x": None}),
        "inf": -float("inf"), "truth": np.bool_(True), "array": np.zeros(3), "type": np.uint8,
    }  # fmt: skip
    said = json.loads(json.dumps(plain(odd), allow_nan=False))
    assert (said["path"], said["number"], said["count"], said["7"]) == (str(Path("a/b")), 0.5, 3, [1, {"x": None}])
    assert (said["truth"], said["nan"], said["inf"]) == (True, "nan", "-inf")


def test_a_single_sentence_counts_as_one_warning() -> None:
    attempt = Attempt(0)
    attempt.hear({"warnings": "memory is short"})
    attempt.hear({"warnings": ["memory is short", "slower"], "steps": 3})
    attempt.hear({"steps": 4})
    assert attempt.facts == {"warnings": ["memory is short", "slower"], "steps": 4}


def test_a_call_with_nothing_painted_is_no_trained_picture() -> None:
    assert Recorder().source_type(is_trained=True) == PATCHES


def test_versions_name_what_computes_and_cost_little() -> None:
    assert {"magic-eraser", "python", "numpy", "scipy", "numba", "pillow", "processor"} <= versions().keys()
    assert all(isinstance(value, str) and value for value in versions().values())
