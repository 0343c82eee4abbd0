"""What holds for every engine there is: new ones are tested by being listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

import eraser
from eraser.canvas import View
from eraser.engines import registry
from eraser.engines.base import Engine, Progress
from eraser.errors import MissingExtra, MissingWeights
from eraser.geometry import Box
from eraser.provenance import PATCHES, TRAINED
from eraser.weights import present

# those that load without being told a file, and whose weights are here
ENGINES = [
    name for name, entry in registry.ENTRIES.items() if not entry.takes and all(present(file) for file in entry.files)
]
# the real loading code, on graphs and checkpoints made here
GRAPHS = {"miniature lama": "lama", "miniature migan": "migan"}
MINIATURES = [*GRAPHS, *(["miniature latent"] if find_spec("diffusers") and find_spec("transformers") else [])]
THREADS = [1, 2, 5]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("miniatures")

    def name_of(name: str) -> str:
        if name == "miniature latent":
            from tests import miniature_pipelines

            path = folder / "latent"
            return f"latent:{path if path.exists() else miniature_pipelines.stable_diffusion(path)}?steps=2&tries=1"
        pytest.importorskip("onnx", reason="the training extra, which has onnx, is not installed")
        from tests import miniatures

        path = folder / f"{GRAPHS[name]}.onnx"
        return f"onnx:{path if path.exists() else getattr(miniatures, GRAPHS[name])(path, copies=32)}"

    return name_of


@pytest.fixture(params=[*ENGINES, *MINIATURES])
def engine(request) -> Engine:
    if request.param in MINIATURES:
        return registry.load(request.getfixturevalue("miniature")(request.param))
    try:
        return registry.load(request.param)
    except (MissingExtra, MissingWeights) as missing:
        pytest.skip(str(missing))


@pytest.fixture
def drawing_engine(engine, request) -> Engine:
    """One whose drawings mean something."""
    if request.node.callspec.params["engine"] == "miniature latent":
        pytest.skip("random weights draw random colours")
    return engine


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """A slope, stripes and grain, over the whole of [-1, 1] and a little clipped."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = np.linspace(-1, 1, height)[:, None] + 0.6 * np.sign(np.sin(x / 3 + y / 9))
    grain = rng.normal(0, 0.2, (height, width, channels))
    return np.clip(base[:, :, None] * rng.uniform(0.5, 1, channels) + grain, -1, 1).astype(np.float32)


def view_of(pixels: np.ndarray, hole: np.ndarray) -> View:
    return View(np.where(hole[:, :, None], np.float32(0), pixels), hole)


def view_with(height: int, width: int, *boxes: Box, channels: int = 3) -> View:
    hole = np.zeros((height, width), bool)
    for box in boxes:
        hole[box.slices] = True
    return view_of(picture(height, width, channels), hole)


def fill(engine: Engine, view: View, seed: int = 0) -> np.ndarray:
    steps = engine.fill(view, seed=seed)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def check_filled(filled: np.ndarray, view: View) -> None:
    assert filled.shape == view.pixels.shape
    assert filled.dtype == np.float32
    inside = filled[view.hole]
    assert np.isfinite(inside).all()
    assert (np.abs(inside) <= 1).all()


MIDDLE = Box(30, 20, 24, 20)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_colour_and_cmyk_are_filled_and_the_view_is_left_alone(engine, channels):
    view = view_with(64, 80, MIDDLE, channels=channels)
    pixels, hole = view.pixels.copy(), view.hole.copy()
    check_filled(fill(engine, view), view)
    assert np.array_equal(view.pixels, pixels)
    assert np.array_equal(view.hole, hole)


def test_views_that_cannot_be_written_are_enough(engine):
    view = view_with(40, 50, Box(10, 10, 12, 9))
    view.pixels.flags.writeable = view.hole.flags.writeable = False
    check_filled(fill(engine, view), view)


def test_what_is_painted_is_no_flat_grey(engine):
    view = view_with(64, 80, MIDDLE)
    filled = fill(engine, view)
    assert filled[view.hole].std() > 0.5 * view.pixels[~view.hole].std()


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_the_same_seed_gives_the_same_bytes(engine, seed):
    view = view_with(64, 80, MIDDLE)
    first = fill(engine, view, seed)[view.hole].tobytes()
    assert fill(engine, view, seed)[view.hole].tobytes() == first


def test_what_was_erased_changes_no_filling(engine):
    # it is for choosing among fillings, and a single one is not chosen
    view = view_with(64, 80, MIDDLE)

    def with_erased(value: float) -> View:
        there = np.where(view.hole[:, :, None], np.float32(value), view.pixels)
        return replace(view, erased=lambda box: there[box.slices])

    once = fill(engine, view)
    assert np.array_equal(fill(engine, with_erased(-0.9)), once)
    assert np.array_equal(fill(engine, with_erased(0.8)), once)


def test_another_seed_gives_another_filling(engine):
    view = view_with(64, 80, MIDDLE)
    assert not np.array_equal(fill(engine, view, 1)[view.hole], fill(engine, view, 2)[view.hole])


def test_several_python_threads_at_once_get_what_each_would_get_alone(engine):
    views = [view_with(72, 90, Box(20 + n, 20, 30, 25)) for n in range(6)]
    alone = [fill(engine, view, n)[view.hole].tobytes() for n, view in enumerate(views)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda n: fill(engine, views[n], n)[views[n].hole].tobytes(), range(6)))
    assert together == alone


def test_progress_rises_to_one_and_never_falls(engine):
    steps: list[Progress] = list(engine.fill(view_with(64, 80, MIDDLE), seed=0))
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < 0.5
    assert fractions[-1] == pytest.approx(1)
    assert max(fractions) <= 1
    assert all(step.note for step in steps)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_previews_show_the_whole_view_at_every_step(engine, channels):
    view = view_with(45, 67, Box(20, 12, 18, 17), channels=channels)
    shown = 0
    for step in engine.fill(view, seed=0):
        if step.preview is None:
            continue
        preview = step.preview()
        assert preview.shape == view.pixels.shape
        assert preview.dtype == np.float32
        assert np.isfinite(preview).all()
        assert np.array_equal(preview[~view.hole], view.pixels[~view.hole])
        shown += 1
    assert shown > 3


def test_a_preview_kept_for_later_can_still_be_drawn(engine):
    view = view_with(45, 67, Box(20, 12, 18, 17))
    previews = [step.preview for step in engine.fill(view, seed=0) if step.preview is not None]
    assert all(np.isfinite(preview()).all() for preview in previews)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_closing_the_generator_midway_leaves_the_engine_usable(engine, after):
    view = view_with(64, 80, MIDDLE)
    whole = fill(engine, view)[view.hole].tobytes()
    steps = engine.fill(view, seed=0)
    for _ in range(after):
        next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
    assert fill(engine, view)[view.hole].tobytes() == whole


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiny_images_are_filled(engine, channels):
    rng = np.random.default_rng(channels)
    for height in range(1, 8):
        for width in range(1, 8):
            hole = rng.random((height, width)) < 0.4
            hole[rng.integers(height), rng.integers(width)] = True
            view = view_of(picture(height, width, channels), hole)
            check_filled(fill(engine, view), view)


@pytest.mark.parametrize("size", [(1, 60), (60, 1), (4, 200), (5, 90), (90, 6)], ids=str)
def test_strips_thinner_than_a_patch_are_filled(engine, size):
    view = view_with(*size, Box(0, 0, max(1, size[1] // 3), max(1, size[0] // 3)))
    check_filled(fill(engine, view), view)


def test_a_window_without_one_known_pixel_is_filled_with_something(engine):
    # a transparent image may be like that all around a hole, though something is known elsewhere
    view = View(np.zeros((20, 30, 3), np.float32), np.ones((20, 30), bool))
    check_filled(fill(engine, view), view)


@pytest.mark.parametrize("known", [Box(0, 0, 1, 1), Box(30, 20, 3, 3), Box(0, 0, 50, 2), Box(20, 20, 9, 9)], ids=str)
def test_a_hole_nearly_everywhere_is_filled(engine, known):
    hole = np.ones((50, 60), bool)
    hole[known.slices] = False
    view = view_of(picture(50, 60, 3), hole)
    check_filled(fill(engine, view), view)


def test_an_image_without_a_whole_known_patch_is_filled_with_its_own_colours(drawing_engine):
    hole = np.zeros((40, 50), bool)
    hole[::3] = hole[:, ::3] = True
    view = view_of(np.full((40, 50, 3), 0.25, np.float32), hole)
    filled = fill(drawing_engine, view)
    check_filled(filled, view)
    assert np.abs(filled[hole] - 0.25).max() < 0.1


@pytest.mark.parametrize("place", [(0, 0), (0, 59), (49, 0), (49, 59), (0, 30), (25, 0), (49, 30), (25, 59), (25, 30)])
def test_one_pixel_holes_are_filled_wherever_they_are(engine, place):
    hole = np.zeros((50, 60), bool)
    hole[place] = True
    view = view_of(picture(50, 60, 3), hole)
    check_filled(fill(engine, view), view)


BORDERS = {
    "left": Box(0, 20, 15, 20),
    "right": Box(65, 20, 15, 20),
    "top": Box(30, 0, 20, 15),
    "bottom": Box(30, 45, 20, 15),
    "top left": Box(0, 0, 15, 15),
    "bottom right": Box(65, 45, 15, 15),
    "from left to right": Box(0, 25, 80, 12),
    "from top to bottom": Box(30, 0, 12, 60),
}


@pytest.mark.parametrize("box", BORDERS.values(), ids=BORDERS)
def test_holes_at_the_border_are_filled(engine, box):
    view = view_with(60, 80, box)
    check_filled(fill(engine, view), view)


def test_several_far_holes_are_all_filled(engine):
    view = view_with(100, 140, Box(5, 5, 12, 9), Box(120, 80, 14, 15), Box(70, 40, 1, 1), Box(0, 90, 8, 10))
    filled = fill(engine, view)
    check_filled(filled, view)
    for box in (Box(5, 5, 12, 9), Box(120, 80, 14, 15), Box(0, 90, 8, 10)):
        assert filled[box.slices].std() > 0.1


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.3, 1.0])
def test_one_flat_colour_stays_that_colour(drawing_engine, value):
    hole = np.zeros((50, 60), bool)
    hole[20:35, 15:40] = True
    view = view_of(np.full((50, 60, 3), value, np.float32), hole)
    filled = fill(drawing_engine, view)
    check_filled(filled, view)
    assert np.abs(filled[hole] - value).max() < 0.02


def test_engines_are_told_apart_and_say_what_they_are():
    infos = eraser.engines()
    assert infos
    assert len({info.name for info in infos}) == len(infos)
    for info in infos:
        assert info.summary
        assert info.licence
        assert info.needs
        assert info.name != registry.AUTO


def test_an_engine_is_loaded_once(engine):
    assert registry.load(engine.info.name) is engine


def test_patches_do_not_depend_on_the_number_of_threads():
    patch = pytest.importorskip("eraser.engines.patch")
    info = registry.ENTRIES["patch"].info
    view = view_with(150, 190, Box(30, 20, 120, 110), Box(170, 0, 9, 150))
    results = {threads: fill(patch.PatchEngine(info, threads=threads), view, 3) for threads in THREADS}
    check_filled(results[1], view)
    for threads in THREADS[1:]:
        assert results[threads][view.hole].tobytes() == results[1][view.hole].tobytes()


def test_what_it_says_for_reports_is_json_and_names_a_model_where_there_is_one(engine):
    reports = []
    pixels = ((picture(70, 90, 3) + 1) * 127).astype(np.uint8)
    session = eraser.Eraser()
    session._engine = engine
    session.erase(pixels, Box(30, 30, 12, 9), seed=2, on_report=reports.append)
    (part,) = reports[0].painted
    for facts in (dict(session.facts), *(attempt.facts for attempt in part.attempts)):
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert reports[0].source_type == (TRAINED if engine.info.weights else PATCHES)
