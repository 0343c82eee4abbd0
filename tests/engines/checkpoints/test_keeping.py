"""Checkpoints that are let go are gone, and files that have changed are loaded anew."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

import eraser  # noqa: E402
from eraser.engines import heap, latent, registry  # noqa: E402
from eraser.engines.crew import Keeper  # noqa: E402
from eraser.engines.loaded_files import CHANGED  # noqa: E402
from eraser.geometry import Box  # noqa: E402
from tests import miniature_extras as extras  # noqa: E402
from tests.engines.networks import DEAF  # noqa: E402

pytestmark = DEAF
PHOTO = np.random.default_rng(0).integers(60, 190, (48, 60, 3), np.uint8)
BOX = Box(20, 14, 16, 16)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, one_thread) -> None:
    monkeypatch.setattr(latent, "_keeper", Keeper())


@pytest.fixture
def own_look(look: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(look, tmp_path / "look.safetensors"))


def network(engine) -> weakref.ref:
    return weakref.ref(engine._painter._painter(0)._pipeline.unet)


def erased(session: eraser.Eraser) -> np.ndarray:
    return session.erase(PHOTO, BOX, grow=0, prompt="a door")


@pytest.fixture
def no_collector():
    """What is freed only when the collector happens to run is not freed."""
    gc.disable()
    yield
    gc.enable()


def test_four_weights_of_a_lora_leave_one_checkpoint_in_memory(sd, look, no_collector, monkeypatch):
    trimmed = []
    monkeypatch.setattr(heap, "give_back", lambda: trimmed.append(1))
    networks = []
    for weight in (0.1, 0.2, 0.3, 0.4):
        name = f"latent:{sd}?steps=1&lora={look}:{weight}"
        eraser.erase(PHOTO, BOX, grow=0, prompt="a door", engine=name)
        networks.append(network(registry.load(name)))
        assert [one() is not None for one in networks] == [False] * (len(networks) - 1) + [True]
    assert len(trimmed) >= 3  # and the system has the memory again


def test_the_checkpoint_before_is_gone_when_the_next_is_loaded(sd, look, no_collector, monkeypatch):
    first = network(registry.load(f"latent:{sd}?steps=1"))
    alive = []
    real = latent.Painter
    monkeypatch.setattr(latent, "Painter", lambda *given: alive.append(first() is not None) or real(*given))
    registry.load(f"latent:{sd}?steps=1&lora={look}")
    assert alive == [False]


def test_other_options_of_drawing_run_the_checkpoint_that_is_there(sd):
    first = network(registry.load(f"latent:{sd}?steps=1"))
    assert network(registry.load(f"latent:{sd}?steps=2&guidance=3"))() is first() is not None


def test_leaving_a_session_lets_go_of_its_checkpoint_alone_and_at_once(sd, look, no_collector):
    with eraser.Eraser(f"latent:{sd}?steps=1") as session:
        before = erased(session)
        held = network(session._engine)
        assert held() is not None
    assert held() is None
    assert np.array_equal(erased(session), before)  # used again, it loads again
    other = eraser.Eraser(f"latent:{sd}?steps=1")
    held = network(other._engine)
    with eraser.Eraser(f"latent:{sd}?steps=1"):
        pass
    assert held() is not None  # somebody else has it
    assert np.array_equal(erased(other), before)


def test_a_filling_that_runs_keeps_its_checkpoint_to_its_end(sd, look, no_collector):
    name = f"latent:{sd}?steps=2"
    expected = erased(eraser.Eraser(name))
    steps = eraser.Eraser(name).erase_steps(PHOTO, BOX, grow=0, prompt="a door")
    next(steps)
    held = network(registry.load(name))
    registry.load(f"latent:{sd}?steps=2&lora={look}")
    assert held() is not None
    result = []

    def rest() -> None:
        try:
            while True:
                next(steps)
        except StopIteration as finished:
            result.append(finished.value)

    thread = threading.Thread(target=rest)
    thread.start()
    thread.join()
    assert np.array_equal(result[0], expected)
    del thread
    steps.close()
    gc.collect()
    assert held() is None


def test_a_lora_that_was_overwritten_is_loaded_anew_and_an_engine_made_before_says_so(sd, own_look):
    name = f"latent:{sd}?steps=2&lora={own_look}"
    old = eraser.Eraser(name)
    before, sums = erased(old), old.facts["sha256"]
    assert eraser.Eraser(name).facts["sha256"] == sums
    extras.lora(sd, own_look, strength=0.8)
    assert old.facts["sha256"] == sums | {"lora/look.safetensors": CHANGED}
    assert np.array_equal(erased(old), before)  # it draws as it did
    new = eraser.Eraser(name)
    assert {key for key, found in new.facts["sha256"].items() if found != sums[key]} == {"lora/look.safetensors"}
    assert not np.array_equal(erased(new), before)


def test_a_file_is_read_for_its_sum_once_while_it_stays_the_same(sd, own_look, monkeypatch):
    from eraser.engines import loaded_files

    read, real = [], loaded_files.digest
    monkeypatch.setattr(loaded_files, "digest", lambda path: read.append(path.name) or real(path))
    session = eraser.Eraser(f"latent:{sd}?steps=1&lora={own_look}")
    reports = []
    session.erase(PHOTO, BOX, grow=0, prompt="a door", on_report=reports.append)
    assert "look.safetensors" not in read  # nobody asked yet
    assert "sha256" not in reports[0].summary()["facts"]
    for _ in range(2):
        assert len(reports[0].to_json()["facts"]["sha256"]["lora/look.safetensors"]) == 64
    assert read.count("look.safetensors") == 1


def test_a_report_that_is_kept_does_not_keep_the_checkpoint(sd, no_collector):
    reports = []
    with eraser.Eraser(f"latent:{sd}?steps=1") as session:
        session.erase(PHOTO, BOX, grow=0, prompt="a door", on_report=reports.append)
        held = network(session._engine)
    assert held() is None
    assert "unet/diffusion_pytorch_model.safetensors" in reports[0].facts["sha256"]
