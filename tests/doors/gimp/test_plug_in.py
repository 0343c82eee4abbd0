"""The plug-in's own decisions, with a GIMP that is not one and an engine process that is."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import eraser
from eraser import gimp
from eraser.margins import margins

HERE = Path(__file__).parent
TOY = HERE.parent / "toy_serve.py"
OWN = ("client", "settings", "talk", "troubles", "wire", "door", "pixels", "sides", "work", "choose", "dialog")
OPTIONS = {"engine": "auto", "quality": "quick", "grow-auto": False, "grow": 0, "seed": 4, "sample-merged": False}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem.replace("-", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fake() -> Iterator[ModuleType]:
    """A fresh GIMP that is not one, in place of the real one's modules."""
    kept = {name: sys.modules.pop(name, None) for name in (*OWN, "gi", "gi.repository", "magic_eraser", "fake_gi")}
    module = load(HERE / "fake_gi.py")
    module.install()
    try:
        yield module
    finally:
        for name, value in kept.items():
            sys.modules.pop(name, None)
            if value is not None:
                sys.modules[name] = value


@pytest.fixture
def profile(fake: ModuleType, tmp_path: Path) -> gimp.Profile:
    profile = gimp.Profile(tmp_path / "gimp", "chosen")
    gimp.install(profile)
    fake.Gimp.folder = str(profile.path)
    return profile


@pytest.fixture
def plug_in(profile: gimp.Profile) -> Iterator[ModuleType]:
    """magic-eraser.py from the folder that the installer has made."""
    before = list(sys.path)
    yield load(profile.plug_in / "magic-eraser.py")
    sys.path[:] = before


@pytest.fixture
def toy(profile: gimp.Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """toy("--steps", "3"): from now on the plug-in starts this engine."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("MAGIC_ERASER_DOOR", raising=False)

    def make(*options: str) -> None:
        settings = {"python": sys.executable, "arguments": [str(TOY), *options], "version": "9.9"}
        profile.settings.write_text(json.dumps(settings), encoding="utf-8")

    make("--step-seconds", "0.15")  # or a step may pass unheard
    yield make
    if (door := door_of(tmp_path)) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(door["pid"], signal.SIGKILL)


def door_of(folder: Path) -> Any:
    path = folder / "magic-eraser" / "door.json"
    return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def image(fake: ModuleType) -> Any:
    pixels = np.random.default_rng(5).integers(0, 256, (60, 80, 3), np.uint8)
    image = fake.Image(pixels)
    image.selection[20:34, 30:52] = 255
    return image


def run(plug_in: ModuleType, fake: ModuleType, image: Any, *, mode: str = "NONINTERACTIVE", **changes: Any) -> Any:
    """What the erase procedure answers."""
    config = fake.Config(OPTIONS | {name.replace("_", "-"): value for name, value in changes.items()})
    drawables = image.get_selected_layers()
    return plug_in.run_erase(fake.AnyProcedure(), fake.Gimp.RunMode[mode], image, drawables, config, None)


def refused(answer: Any, pattern: str) -> None:
    assert answer[0].name == "EXECUTION_ERROR"
    assert "\n" not in answer.error
    assert re.search(pattern, answer.error), answer.error


def untouched(image: Any, layers: list[Any]) -> None:
    assert image.layers == layers
    assert image.chosen == layers
    assert [what for what, _ in image.events if what != "delete"] == []


def test_one_layer_one_undo_step_after_the_engine_has_answered(plug_in, fake, toy, image):
    layer, before = image.layers[0], image.layers[0].pixels.copy()
    seen = []
    fake.Gimp.on_progress = lambda what: seen.append((what, list(image.events)))
    answer = run(plug_in, fake, image)
    assert answer[0].name == "SUCCESS", answer.error
    new = answer[1]
    assert answer[2] == "toy"
    assert image.layers == [new, layer]
    assert image.chosen == [layer]
    assert new.name == "Erased from photo"
    assert new.offset == (30, 20)
    assert new.pixels.shape == (14, 22, 4)
    assert (new.pixels[:, :, 3] == 255).all()
    assert (layer.pixels == before).all()
    # while the engine worked, nothing had been done
    assert seen[0][0] == "Erase selection"
    assert any(isinstance(what, float) for what, _ in seen)
    assert all(events == [] for _, events in seen)
    assert [event for event in image.events if event[0] in ("undo", "insert")] == [
        ("undo", "start"),
        ("insert", "Erased from photo"),
        ("undo", "end"),
    ]
    # and the layer was whole before the history knew of it
    assert image.events[0] == ("write", "Erased from photo")


def test_the_fill_is_the_librarys(plug_in, fake, toy, image, monkeypatch):
    original = image.layers[0].pixels.copy()
    answer = run(plug_in, fake, image, engine="patch", seed=9, grow=2)
    assert answer[0].name == "SUCCESS", answer.error
    expected = eraser.erase(original, image.selection, engine="patch", seed=9, grow=2)
    new = answer[1]
    x, y = new.offset
    height, width = new.pixels.shape[:2]
    hole = new.pixels[:, :, 3] > 0
    assert (new.pixels[:, :, :3][hole] == expected[y : y + height, x : x + width][hole]).all()


@pytest.mark.parametrize(("quality", "tries"), [("quick", 1), ("good", 3), ("best", 6)])
def test_quality_is_how_often_it_is_painted(quality, tries, plug_in, fake, toy, image):
    original = image.layers[0].pixels.copy()
    answer = run(plug_in, fake, image, engine="patch", quality=quality)
    assert answer[0].name == "SUCCESS", answer.error
    expected = eraser.erase(original, image.selection, engine="patch", seed=OPTIONS["seed"], tries=tries, grow=0)
    assert (answer[1].pixels[:, :, :3] == expected[20:34, 30:52]).all()


def test_the_qualities_of_that_test_paint_different_things(image):
    """Or it would show nothing."""
    painted = [
        eraser.erase(image.layers[0].pixels, image.selection, seed=OPTIONS["seed"], tries=n, grow=0) for n in (1, 3, 6)
    ]
    assert not (painted[0] == painted[1]).all()
    assert not (painted[1] == painted[2]).all()


@pytest.mark.parametrize("what", ["image", "layer"])
def test_what_is_closed_meanwhile_gets_a_sentence_and_no_call(what, plug_in, fake, toy, image):
    layers = image.get_layers()

    def close(_: Any) -> None:
        if what == "image":
            image.alive = False
        else:
            layers[0].image = None

    fake.Gimp.on_progress = lambda told: close(told) if isinstance(told, float) else None
    refused(
        run(plug_in, fake, image), f"^The {what} was (closed|removed) while it was worked on: nothing was changed.$"
    )
    untouched(image, layers)


def test_a_layer_that_was_moved_meanwhile_keeps_its_filling(plug_in, fake, toy, image):
    def move(told: Any) -> None:
        if isinstance(told, float):
            image.layers[-1].offset = (7, -3)

    fake.Gimp.on_progress = move
    assert run(plug_in, fake, image)[1].offset == (37, 17)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (("--crash-at", "1"), "^The engine stopped while it was working.*: try again.*\\.$"),
        (("--fail-at", "1"), "ZeroDivisionError.*\\.$"),
        (("--protocol", "99"), "^This plug-in speaks protocol .*: run 'eraser gimp install'.*\\.$"),
    ],
)
def test_an_engine_that_breaks_is_told_in_a_sentence(options, pattern, plug_in, fake, toy, image):
    toy(*options)
    layers = image.get_layers()
    refused(run(plug_in, fake, image), pattern)
    untouched(image, layers)


def test_a_python_without_the_engine_is_told_in_a_sentence(plug_in, fake, profile, toy, image):
    layers = image.get_layers()
    profile.settings.write_text(json.dumps({"python": "/no/such/python"}), encoding="utf-8")
    refused(run(plug_in, fake, image), "^The engine's Python /no/such/python cannot be run .*Set up.*\\.$")
    profile.settings.write_text("{ damaged", encoding="utf-8")
    refused(run(plug_in, fake, image), "^The settings in .* cannot be read .*Set up.*\\.$")
    untouched(image, layers)


def test_a_layer_that_gimp_cannot_make_or_take_leaves_no_open_history(plug_in, fake, toy, image):
    layers = image.get_layers()
    fake.Gimp.Layer.room = False
    refused(run(plug_in, fake, image), "^GIMP could not make a layer of 22 x 14 pixels: .*\\.$")
    untouched(image, layers)
    fake.Gimp.Layer.room = True
    image.takes_layers = False
    refused(run(plug_in, fake, image), "^GIMP did not take the new layer: .*\\.$")
    assert image.layers == layers
    assert [event for event in image.events if event[0] == "undo"] == [("undo", "start"), ("undo", "end")]


def test_indexed_images_are_converted_inside_the_undo_step(plug_in, fake, toy, image):
    image.base = fake.Gimp.ImageBaseType.INDEXED
    assert run(plug_in, fake, image)[0].name == "SUCCESS"
    kinds = [what for what, _ in image.events]
    assert kinds == ["undo", "convert", "write", "insert", "undo"]


def test_a_defect_is_one_sentence_too(plug_in, fake, toy, image, monkeypatch, capsys):
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(plug_in.work, "erase", broken)
    refused(run(plug_in, fake, image), "^Magic Eraser has a defect, please report it .*a defect.*\\.$")
    assert "Traceback" in capsys.readouterr().err


def test_nothing_is_asked_before_the_image_is_fit(plug_in, fake, toy, image, monkeypatch):
    asked = []
    monkeypatch.setitem(sys.modules, "dialog", SimpleNamespace(ask_erase=lambda *_: asked.append(1)))
    image.selection[:] = 0
    refused(run(plug_in, fake, image, mode="INTERACTIVE"), "^Nothing is selected")
    assert asked == []


def test_a_cancelled_dialog_is_no_error_and_starts_nothing(plug_in, fake, toy, image, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dialog", SimpleNamespace(ask_erase=lambda *_: None))
    assert run(plug_in, fake, image, mode="INTERACTIVE")[0].name == "CANCEL"
    untouched(image, image.get_layers())
    assert door_of(tmp_path) is None


def test_again_repeats_the_dialogs_values(plug_in, fake, toy, image, monkeypatch):
    reach = plug_in._reach(plug_in.client.load_settings(plug_in.settings_path()))
    monkeypatch.setitem(sys.modules, "dialog", SimpleNamespace(ask_erase=lambda *_: reach))
    first = run(plug_in, fake, image, mode="INTERACTIVE", seed=11, grow=3)
    assert first[0].name == "SUCCESS", first.error
    image.layers.remove(first[1])
    drawables = image.get_selected_layers()
    again = plug_in.run_again(fake.AnyProcedure(), fake.Gimp.RunMode.NONINTERACTIVE, image, drawables, None, None)
    assert again[0].name == "SUCCESS", again.error
    assert (again[1].pixels == first[1].pixels).all()
    # a call with values of its own changes nothing of what is repeated
    image.layers.remove(again[1])
    run(plug_in, fake, image, seed=12)
    assert json.loads(plug_in.last_path().read_text())["seed"] == 11


def test_values_that_are_none_any_more_are_not_repeated(plug_in, fake, toy):
    plug_in.last_path().write_text(json.dumps({"seed": 11, "quality": "divine"}))
    assert plug_in._remembered() == plug_in.work.Erasing()
    plug_in.last_path().write_text(json.dumps({"seed": 11}))  # of a version that had no qualities
    assert plug_in._remembered() == plug_in.work.Erasing(seed=11)
    plug_in.last_path().write_text(json.dumps({"seed": 11, "quality": "best"}))
    assert plug_in._remembered() == plug_in.work.Erasing(seed=11, quality="best")


def test_what_kills_the_plug_in_stops_the_engine_within_a_second(plug_in, fake, toy, profile, tmp_path):
    """GIMP's Cancel is a SIGKILL: no line of the plug-in runs any more."""
    toy("--steps", "400", "--step-seconds", "0.1")
    script = tmp_path / "child.py"
    script.write_text(
        f"""
import runpy, sys
sys.path.insert(0, {str(HERE)!r})
import fake_gi, numpy
fake_gi.install()
fake_gi.Gimp.folder = {str(profile.path)!r}
fake_gi.Gimp.on_progress = lambda told: print(told, flush=True)
plug_in = runpy.run_path({str(profile.plug_in / "magic-eraser.py")!r})
image = fake_gi.Image(numpy.full((40, 40, 3), 90, numpy.uint8))
image.selection[10:20, 10:20] = 255
plug_in["run_erase"](
    fake_gi.AnyProcedure(), fake_gi.Gimp.RunMode.NONINTERACTIVE, image, image.chosen, fake_gi.Config({OPTIONS!r}), None
)
"""
    )
    child = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        for line in child.stdout:
            if re.match(r"0\.\d", line):
                break
        engine = plug_in.client.find(plug_in.client.load_settings(plug_in.settings_path()))
        assert engine.health()["running"] == 1
        child.send_signal(signal.SIGKILL)
        start = time.monotonic()
        while engine.health()["running"]:
            assert time.monotonic() - start < 20
            time.sleep(0.02)
    finally:
        child.kill()
        child.communicate()


# -- the canvas's sides ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (640, 427), (427, 640), (333, 1000), (4000, 3000)])
def test_sides_are_the_librarys(plug_in, size):
    sides = plug_in.sides
    whole = eraser.Size(*size)
    for shape in sides.SHAPES:
        expected = margins(whole, aspect=shape)
        if any(expected.values()):
            assert sides.margins(size, {}, shape=shape) == expected
        else:
            with pytest.raises(sides.TooFar, match="has the shape"):
                sides.margins(size, {}, shape=shape)
    for amounts in ({"left": 20, "top": 7, "right": 0, "bottom": 33}, {"left": 0, "top": 50, "right": 13, "bottom": 0}):
        assert sides.margins(size, amounts) == margins(whole, **amounts)
        percent = {side: f"{amount}%" for side, amount in amounts.items()}
        expected = margins(whole, **percent)
        if any(expected.values()):
            assert sides.margins(size, amounts, percent=True) == expected


def test_every_path_of_the_procedures_is_described(plug_in):
    plug = plug_in.MagicEraser()
    assert plug.do_query_procedures() == list(gimp.PROCEDURES)
    for name in plug.do_query_procedures():
        assert plug.do_create_procedure(name) is not None


# -- finding a Python --------------------------------------------------------------------------------------------------


def test_the_python_of_a_tool_environment_is_found(plug_in, tmp_path, monkeypatch):
    choose = importlib.import_module("choose")
    home = tmp_path / "home"
    python = home / ".local" / "share" / "uv" / "tools" / "magic-eraser" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 7.8.9\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert list(choose.candidates(home)) == [python]
    assert choose.search(home) == (python, "7.8.9")


def test_the_python_behind_the_eraser_command_is_found(plug_in, tmp_path, monkeypatch):
    choose = importlib.import_module("choose")
    python = tmp_path / "somewhere" / "python3.12"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 7.8.9\n")
    python.chmod(0o755)
    command = tmp_path / "bin" / "eraser"
    command.parent.mkdir()
    command.write_text(f"#!{python}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert next(iter(choose.candidates(tmp_path))) == python
    assert choose.search(tmp_path) == (python, "7.8.9")


def test_examining_says_versions_and_what_works(plug_in, tmp_path):
    choose, client = importlib.import_module("choose"), plug_in.client
    doctor = {
        "findings": [
            {"group": "machine", "name": "python", "state": "ok", "detail": "3.12"},
            {"group": "packages", "name": "numpy", "state": "ok", "detail": "2"},
            {"group": "devices", "name": "torch cuda:0", "state": "ok", "detail": "works"},
            {"group": "folders", "name": "cache", "state": "trouble", "detail": "is full"},
        ]
    }
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncase \"$*\" in *doctor*) echo '{json.dumps(doctor)}';; *) echo 7.8.9;; esac\n")
    python.chmod(0o755)
    assert choose.examine(client.Settings(python=str(python))) == [
        f"magic-eraser 7.8.9 in {python}",
        "python: 3.12",
        "torch cuda:0: works",
        "cache: is full",
    ]
    with pytest.raises(client.NoInterpreter, match="cannot be run"):
        choose.examine(client.Settings(python=str(tmp_path / "missing")))
