"""One-shot erasers from ONNX files: what goes into a graph, what is taken from it, on which device."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eraser
from eraser.canvas import View
from eraser.engines import graphs, registry
from eraser.engines import onnx as engine_module
from eraser.engines.base import EngineInfo
from eraser.engines.onnx import LUMA, OnnxEngine, match_chroma
from eraser.engines.onnx_records import LAMA, MIGAN, Convention, Record
from eraser.errors import DamagedWeights, EngineError, MissingWeights, OutOfMemory, OutOfRange, UnknownEngine
from eraser.geometry import Box
from eraser.machine import DEVICE
from eraser.weights import FOLDER, Weights
from tests import miniatures

onnx = pytest.importorskip("onnx", reason="the training extra, which has onnx, is not installed")

INFO = EngineInfo(name="onnx", summary="", licence="")
FREE = Convention(side=96)


def slope(height: int, width: int, channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    values = np.stack([x / width, y / height, 1 - x / width], axis=2) * 1.2 - 0.6
    return np.ascontiguousarray(values[:, :, :channels], np.float32)


def view_with(pixels: np.ndarray, *boxes: Box) -> View:
    hole = np.zeros(pixels.shape[:2], bool)
    for box in boxes:
        hole[box.slices] = True
    return View(np.where(hole[:, :, None], np.float32(0), pixels), hole)


def engine_of(path: Path, convention: Convention) -> OnnxEngine:
    return OnnxEngine(INFO, path, convention, device="cpu", threads=1)


def fill(engine, view: View, seed: int = 0) -> tuple[np.ndarray, list]:
    steps, seen = engine.fill(view, seed=seed), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return finished.value, seen


def error(filled: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    return float(np.abs(filled - truth)[hole].mean())


CONVENTIONS = {
    "lama": (LAMA.convention, {}),
    "migan": (MIGAN.convention, {"size": "any", "bytes_in": True}),
    "usual": (FREE, {"size": "any"}),
    "inverted mask": (replace(FREE, hole="low"), {"size": "any"}),
    "from -1 to 1": (replace(FREE, image="-1..1", drawn="-1..1"), {"size": "any"}),
    "half precision": (FREE, {"size": "any", "half": True}),
    "sides of 32": (replace(FREE, multiple=32), {"size": "any"}),
}


@pytest.mark.parametrize(("convention", "options"), CONVENTIONS.values(), ids=CONVENTIONS)
@pytest.mark.parametrize("shape", [(120, 150), (67, 45), (30, 300)], ids=str)
def test_every_convention_is_spoken_to_as_it_wants(tmp_path, convention, options, shape):
    engine = engine_of(miniatures.eraser(tmp_path / "eraser.onnx", convention, **options), convention)
    truth = slope(*shape)
    view = view_with(truth, Box(shape[1] // 3, shape[0] // 3, shape[1] // 4, shape[0] // 4))
    drawing = engine.draw(view, engine.window(view))
    drawn = drawing.at(np.flatnonzero(view.hole), view.size.width, 1.0)
    # with the mask or a range the wrong way round it is off by half the range
    assert np.abs(drawn - truth[view.hole]).mean() < 0.12
    filled, _ = fill(engine, view)
    assert error(filled, truth, view.hole) < 0.15


@pytest.mark.parametrize("wrong", [replace(FREE, hole="low"), replace(FREE, drawn="-1..1")], ids=["mask", "range"])
def test_a_convention_that_is_not_the_graphs_is_seen_in_the_drawing(tmp_path, wrong):
    path = miniatures.eraser(tmp_path / "eraser.onnx", FREE, size="any")
    truth = slope(90, 90)
    view = view_with(truth, Box(35, 35, 20, 20))
    drawings = []
    for convention in (FREE, wrong):
        engine = engine_of(path, convention)
        drawings.append(engine.draw(view, engine.window(view)).pixels[45, 45])
    assert np.abs(drawings[0] - truth[45, 45]).max() < 0.1
    assert np.abs(drawings[1] - truth[45, 45]).max() > 0.2


def test_hue_that_drifts_is_brought_back_and_luminance_is_left_alone(tmp_path):
    drift = np.array([0.2, -0.1, 0.15], np.float32)
    drift = drift - drift @ LUMA + 0.02  # 23 levels of hue, 2.5 of luminance
    convention = LAMA.convention
    straight = engine_of(miniatures.lama(tmp_path / "straight.onnx"), convention)
    drifting = engine_of(miniatures.lama(tmp_path / "drifting.onnx", drift=tuple(drift)), convention)
    loose = engine_of(tmp_path / "drifting.onnx", replace(convention, chroma=False))
    view = view_with(slope(96, 96), Box(30, 30, 30, 30), Box(75, 10, 10, 10))
    expected, matched, drifted = (e.draw(view, e.window(view)).pixels for e in (straight, drifting, loose))
    assert np.abs(drifted - expected)[view.hole].mean() > 0.1
    apart = (matched - expected)[view.hole]
    assert np.abs(apart @ LUMA - 0.02).max() < 0.01
    assert np.abs(apart - (apart @ LUMA)[:, None]).max() < 0.01
    assert np.array_equal(matched[~view.hole], expected[~view.hole])


def test_holes_are_matched_each_to_its_own_rim():
    truth = np.zeros((60, 120, 3), np.float32)
    truth[:, 60:] = 0.3, -0.3, 0.1
    hole = np.zeros((60, 120), bool)
    hole[20:40, 20:40] = hole[20:40, 80:100] = True
    shifts = np.array([[0.2, 0, -0.1], [-0.2, 0.1, 0.1]], np.float32)
    shifts -= (shifts @ LUMA)[:, None]
    drawn = truth.copy()
    drawn[20:40, 20:40] += shifts[0]
    drawn[20:40, 80:100] += shifts[1]
    assert np.allclose(match_chroma(drawn, hole), truth, atol=1e-5)
    dark = truth.copy()
    dark[hole] -= 0.3  # a shadow that was drawn stays
    assert np.allclose(match_chroma(dark, hole), dark, atol=1e-5)
    assert match_chroma(drawn, np.ones_like(hole)) is drawn


def test_the_window_is_as_large_as_the_graph_without_shrinking_the_hole(tmp_path):
    engine = engine_of(miniatures.lama(tmp_path / "lama.onnx"), LAMA.convention)
    small = view_with(slope(300, 300), Box(200, 140, 4, 4))
    assert engine.window(small).width == engine.window(small).height == 100  # 48 pixels on either side
    corner = view_with(slope(300, 80), Box(0, 290, 8, 10))
    assert engine.window(corner) == Box(0, 204, 80, 96)
    large = view_with(slope(300, 300), Box(50, 100, 200, 20))
    window = engine.window(large)
    assert window.width == 300
    assert window.height == 300  # the graph is square, so it sees more above and below


def test_steps_tell_the_size_and_the_device_and_show_the_drawing(tmp_path):
    engine = engine_of(miniatures.lama(tmp_path / "mini.onnx"), LAMA.convention)
    view = view_with(slope(200, 300), Box(100, 50, 80, 60))
    _, seen = fill(engine, view)
    assert seen[0].note == "mini draws at 96x96, on the CPU"
    preview = seen[1].preview()
    assert np.array_equal(preview[~view.hole], view.pixels[~view.hole])
    assert preview[view.hole].std() > 0.05


def test_what_the_graph_does_to_known_pixels_is_never_seen(tmp_path):
    engine = engine_of(miniatures.lama(tmp_path / "mini.onnx"), LAMA.convention)  # it paints them black
    truth = slope(96, 96)
    view = view_with(truth, Box(40, 40, 12, 12))
    drawing = engine.draw(view, Box(0, 0, 96, 96))
    assert np.array_equal(drawing.pixels[~view.hole], truth[~view.hole])


@pytest.mark.parametrize("lends", [True, False])
def test_a_smooth_drawing_gets_the_photos_grain_unless_the_photo_lends_none(tmp_path, lends):
    path = miniatures.eraser(tmp_path / "plain.onnx", FREE, size="any")
    noise = np.random.default_rng(0).normal(0, 0.06, (160, 160, 3)).astype(np.float32)
    pixels = np.clip(slope(160, 160) * 0.5 + noise, -1, 1)
    view = replace(view_with(pixels, Box(60, 60, 40, 40)), lends_texture=lends)
    filled, _ = fill(engine_of(path, FREE), view)
    inner = filled[70:90, 70:90]
    assert (np.abs(np.diff(inner, axis=1)).mean() > 0.03) == lends


@pytest.mark.parametrize(
    ("channels", "hole", "words"), [(4, Box(5, 5, 9, 9), "CMYK"), (3, Box(0, 0, 40, 40), "nothing is known")]
)
def test_what_the_graph_cannot_draw_is_left_to_the_patch_engine_and_told(tmp_path, channels, hole, words):
    engine = engine_of(miniatures.lama(tmp_path / "mini.onnx"), LAMA.convention)
    filled, seen = fill(engine, view_with(np.full((40, 40, channels), 0.2, np.float32), hole))
    assert all(words in step.note and "patch engine" in step.note for step in seen)
    assert np.isfinite(filled).all()


# --- files and names --------------------------------------------------------------------------------------------------


def test_a_file_is_an_engine_by_its_path_and_keeps_known_pixels(tmp_path):
    path = miniatures.migan(tmp_path / "mine.onnx")
    photo = (slope(60, 70) * 100 + 120).astype(np.uint8)
    mask = np.zeros((60, 70), bool)
    mask[20:35, 20:40] = True
    with eraser.Eraser(f"onnx:{path}") as session:
        assert session.info.name == f"onnx:{path}"
        filled = session.erase(photo, mask, grow=0)
    assert np.array_equal(filled[~mask], photo[~mask])
    assert np.abs(filled.astype(int) - photo)[mask].mean() < 20
    assert registry.load(f"onnx:{path}") is registry.load(f"onnx:{path}")


def test_released_files_are_found_by_name_with_their_own_convention(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for name in ("lama", "migan"):
        with pytest.raises(MissingWeights, match=r"\.onnx") as told:
            eraser.Eraser(name)
        assert f"eraser models fetch {name}" in told.value.hint
    data = miniatures.lama(tmp_path / "small.onnx").read_bytes()
    weights = Weights("small.onnx", len(data), hashlib.sha256(data).hexdigest(), "Apache-2.0")
    monkeypatch.setitem(engine_module.RECORDS, "lama", Record(weights, LAMA.convention))
    assert engine_module.released(registry.ENTRIES["lama"].info).runs_on in ("CPU", "GPU")
    (tmp_path / "small.onnx").write_bytes(data[:-1] + b"?")
    with pytest.raises(DamagedWeights):
        engine_module.released(registry.ENTRIES["lama"].info)


def test_names_that_cannot_be_loaded_say_what_could(tmp_path):
    with pytest.raises(MissingWeights, match="is told what to run") as told:
        eraser.Eraser("onnx")
    assert "onnx:FILE" in told.value.hint
    with pytest.raises(UnknownEngine, match=r"patch:thing.*onnx:FILE"):
        eraser.Eraser("patch:thing")
    with pytest.raises(MissingWeights, match="there is no file"):
        eraser.Eraser(f"onnx:{tmp_path / 'none.onnx'}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"hole": "left"}', "high or low"),
        ('{"image": "0..2"}', "not one of"),
        ('{"polarity": 1}', "may say chroma, drawn"),
        ('{"side": 0}', "from 1 up"),
        ('{"side": "big"}', "from 1 up"),
        ("[]", "may say"),
        ("{", "no convention"),
    ],
)
def test_a_convention_that_makes_no_sense_is_refused(tmp_path, text, words):
    path = miniatures.lama(tmp_path / "mine.onnx")
    path.with_suffix(".json").write_text(text)
    with pytest.raises(DamagedWeights, match=words):
        Convention.beside(path)
    path.with_suffix(".json").unlink()
    assert Convention.beside(path) == Convention()


def small_graph(path: Path, inputs: list[tuple[str, list]], output: list) -> Path:
    """A graph that gives a constant, whatever it is given."""
    from onnx import TensorProto, helper, numpy_helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, output)
    constant = numpy_helper.from_array(np.full(output, np.nan, np.float32), "constant")
    node = helper.make_node("Identity", ["constant"], ["result"])
    graph = helper.make_graph([node], "small", values, [result], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_graphs_that_are_no_erasers_are_refused(tmp_path):
    one = small_graph(tmp_path / "one.onnx", [("x", [1, 3, 8, 8])], [1, 3, 8, 8])
    with pytest.raises(DamagedWeights, match=r"no eraser: it takes x tensor\(float\)"):
        engine_of(one, Convention())
    half = small_graph(tmp_path / "half.onnx", [("image", [1, 3, 64, "w"]), ("mask", [1, 1, 64, "w"])], [1, 3, 64, 64])
    with pytest.raises(DamagedWeights, match=r"one of its picture's sides is fixed, 64xw"):
        engine_of(half, Convention())
    other = small_graph(tmp_path / "other.onnx", [("image", [1, 3, 8, 8]), ("mask", [1, 1, 8, 8])], [1, 3, 4, 4])
    view = view_with(slope(40, 40), Box(10, 10, 12, 12))
    with pytest.raises(EngineError, match=r"draws \(1, 3, 4, 4\)"):
        fill(engine_of(other, Convention()), view)
    empty = small_graph(tmp_path / "empty.onnx", [("image", [1, 3, 8, 8]), ("mask", [1, 1, 8, 8])], [1, 3, 8, 8])
    with pytest.raises(EngineError, match="not finite"):
        fill(engine_of(empty, Convention()), view)
    (tmp_path / "torn.onnx").write_bytes(one.read_bytes()[:40])
    with pytest.raises(DamagedWeights, match="cannot be loaded"):
        engine_of(tmp_path / "torn.onnx", Convention())


def test_inputs_without_sizes_are_told_apart_by_name(tmp_path):
    path = small_graph(tmp_path / "names.onnx", [("the_mask", list("abcd")), ("picture", list("efgh"))], [1, 3, 8, 8])
    loaded = engine_of(path, Convention())._eraser
    assert (loaded._image.name, loaded._mask.name) == ("picture", "the_mask")


# --- devices ----------------------------------------------------------------------------------------------------------


def test_a_gpu_that_is_asked_for_and_not_had_is_told(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = miniatures.lama(tmp_path / "mini.onnx")
    session = onnxruntime.InferenceSession
    # what onnxruntime does without CUDA's libraries: it takes the CPU and raises nothing
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *a, providers: session(*a, providers=["CPUExecutionProvider"])
    )
    monkeypatch.setenv(DEVICE, "gpu")
    with pytest.raises(EngineError, match="took the CPU"):
        OnnxEngine(INFO, path, LAMA.convention)
    monkeypatch.setenv(DEVICE, "auto")
    assert OnnxEngine(INFO, path, LAMA.convention).runs_on == "CPU"
    monkeypatch.setenv(DEVICE, "toaster")
    with pytest.raises(OutOfRange, match="toaster"):
        OnnxEngine(INFO, path, LAMA.convention)


class Breaking:
    """A session on a GPU whose libraries are missed when it is run."""

    def __init__(self, real, message: str) -> None:
        self.get_inputs, self.message = real.get_inputs, message

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def run(self, *_: object) -> None:
        raise RuntimeError(self.message)


@pytest.mark.parametrize(
    "message", ["CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR", "BFCArena: Failed to allocate memory"]
)
def test_a_gpu_that_fails_at_work_is_left_for_the_cpu_and_told(tmp_path, monkeypatch, message):
    path = miniatures.lama(tmp_path / "mini.onnx")
    view = view_with(slope(96, 96), Box(40, 40, 12, 12))
    expected, _ = fill(engine_of(path, LAMA.convention), view)
    real = graphs._session

    def session(path, device, threads):
        on_cpu = real(path, "cpu", 1)
        return on_cpu if device == "cpu" else Breaking(on_cpu, message)

    monkeypatch.setattr(graphs, "_session", session)
    engine = OnnxEngine(INFO, path, LAMA.convention, device="auto", threads=1)
    assert engine.runs_on == "GPU"
    filled, seen = fill(engine, view)
    assert np.array_equal(filled, expected)
    assert engine.runs_on == "CPU"
    said = [warning for step in seen for warning in step.facts.get("warnings", [])]
    assert said == [f"the GPU failed ({message}), so the CPU draws"]
    strict = OnnxEngine(INFO, path, LAMA.convention, device="gpu", threads=1)
    kind = OutOfMemory if "allocate" in message else EngineError
    with pytest.raises(kind) as told:
        fill(strict, view)
    assert told.value.hint
    assert strict.runs_on == "GPU"


def test_the_miniatures_speak_what_the_records_say(tmp_path):
    assert json.loads(miniatures.lama(tmp_path / "a.onnx").with_suffix(".json").read_text())["drawn"] == "0..255"
    assert Convention.beside(miniatures.migan(tmp_path / "b.onnx")) == MIGAN.convention
