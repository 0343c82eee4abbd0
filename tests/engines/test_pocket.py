"""The pocket engine with a miniature model of random weights: everything but how good its drawings are."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines.base import EngineInfo
from eraser.engines.frame import drawn_size, shrink, surroundings
from eraser.engines.pocket import Options, PocketDenoiser, PocketEngine
from eraser.errors import DamagedWeights, EngineError, MissingWeights
from eraser.geometry import Box
from eraser.sampling import sample
from eraser.schedule import karras
from eraser.weights import FOLDER, Weights

torch = pytest.importorskip("torch", reason="the training extra, which makes the miniature model, is not installed")
onnx = pytest.importorskip("onnx")

INFO = EngineInfo(name="pocket", summary="", licence="Apache-2.0")
BRIEF = Options(side=48, steps=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    from training.export import export
    from training.model import NetSettings, PocketNet

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = PocketNet(
        NetSettings(channels=(16, 32), blocks=(1, 1), attention=(False, True), embedding=16, head=16, dropout=0.0)
    )
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("gain"):
                parameter.fill_(0.5)
    path = tmp_path_factory.mktemp("pocket") / "pocket.onnx"
    export(net.fold(), {"licence": "Apache-2.0"}, path)
    torch.set_num_threads(threads)
    return path


@pytest.fixture(scope="module")
def engine(model) -> PocketEngine:
    return PocketEngine(INFO, model, options=BRIEF, threads=1)


def view_with(height: int, width: int, *boxes: Box, channels: int = 3) -> View:
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width, :channels][:2]
    pixels = np.clip(np.sin(x / 7) * 0.6 + np.cos(y / 5) * 0.3 + rng.normal(0, 0.1, x.shape), -1, 1).astype(np.float32)
    hole = np.zeros((height, width), bool)
    for box in boxes:
        hole[box.slices] = True
    pixels[hole] = 0
    return View(pixels, hole)


def fill(engine: PocketEngine, view: View, seed: int = 0) -> tuple[np.ndarray, list]:
    steps, seen = engine.fill(view, seed=seed), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return finished.value, seen


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("height", "width", "boxes"),
    [
        (90, 130, [Box(40, 30, 25, 20)]),
        (61, 64, [Box(0, 0, 20, 61)]),
        (200, 40, [Box(10, 50, 12, 100), Box(30, 5, 6, 6)]),
        (300, 300, [Box(150, 150, 1, 1)]),
        (64, 64, [Box(0, 0, 64, 60)]),
    ],
)
def test_holes_are_filled_with_numbers_and_the_rest_stays(engine, channels, height, width, boxes):
    view = view_with(height, width, *boxes, channels=channels)
    before = view.pixels.copy()
    filled, seen = fill(engine, view)
    assert filled.shape == view.pixels.shape
    assert filled.dtype == np.float32
    assert np.isfinite(filled).all()
    assert np.abs(filled).max() <= 1
    assert np.array_equal(view.pixels, before)
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    for step in seen:
        if step.preview is not None:
            shown = step.preview()
            assert np.array_equal(shown[~view.hole], view.pixels[~view.hole])
            assert np.isfinite(shown).all()


def test_equal_seeds_give_equal_bytes_also_in_several_threads_and_other_seeds_do_not(engine):
    view = view_with(90, 90, Box(30, 30, 30, 30))
    alone = fill(engine, view, 3)[0]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda seed: fill(engine, view, seed)[0], [3, 3, 4]))
    assert together[0].tobytes() == together[1].tobytes() == alone.tobytes()
    assert together[2].tobytes() != alone.tobytes()


def test_steps_tell_the_size_and_the_device(engine):
    notes = [step.note for step in fill(engine, view_with(96, 192, Box(60, 30, 60, 40)))[1]]
    assert notes[: BRIEF.steps] == ["structure at 48x31, on the CPU"] * BRIEF.steps
    assert any("texture" in note for note in notes)


def test_whoever_closes_the_generator_stops_it(engine, monkeypatch):
    calls = []
    run = PocketDenoiser.__call__
    monkeypatch.setattr(PocketDenoiser, "__call__", lambda *a: calls.append(1) or run(*a))
    steps = engine.fill(view_with(90, 90, Box(30, 30, 30, 30)), seed=0)
    next(steps)
    steps.close()
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (view_with(80, 80, Box(30, 30, 20, 20), channels=4), "CMYK"),
        (view_with(400, 12, Box(0, 150, 12, 100)), "too thin"),
        (view_with(40, 40, Box(0, 0, 40, 40)), "nothing is known"),
    ],
    ids=["CMYK", "thin", "nothing known"],
)
def test_what_the_model_cannot_draw_is_left_to_the_patch_engine_and_told(engine, view, words):
    filled, seen = fill(engine, view)
    assert all(words in step.note and "patch engine" in step.note for step in seen)
    assert np.isfinite(filled).all()


def test_known_pixels_stand_unchanged_in_every_step_of_the_loop(model):
    denoiser = PocketDenoiser(model, threads=1)
    view = view_with(32, 48, Box(10, 10, 20, 12))
    known, hole = view.pixels.transpose(2, 0, 1)[None], view.hole[None, None].astype(np.float32)
    noise = np.random.default_rng(0)
    steps = list(
        sample(
            denoiser,
            known,
            hole,
            karras(80, 0.02, 4),
            noise=lambda shape: noise.standard_normal(shape, np.float32),
            eta=0.0,
            order=2,
        )
    )
    assert len(steps) == 4
    for step in steps:
        assert np.array_equal(step.clean[:, :, ~view.hole], known[:, :, ~view.hole])


# --- weights ----------------------------------------------------------------------------------------------------------


def released(model: Path) -> Weights:
    data = model.read_bytes()
    return Weights(model.name, len(data), hashlib.sha256(data).hexdigest(), "Apache-2.0")


def test_released_weights_are_found_and_checked(model, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(MissingWeights, match=r"pocket\.onnx"):
        PocketEngine(INFO, released(model))
    shutil.copy(model, tmp_path)
    assert PocketEngine(INFO, released(model), threads=1).runs_on == "CPU"
    (tmp_path / model.name).write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(DamagedWeights, match=f"of {model.stat().st_size} bytes"):
        PocketEngine(INFO, released(model))


def test_files_that_are_no_model_of_this_version_are_refused(model, tmp_path):
    with pytest.raises(MissingWeights):
        PocketDenoiser(tmp_path / "nothing.onnx")
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(model.read_bytes()[:5000])
    with pytest.raises(DamagedWeights, match="cannot be loaded"):
        PocketDenoiser(torn)
    for notes, words in [({"pocket": '{"version": 99, "stride": 4}'}, "version 99"), ({"other": "x"}, "no notes")]:
        changed = onnx.load(model)
        del changed.metadata_props[:]
        onnx.helper.set_model_props(changed, notes)
        onnx.save(changed, tmp_path / "changed.onnx")
        with pytest.raises(DamagedWeights, match=words):
            PocketDenoiser(tmp_path / "changed.onnx")


def test_a_gpu_that_is_asked_for_and_not_had_is_told(model, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession
    # what onnxruntime does without CUDA's libraries: it takes the CPU and raises nothing
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *a, providers: session(*a, providers=["CPUExecutionProvider"])
    )
    with pytest.raises(EngineError, match="took the CPU") as told:
        PocketDenoiser(model, device="gpu")
    assert "doctor" in told.value.hint
    assert PocketDenoiser(model, device="auto").runs_on == "CPU"


# --- what the model sees ----------------------------------------------------------------------------------------------


def test_shrink_agrees_with_its_slow_twin():
    rng = np.random.default_rng(2)
    pixels, hole = rng.random((12, 18, 3), np.float32), rng.random((12, 18)) < 0.5
    small, unknown = shrink(pixels, hole, 4, 6)
    for y in range(4):
        for x in range(6):
            area = (slice(3 * y, 3 * y + 3), slice(3 * x, 3 * x + 3))
            known = ~hole[area]
            assert unknown[y, x] == (known.mean() < 0.5)
            expected = pixels[area][known].mean(axis=0) if known.mean() >= 0.5 else np.zeros(3)
            assert small[y, x] == pytest.approx(expected, abs=1e-5)


def test_the_model_sees_all_of_the_hole_and_what_lies_around_it():
    options = Options(side=128, context=0.75, least_context=24)
    hole = np.zeros((500, 700), bool)
    hole[200:300, 300:340] = True
    box = surroundings(hole, options)
    assert box == Box(225, 125, 190, 250)
    assert drawn_size(box, options) == (128, 97)
    hole[:] = False
    hole[0:4, 690:700] = True
    assert surroundings(hole, options) == Box(666, 0, 34, 28)
    assert drawn_size(Box(0, 0, 34, 28), options) == (28, 34)
