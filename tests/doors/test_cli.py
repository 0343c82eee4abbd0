"""The command line, with the real engine: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import eraser
from eraser import cli, console, demo, doctor, marks
from eraser.engines import registry
from eraser.errors import MissingExtra, OutOfRange
from eraser.files import read
from eraser.geometry import Size
from eraser.provenance import DIGITAL_SOURCE_TYPE, PATCHES
from eraser.weights import OFFLINE, Weights
from eraser.xmp import values

ROOT = Path(eraser.__file__).parents[1]
WIDTH, HEIGHT = 80, 60  # of the command's photo


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# -- erase -------------------------------------------------------------------------------------------------------------


def test_erase_changes_the_marked_pixels_and_no_others(command: Callable[..., Any], folder: Path) -> None:
    done = command("erase photo.png mask.png --grow 0")
    assert (done.code, done.added, done.err) == (0, ["photo-erased.png"], "")
    assert "photo-erased.png: 80x60 pixels, 80 of them painted" in done.out
    before, after, hole = (
        pixels(folder / "photo.png"),
        pixels(folder / "photo-erased.png"),
        pixels(folder / "mask.png") > 0,
    )
    assert np.array_equal(before[~hole], after[~hole])
    assert (before[hole] != after[hole]).any(axis=-1).mean() > 0.9


def test_everything_marked_is_erased_at_once_and_overlaps_count_once(command: Callable[..., Any]) -> None:
    done = command(
        "erase painted.png mask.png -o out.png --grow 0 --json --colour '#ff00ff' --box 60,50,5,4 --box 62,50,5,4 "
        "--box 0%,90%,10%,10% --polygon '70,0 79,0 79,9 70,9'"
    )
    assert (done.code, done.err) == (0, "")
    mask, colour, boxes, percent, polygon = 10 * 8, 6 * 4, 7 * 4, 8 * 6, 10 * 10
    assert json.loads(done.out)["hole_pixels"] == mask + colour + boxes + percent + polygon


def test_json_says_what_was_done_in_one_object(command: Callable[..., Any]) -> None:
    done = command("erase photo.png mask.png -o out.png --seed 3 --grow 0 --json")
    report = json.loads(done.out)
    assert report["ok"] is True
    assert (report["output"], report["width"], report["height"]) == ("out.png", WIDTH, HEIGHT)
    assert (report["engine"], report["seed"], report["hole_pixels"]) == ("patch", 3, 80)
    assert 0 < report["painting_seconds"] <= report["seconds"]


def test_the_same_seed_gives_the_same_file_and_another_does_not(command: Callable[..., Any], folder: Path) -> None:
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        assert command(f"erase photo.png mask.png -o {name}.png --seed {seed} --quiet").out == ""
    first, again, other = (pixels(folder / f"{name}.png") for name in "abc")
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_existing_file_stays_unless_forced(command: Callable[..., Any], folder: Path) -> None:
    (folder / "photo-erased.png").write_text("precious")
    refused = command("erase photo.png mask.png")
    assert refused.code == cli.BAD_INPUT
    assert "--force" in refused.err
    assert (folder / "photo-erased.png").read_text() == "precious"
    assert command("erase photo.png mask.png --force").code == 0
    assert pixels(folder / "photo-erased.png").shape == (HEIGHT, WIDTH, 3)


def test_jpeg_stays_jpeg_with_its_profile(command: Callable[..., Any], folder: Path) -> None:
    profile = bytes(16) + b"RGB " + bytes(20)
    Image.fromarray(pixels(folder / "photo.png")).save(folder / "photo.jpg", quality=91, icc_profile=profile)
    assert command("erase photo.jpg mask.png").added == ["photo-erased.jpg"]
    with Image.open(folder / "photo-erased.jpg") as after:
        assert (after.format, after.size) == ("JPEG", (WIDTH, HEIGHT))
        assert after.info["icc_profile"] == profile


def test_what_a_format_cannot_hold_is_said_and_written_anyway(command: Callable[..., Any], folder: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65535, (HEIGHT, WIDTH), np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    assert command("erase deep.png mask.png --grow 0").err == ""
    assert pixels(folder / "deep-erased.png").dtype == np.uint16
    done = command("erase deep.png mask.png -o shallow.jpg")
    assert (done.code, done.added) == (0, ["shallow.jpg"])
    assert done.err.startswith("eraser: note: JPEG holds 8 bits")
    assert len(json.loads(command("erase deep.png mask.png -o again.jpg --json").out)["warnings"]) == 1


def test_quality_can_be_chosen(command: Callable[..., Any], folder: Path) -> None:
    for quality in (20, 95):
        command(f"erase photo.png mask.png -o q{quality}.jpg --quality {quality}")
    assert (folder / "q20.jpg").stat().st_size < (folder / "q95.jpg").stat().st_size / 2


# -- extend ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "size", "corner"),
    [
        ("--left 20% --right 8", (80 + 16 + 8, 60), (16, 0)),
        ("--top 10", (80, 70), (0, 10)),
        ("--bottom 50%", (80, 90), (0, 0)),
        ("--aspect 2:1", (120, 60), (20, 0)),
        ("--size 90x64", (90, 64), (5, 2)),
    ],
)
def test_extend_paints_round_a_photo_that_stays(
    command: Callable[..., Any], folder: Path, options: str, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    done = command(f"extend photo.png {options} --json")
    assert (done.code, done.added, done.err) == (0, ["photo-extended.png"], "")
    report = json.loads(done.out)
    assert (report["width"], report["height"]) == size
    assert report["hole_pixels"] == size[0] * size[1] - WIDTH * HEIGHT
    x, y = corner
    inside = pixels(folder / "photo-extended.png")[y : y + HEIGHT, x : x + WIDTH]
    assert np.array_equal(inside, pixels(folder / "photo.png"))


# -- what is refused ---------------------------------------------------------------------------------------------------

REFUSED = [
    ("erase", "Missing argument"),
    ("erase photo.png", "--box"),
    ("erase photo.png mask.png --no-such-option", "--no-such-option"),
    ("nonsense", "nonsense"),
    ("erase absent.png mask.png", "absent.png"),
    ("erase photo.png absent.png", "absent.png"),
    ("erase text.png mask.png", "text.png"),
    ("erase cut.png mask.png", "cut.png"),
    ("erase photo.png text.png", "text.png"),
    ("erase photo.png short.png", "80x59"),
    ("erase photo.png empty.png", "4800 pixels"),
    ("erase photo.png white.png", ""),
    ("erase photo.png --box 1,2,3", "3 numbers"),
    ("erase photo.png --box 1,2,3,x", "'x'"),
    ("erase photo.png --box 70,50,20,5", "80x60"),
    ("erase photo.png --box 10,10,0,5", "0x5"),
    ("erase photo.png --box 10%,10%,120%,5%", "120%"),
    ("erase photo.png --polygon '1,1 5,5'", "three corners"),
    ("erase photo.png --polygon '1,1 5,5 7'", "'7'"),
    ("erase photo.png --colour nocolour", "nocolour"),
    ("erase photo.png --colour '#00ff00'", "4800 pixels"),
    ("erase photo.png mask.png --grow much", "much"),
    ("erase photo.png mask.png --grow -1", "-1"),
    ("erase photo.png mask.png --seed -1", "-1"),
    ("erase photo.png mask.png --engine nosuch", "nosuch"),
    ("erase photo.png mask.png -o nowhere/out.png", "nowhere"),
    ("erase photo.png mask.png -o .", ""),
    ("erase photo.png mask.png -o folder.png", "folder"),
    ("erase photo.png mask.png -o photo.png", "--force"),
    ("erase photo.png mask.png -o out.nosuch", "nosuch"),
    ("extend photo.png", "--aspect"),
    ("extend photo.png --left much", "much"),
    ("extend photo.png --left -5", "-5"),
    ("extend photo.png --left 1000%", "1000%"),
    ("extend photo.png --left 0", ""),
    ("extend photo.png --left 10 --aspect 2:1", "at once"),
    ("extend photo.png --aspect wide", "wide"),
    ("extend photo.png --size 10x10", "10x10"),
    ("extend photo.png --size large", "large"),
]


@pytest.mark.parametrize(("line", "says"), REFUSED, ids=[line for line, _ in REFUSED])
def test_bad_input_is_one_sentence_and_leaves_nothing(command: Callable[..., Any], line: str, says: str) -> None:
    done = command(line)
    assert (done.code, done.out, done.added) == (cli.BAD_INPUT, "", [])
    assert done.err.startswith("eraser: ")
    assert done.err.count("\n") == 1
    assert says in done.err


@pytest.mark.parametrize("line", [line for line, _ in REFUSED])
def test_bad_input_is_one_json_object_when_a_script_asks(command: Callable[..., Any], line: str) -> None:
    if line == "nonsense":
        pytest.skip("there is no command to give --json to")
    done = command(f"{line} --json")
    assert (done.code, done.err, done.added) == (cli.BAD_INPUT, "", [])
    report = json.loads(done.out)
    assert (report["ok"], report["exit_code"]) == (False, cli.BAD_INPUT)
    assert set(report["error"]) == {"class", "message", "hint"}


def test_what_the_engine_lacks_has_its_own_exit_code(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MissingExtra("torch is not installed", hint="pip install -e '.[diffusion]' in the clone")

    monkeypatch.setattr(eraser.Eraser, "erase", refuse)
    done = command("erase photo.png mask.png")
    assert (done.code, done.added) == (cli.ENGINE_CANNOT, [])
    assert done.err == "eraser: torch is not installed: pip install -e '.[diffusion]' in the clone\n"


def test_a_defect_is_not_hidden(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(eraser.Eraser, "erase", break_down)
    with pytest.raises(ZeroDivisionError):
        command("erase photo.png mask.png")


# -- cancelling --------------------------------------------------------------------------------------------------------


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Tests that a script started in the background ignore interrupts, as all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_the_call_at_the_next_step_and_leaves_no_file(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    hear = console.Watch.__call__

    def interrupted(watch: console.Watch, progress: eraser.Progress) -> bool:
        signal.raise_signal(signal.SIGINT)
        answers.append(hear(watch, progress))
        return answers[-1]

    monkeypatch.setattr(console.Watch, "__call__", interrupted)
    done = command("erase photo.png mask.png")
    assert (done.code, done.out, done.added) == (cli.CANCELLED, "", [])
    assert done.err == "eraser: cancelled: nothing half-done was written\n"
    assert answers == [False]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_does_not_wait_for_the_step() -> None:
    with console.Watch(quiet=True) as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.stopped
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_a_terminal_shows_a_bar_and_control_c_stops_the_process(folder: Path) -> None:
    # large enough to be still at work when the interrupt comes
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (1500, 1500, 3), np.uint8)).save(folder / "large.png", compress_level=1)
    before = set(folder.iterdir())
    ours, theirs = os.openpty()
    termios = pytest.importorskip("termios")
    termios.tcsetwinsize(ours, (24, 100))
    with subprocess.Popen(
        [sys.executable, "-m", "eraser", "erase", "large.png", "--box", "100,100,1200,1200"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = ""
        try:
            while "%" not in shown and process.poll() is None:
                shown += read_some(ours)
            process.send_signal(signal.SIGINT)
            while process.poll() is None:
                shown += read_some(ours)
            shown += read_some(ours)
        finally:
            process.kill()
            os.close(ours)
    assert process.returncode == cli.CANCELLED, shown
    assert "left" in shown
    assert "eraser: cancelled" in shown
    assert set(folder.iterdir()) == before


def read_some(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode()
    except OSError:  # the other end is closed
        return ""


# -- demo, engines, doctor ---------------------------------------------------------------------------------------------


def test_demo_erases_real_objects_and_writes_four_pictures_of_each(command: Callable[..., Any], folder: Path) -> None:
    done = command("demo --out pictures --json")
    assert (done.code, done.err) == (0, "")
    scenes = json.loads(done.out)["scenes"]
    assert len(scenes) == len(demo.SCENES)
    assert [path for path in done.added if path != "pictures"] == sorted(f for s in scenes for f in s["files"])
    for scene, report in zip(demo.SCENES, scenes, strict=True):
        before, mask, after, row = (pixels(folder / path) for path in report["files"])
        assert np.array_equal(before, np.asarray(demo.load(scene)[0]))
        hole = mask > 0
        changed = (before != after).any(axis=-1)
        assert changed[hole].mean() > 0.9
        assert changed.sum() < 1.6 * hole.sum()  # the automatic margin, and nothing far away
        assert row.shape == (before.shape[0], 3 * before.shape[1] + 2 * demo.GAP, 3)
        said = [values(read(folder / path).metadata.xmp, DIGITAL_SOURCE_TYPE) for path in report["files"]]
        assert said == [[], [], [PATCHES], [PATCHES]]


def test_demo_keeps_earlier_pictures_unless_forced(command: Callable[..., Any], folder: Path) -> None:
    (folder / "eraser-demo").mkdir()
    earlier = folder / "eraser-demo" / "rocket-after.png"
    earlier.write_text("precious")
    done = command("demo")
    assert (done.code, done.added, earlier.read_text()) == (cli.BAD_INPUT, [], "precious")


def test_engines_are_listed_for_people_and_for_scripts(command: Callable[..., Any]) -> None:
    names = [info.name for info in eraser.engines()]
    first, *shown = command("engines").out.splitlines()
    assert first.startswith("auto")
    assert first.endswith(names[0])
    assert [line.partition(":")[0] for line in shown if not line.startswith(" ")] == names
    assert [info["name"] for info in json.loads(command("engines --json").out)["engines"]] == names


@pytest.mark.parametrize("here", [True, False])
def test_an_extra_is_asked_for_where_it_is_missing_alone(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setattr("eraser.doctor.installed", lambda name: "1.0" if here else None)
    assert ("first: pip install -e '.[diffusion]' in the clone" in command("engines").out) is not here
    assert "takes a prompt" in command("engines").out


def test_weights_are_brought_listed_checked_and_removed(
    command: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"weights" * 100
    weights = Weights("toy.onnx", len(data), hashlib.sha256(data).hexdigest(), "MIT")
    info = replace(registry.ENTRIES["lama"].info, name="toy")
    monkeypatch.setitem(registry.ENTRIES, "toy", registry.Entry(info, "nowhere:nothing", files=(weights,)))
    monkeypatch.setenv("ERASER_WEIGHTS", str(folder / "weights"))
    assert "toy.onnx is not here" in command("engines").out
    assert "toy: toy.onnx, 0 MB, licence MIT; not here" in command("models list").out.replace("0.0007", "0")
    assert command("models verify toy").code == cli.ENGINE_CANNOT
    (folder / "brought").write_bytes(data[1:])
    assert command("models add toy brought").code == cli.ENGINE_CANNOT
    (folder / "brought").write_bytes(data)
    place = folder / "weights" / "toy.onnx"
    assert json.loads(command("models add toy brought --json").out) == {"ok": True, "paths": [str(place)]}
    assert f"toy.onnx: {place}" in command("engines").out
    assert json.loads(command("models list --json").out)["models"]["toy"][0]["path"] == str(place)
    done = command("models verify toy")
    assert (done.code, done.out) == (cli.OK, f"{place} is what was released\n")
    assert str(folder / "weights") in command("models where").out
    assert command("models remove toy").out == f"removed {place}\n"
    assert command("models remove toy").out == "there was nothing to remove\n"
    assert command("models fetch nobody").code == cli.BAD_INPUT


@pytest.mark.parametrize("name", ["lama", "migan"])
def test_the_limits_of_every_one_shot_eraser_s_licence_are_told(command: Callable[..., Any], name: str) -> None:
    (file,) = registry.ENTRIES[name].files
    assert "trained on Places2, whose pictures are for non-commercial" in file.limits
    assert f"limits: {file.limits}" in command(f"models info {name}").out


def test_weights_are_fetched_after_size_and_licence_were_told(
    command: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERASER_WEIGHTS", str(folder / "weights"))
    for name in OFFLINE:
        monkeypatch.delenv(name, raising=False)
    data = b"weights" * 100
    (folder / "released").write_bytes(data)
    url = (folder / "released").as_uri()  # what a server does is tested in tests/test_weights.py
    weights = Weights("toy.onnx", len(data), hashlib.sha256(data).hexdigest(), "MIT", url, "not on Sundays")
    info = replace(registry.ENTRIES["lama"].info, name="toy")
    monkeypatch.setitem(registry.ENTRIES, "toy", registry.Entry(info, "nowhere:nothing", files=(weights,)))
    done = command("models fetch toy")
    assert (done.code, (folder / "weights" / "toy.onnx").read_bytes()) == (cli.OK, data)
    assert "licence MIT (not on Sundays)" in done.err
    assert url in done.err
    assert "limits: not on Sundays" in command("models info toy").out
    monkeypatch.setenv("ERASER_OFFLINE", "1")
    command("models remove toy")
    done = command("models fetch toy --json")
    assert (done.code, json.loads(done.out)["error"]["class"]) == (cli.ENGINE_CANNOT, "FetchFailed")


def test_doctor_tries_everything_and_finds_the_processor_working(command: Callable[..., Any]) -> None:
    done = command("doctor --json")
    report = json.loads(done.out)
    findings = {(finding["group"], finding["name"]): finding for finding in report["findings"]}
    assert done.code == (cli.OK if report["ok"] else cli.ENGINE_CANNOT)
    assert findings["devices", "onnxruntime CPUExecutionProvider"]["state"] == "ok"
    assert findings["engine", "a 96x96 erase"]["state"] == "ok", findings["engine", "a 96x96 erase"]
    assert findings["folders", "compiled kernels"]["state"] == "ok"
    assert findings["packages", "numpy"]["detail"] == np.__version__


def test_a_device_that_is_listed_but_falls_back_to_the_processor_is_not_reported_as_working(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    class Fallen(onnxruntime.InferenceSession):  # type: ignore[misc]
        """What the GPU wheel does without CUDA: no exception, the CPU."""

        def __init__(self, model: bytes, options: object, providers: list[str]) -> None:
            super().__init__(model, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    providers = doctor.probe_onnxruntime()["providers"]
    assert providers["CPUExecutionProvider"] == ""
    assert "do not load" in providers["CUDAExecutionProvider"]


def test_doctor_survives_a_probe_that_crashes_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 60)
    answer = doctor.in_own_process("no such probe")
    assert "KeyError" in answer["trouble"]


def test_doctor_reports_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert doctor.cannot_write(tmp_path / "not" / "yet") == ""
    (tmp_path / "file").touch()
    assert "cannot be written" in doctor.cannot_write(tmp_path / "file")


# -- words and numbers -------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.integers(1, 5000))
def test_boxes_that_share_an_edge_in_percent_share_it_in_pixels(cuts: list[float], width: int) -> None:
    size = Size(width, 10)
    edges = [0.0, *sorted(round(cut, 4) for cut in cuts), 100.0]
    right = 0
    for left, far in pairwise(edges):
        try:
            box = marks.text_to_box(f"{left:.4f}%,0,{far - left:.4f}%,10", size)
        except OutOfRange:  # thinner than a pixel
            continue
        assert abs(box.x - right) <= 1  # two roundings of the same sum
        right = box.right
    assert right >= width - 1


@pytest.mark.parametrize("name", [None, *cli.commands.commands])
def test_every_example_in_the_help_is_understood(name: str | None) -> None:
    shown = cli.commands if name is None else cli.commands.commands[name]
    text = shown.get_help(click.Context(shown, info_name=name or "eraser"))
    check_examples(line.strip() for line in text.splitlines())


def test_every_command_line_in_the_readme_is_understood() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert check_examples(line.partition("   #")[0] for line in lines) >= 8


def check_examples(lines: Any) -> int:
    """Parse each line that is an `eraser` command line, without running it; returns how many there were."""
    count = 0
    for line in lines:
        if not line.startswith("eraser "):
            continue
        words = shlex.split(line.split("   ")[0])[1:]
        parser = cli.commands.commands[words[0]]
        if "--help" not in words:
            parser.make_context(words[0], words[1:])
        count += 1
    return count


def test_pixels_counted_as_painted_include_those_the_mask_was_widened_by(command: Callable[..., Any]) -> None:
    exact, widened = (
        json.loads(command(f"erase photo.png mask.png -o out{grow}.png --grow {grow} --json").out) for grow in (0, 3)
    )
    assert exact["hole_pixels"] == 10 * 8
    assert widened["hole_pixels"] > 14 * 12
