"""Memory that runs out is answered by ever cheaper plans, with the same picture."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from eraser.canvas import View
from eraser.errors import OutOfMemory
from eraser.geometry import Box
from eraser.session import Eraser
from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
diffusers = pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import placement  # noqa: E402
from eraser.engines.crew import Crew  # noqa: E402
from eraser.engines.devices import CPU  # noqa: E402
from eraser.engines.latent import LatentEngine  # noqa: E402
from eraser.engines.latent_records import Options  # noqa: E402
from eraser.engines.painter import Painter, Wish  # noqa: E402
from eraser.engines.placement import Placed, Plan, persistent  # noqa: E402
from tests.engines.placement.placing import INFO, SCENE, drawn, failing, pretended, run  # noqa: E402

pytestmark = ON_NETWORKS


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_memory_that_runs_out_is_answered_by_cheaper_plans_with_the_same_picture(sd, plain, monkeypatch, times):
    painter = Painter(sd, pretended(80))
    asked = failing(painter, monkeypatch, times)
    wish = (SCENE, Wish("a door", "fog", (1,), 0.99), Options(steps=3, guidance=2.0))
    picture, seen = run(persistent(painter.placed, lambda: painter.steps(*wish)))
    assert np.allclose(picture, plain, atol=1e-5)
    assert len(asked) == times + 1
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert painter.facts["memory_ran_out"] == times
    assert painter.runs_on.endswith(f"its memory ran out {'once' if times == 1 else f'{times} times'}")
    assert drawn(painter).shape == plain.shape  # it stays with what works
    assert len(asked) == times + 1


def test_memory_that_always_runs_out_is_one_sentence_in_the_end(sd, monkeypatch):
    painter = Painter(sd, pretended(80))
    failing(painter, monkeypatch, 99, at=1)
    with pytest.raises(OutOfMemory, match="memory ran out while the model was drawing, on the CPU") as told:
        drawn(painter)
    assert "side=" in told.value.hint


def test_memory_that_runs_out_while_placing_is_answered_too(sd, plain, monkeypatch):
    kind = diffusers.StableDiffusionInpaintPipeline
    to, moved = kind.to, []

    def full(self, *given: object, **named: object) -> object:
        moved.append(given)
        if len(moved) <= 2:
            raise torch.OutOfMemoryError("out of memory")
        return to(self, *given, **named)

    monkeypatch.setattr(kind, "to", full)
    painter = Painter(sd, pretended(80))
    assert painter.placed.plan == Plan("parts", True)
    assert np.allclose(drawn(painter), plain, atol=1e-5)


def test_the_engine_says_in_its_notes_that_the_memory_ran_out(sd, monkeypatch):
    crew = Crew([functools.partial(Painter, sd, pretended(80, name="GPU (Card)"))])
    engine = LatentEngine(INFO, crew, Options(steps=2, tries=1), threads=1)
    failing(crew._painter(0), monkeypatch, 1)
    rng = np.random.default_rng(0)
    hole = np.pad(np.ones((20, 20), bool), 20)
    view = View(rng.uniform(-1, 1, (60, 60, 3)).astype(np.float32), hole)
    filled, seen = run(engine.fill(view, seed=0, prompt="sand"))
    assert np.isfinite(filled).all()
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    notes = [step.note for step in seen]
    assert any(note.endswith("on the GPU (Card)") for note in notes)
    assert any(note.endswith("on the GPU (Card), decoding in tiles, its memory ran out once") for note in notes)
    (drawn_how,) = [step.facts["drawn"] for step in seen if "drawn" in step.facts]
    assert drawn_how["memory_ran_out"] == 1
    assert drawn_how["device"] == "GPU (Card), decoding in tiles"


def test_a_machine_without_room_for_the_weights_says_so_before_loading(sd, monkeypatch):
    loaded = []
    monkeypatch.setattr(placement, "usable_memory", lambda: 1 << 20)
    with pytest.raises(OutOfMemory, match=r"GB of weights, and 0.0 GB of memory are free"):
        Placed(sd, CPU, load=lambda *a, **k: loaded.append(a))
    assert loaded == []


def test_little_memory_is_answered_by_half_as_wide_numbers_on_the_processor(sd, monkeypatch):
    whole = sum(Placed(sd, CPU).needs.parts.values())
    monkeypatch.setattr(placement, "usable_memory", lambda: int(0.7 * whole))
    placed = Placed(sd, CPU)
    assert placed.facts["dtype"] == "bfloat16"
    assert sum(placed.needs.parts.values()) < 0.6 * whole


@pytest.mark.parametrize(("room", "computes_in"), [(0.7, "bfloat16"), (1.1, "float32")])
def test_what_falls_to_the_processor_is_told_in_the_numbers_it_computes_in_and_fits_the_main_memory(
    sd, monkeypatch, room, computes_in
):
    monkeypatch.setattr(placement.devices, "numbers", lambda device, wide: torch.bfloat16)
    placed = Placed(sd, pretended(80))
    assert (placed.plan.where, placed.facts["dtype"]) == ("whole", "bfloat16")
    needed = sum(placed.needs.parts.values())
    # what is there already, and so much besides: wide weights are twice as large
    monkeypatch.setattr(placement, "_fitting", lambda *_: (torch.bfloat16, needed))
    monkeypatch.setattr(placement, "usable_memory", lambda: int(room * needed))
    placed = Placed(sd, pretended(0))
    assert placed.plan.where == "processor"
    assert placed.facts["dtype"] == str(placed.pipeline.unet.dtype).removeprefix("torch.") == computes_in


def test_weights_that_the_main_memory_does_not_hold_are_not_brought_there(sd, monkeypatch):
    placed = Placed(sd, pretended(80))
    on_gpu = torch.nn.Linear(1000, 2000, bias=False, device="meta", dtype=torch.bfloat16)
    monkeypatch.setattr(placement, "parts_of", lambda pipeline: {"unet": on_gpu})
    monkeypatch.setattr(placement, "usable_memory", lambda: 3_900_000)
    placed._at = len(placed._plans) - 1
    with pytest.raises(OutOfMemory, match=r"for the processor 0\.0 GB are needed") as told:
        placed._settle()
    assert "smaller checkpoint" in told.value.hint
    monkeypatch.setattr(placement, "usable_memory", lambda: 4_100_000)
    assert placed._on_processor(placed.plan) == torch.bfloat16


def test_reports_tell_how_their_own_result_was_drawn_and_no_other(sd, monkeypatch):
    crew = Crew([functools.partial(Painter, sd, pretended(80))])
    session = Eraser()
    session._engine = LatentEngine(INFO, crew, Options(steps=2, guidance=2.0), threads=1)
    plans = failing(crew._painter(0), monkeypatch, 1)
    photo = np.random.default_rng(0).integers(0, 255, (48, 60, 3), np.uint8)
    reports = []
    for _ in range(2):
        session.erase(photo, Box(20, 14, 16, 16), grow=0, prompt="a door", on_report=reports.append)
    assert len(plans) == 2
    assert [report.facts["memory_ran_out"] for report in reports] == [1, 0]
    assert [report.device for report in reports] == [plans[1], plans[1]]
    crew._painter(0).placed.cheaper()  # later, and nothing to do with them
    assert [report.facts["device"] for report in reports] == [plans[1], plans[1]]


def test_of_two_gpus_the_one_is_told_that_drew_what_was_kept(sd):
    crew = Crew([functools.partial(Painter, sd, pretended(80, name=f"GPU ({name})")) for name in ("one", "two")])
    session = Eraser()
    session._engine = LatentEngine(INFO, crew, Options(steps=2, guidance=2.0), threads=1)
    photo = np.random.default_rng(0).integers(0, 255, (48, 60, 3), np.uint8)
    seen = set()
    for seed in range(0, 40, 2):
        reports = []
        session.erase(photo, Box(20, 14, 16, 16), grow=0, seed=seed, tries=2, prompt="a door", on_report=reports.append)
        (part,) = reports[0].painted
        devices = [attempt.facts["drawn"]["device"] for attempt in part.attempts]
        assert sorted(devices) == ["GPU (one)", "GPU (two)"]
        assert reports[0].device == reports[0].facts["device"] == devices[part.kept]
        seen.add(devices[part.kept])
        if len(seen) == 2:
            return
    raise AssertionError("one GPU drew all that was kept, so nothing was shown")
