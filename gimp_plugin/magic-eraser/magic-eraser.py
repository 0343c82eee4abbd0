#!/usr/bin/env python3
"""Magic Eraser for GIMP 3: what is selected vanishes, on a new layer; the canvas grows, painted.

GIMP starts a fresh process for every call, with a Python of its own; the engine runs in another one, which stays.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GLib, GObject  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
import client  # noqa: E402
import pixels  # noqa: E402
import sides  # noqa: E402
import work  # noqa: E402
from troubles import sentence  # noqa: E402

ERASE, AGAIN = "plug-in-magic-eraser-erase", "plug-in-magic-eraser-again"
EXTEND, SET_UP = "plug-in-magic-eraser-extend", "plug-in-magic-eraser-set-up"
MENU = "<Image>/Filters/Magic Eraser"
MOST_SEED = 2**31 - 1  # GIMP's whole numbers
RW = GObject.ParamFlags.READWRITE


def settings_path() -> Path:
    return Path(Gimp.directory()) / "magic-eraser.json"


def last_path() -> Path:
    """What "Erase selection again" repeats; GIMP's own last values belong to one procedure only."""
    return Path(Gimp.directory()) / "magic-eraser-last.json"


class MagicEraser(Gimp.PlugIn):
    # -- what there is -------------------------------------------------------------------------------------------------

    def do_set_i18n(self, name: str) -> bool:
        return False

    def do_query_procedures(self) -> list[str]:
        return [ERASE, AGAIN, EXTEND, SET_UP]

    def do_create_procedure(self, name: str) -> Any:
        return {ERASE: self.erase, AGAIN: self.again, EXTEND: self.extend, SET_UP: self.set_up}[name](name)

    def erase(self, name: str) -> Any:
        procedure = _for_image(self, name, run_erase, "_Erase selection...")
        procedure.set_documentation(
            "Make what is selected vanish",
            "Fills the selection from its surroundings, on a new layer just above. The selected layer is read and not "
            "written. Soft selections give soft edges. One undo step.",
            name,
        )
        _engine(procedure)
        _quality(procedure)
        procedure.add_boolean_argument(
            "grow-auto", "_Widen the hole by itself",
            "Widen the hole by two percent of its size, so that the object's soft rim goes as well", True, RW,
        )  # fmt: skip
        procedure.add_int_argument(
            "grow", "Widen _by", "Pixels to widen the hole by when it is not widened by itself; 0 takes the selection",
            0, 512, 0, RW,
        )  # fmt: skip
        _seed(procedure)
        procedure.add_boolean_argument(
            "sample-merged", "Sample _merged",
            "Continue all that is visible, on a layer on top, instead of the selected layer alone", False, RW,
        )  # fmt: skip
        return _answers(procedure)

    def again(self, name: str) -> Any:
        procedure = _for_image(self, name, run_again, "Erase selection _again")
        procedure.set_documentation(
            "Make what is selected vanish, asking nothing",
            "As the erase procedure, with the values that its dialog was last closed with.",
            name,
        )
        return _answers(procedure)

    def extend(self, name: str) -> Any:
        procedure = _for_image(self, name, run_extend, "E_xtend canvas...")
        procedure.set_documentation(
            "Enlarge the canvas and continue the picture there",
            "Continues all that is visible beyond its frame, on a new layer on top. What was there is not written. "
            "One undo step.",
            name,
        )
        shape = Gimp.Choice.new()
        shape.add("sides", 0, "the sides below", "Grow each side by what is given")
        for number, ratio in enumerate(sides.SHAPES, 1):
            shape.add(ratio, number, ratio, "Grow to this shape, the picture in the middle")
        procedure.add_choice_argument(
            "shape", "Grow _to", "By the four sides, or to a shape with the picture in the middle",
            shape, "sides", RW,
        )  # fmt: skip
        for side in ("left", "right", "top", "bottom"):
            procedure.add_int_argument(
                side, f"_{side.capitalize()}", f"How far the canvas grows at its {side} side", 0, sides.MOST_SIDE, 0, RW
            )
        unit = Gimp.Choice.new()
        unit.add("percent", 0, "percent of the canvas", "Of its width for left and right, else of its height")
        unit.add("pixels", 1, "pixels", "")
        procedure.add_choice_argument("unit", "_Unit", "What the four sides are given in", unit, "percent", RW)
        _engine(procedure)
        _quality(procedure)
        _seed(procedure)
        return _answers(procedure)

    def set_up(self, name: str) -> Any:
        procedure = Gimp.Procedure.new(self, name, Gimp.PDBProcType.PLUGIN, run_set_up, None)
        procedure.set_menu_label("_Set up...")
        procedure.add_menu_path(MENU)
        procedure.set_documentation(
            "Choose the Python that holds the engine, and test it",
            "Without a dialog: what is given is tested and kept; with nothing given, the present choice is tested.",
            name,
        )
        _attribute(procedure)
        procedure.add_enum_argument(
            "run-mode", "Run mode", "The run mode", Gimp.RunMode, Gimp.RunMode.NONINTERACTIVE, RW
        )
        procedure.add_string_argument(
            "python", "_Python", "Path of the Python that magic-eraser is installed in", "", RW
        )
        procedure.add_string_argument(
            "door", "_Door file", "Instead of a Python: the file that an engine started elsewhere has written", "", RW
        )
        procedure.add_string_return_value("report", "Report", "What was found, one finding per line", "", RW)
        return procedure


def _for_image(plug_in: Gimp.PlugIn, name: str, run: Any, label: str) -> Any:
    procedure = Gimp.ImageProcedure.new(plug_in, name, Gimp.PDBProcType.PLUGIN, run, None)
    procedure.set_image_types("*")
    # with any choice of layers: a sentence teaches more than a grey menu entry
    mask = Gimp.ProcedureSensitivityMask
    procedure.set_sensitivity_mask(mask.DRAWABLE | mask.DRAWABLES | mask.NO_DRAWABLES)
    procedure.set_menu_label(label)
    procedure.add_menu_path(MENU)
    _attribute(procedure)
    return procedure


def _attribute(procedure: Any) -> None:
    procedure.set_attribution("The magic-eraser authors", "Apache-2.0", "2026")


def _engine(procedure: Any) -> None:
    procedure.add_string_argument("engine", "_Engine", "Which engine paints, or auto", "auto", RW)


def _quality(procedure: Any) -> None:
    quality = Gimp.Choice.new()
    often = {1: "painted once", 3: "painted three times, the best is kept", 6: "painted six times, the best is kept"}
    for name, tries in work.QUALITIES.items():
        quality.add(name, tries, f"{name.capitalize()}: {often[tries]}", "Each time takes as long as the first")
    procedure.add_choice_argument(
        "quality", "_Quality", "How often to paint, with different seeds; what fits its surroundings best is kept",
        quality, "quick", RW,
    )  # fmt: skip


def _seed(procedure: Any) -> None:
    procedure.add_int_argument("seed", "See_d", "Another number, another result", 0, MOST_SEED, 0, RW)


def _answers(procedure: Any) -> Any:
    procedure.add_layer_return_value("layer", "Layer", "The new layer", True, RW)
    procedure.add_string_return_value("engine", "Engine", "The engine that painted", "", RW)
    procedure.add_double_return_value("seconds", "Seconds", "That the engine itself took", 0, 1e9, 0, RW)
    return procedure


# -- running -----------------------------------------------------------------------------------------------------------


def run_erase(procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, data: Any) -> Any:
    def act() -> Any:
        work.the_layer(image, drawables)  # before anything is asked
        settings = client.load_settings(settings_path())
        reach = None
        if run_mode == Gimp.RunMode.INTERACTIVE:
            import dialog

            reach = dialog.ask_erase(procedure, config, settings)
            if reach is None:
                return None
        asked = _values(work.Erasing, config)
        if run_mode == Gimp.RunMode.INTERACTIVE:
            _remember(asked)
        return work.erase(image, drawables, asked, reach or _reach(settings))

    return _answer(procedure, act)


def run_again(procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, data: Any) -> Any:
    def act() -> Any:
        work.the_layer(image, drawables)
        return work.erase(image, drawables, _remembered(), _reach(client.load_settings(settings_path())))

    return _answer(procedure, act)


def run_extend(procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, data: Any) -> Any:
    def act() -> Any:
        work.check_extendable(image)
        settings = client.load_settings(settings_path())
        reach = None
        if run_mode == Gimp.RunMode.INTERACTIVE:
            import dialog

            reach = dialog.ask_extend(procedure, config, settings, (image.get_width(), image.get_height()))
            if reach is None:
                return None
        return work.extend(image, _values(work.Extending, config), reach or _reach(settings))

    return _answer(procedure, act)


def run_set_up(procedure: Any, config: Any, data: Any) -> Any:
    import choose

    def act() -> list[Any] | None:
        if config.get_property("run-mode") == Gimp.RunMode.INTERACTIVE:
            import dialog

            dialog.set_up(settings_path())
            return [""]
        chosen = choose.chosen(settings_path(), config.get_property("python"), config.get_property("door"))
        findings = choose.examine(chosen)
        if config.get_property("python") or config.get_property("door"):
            choose.keep(settings_path(), chosen)
        return ["\n".join(findings)]

    return _answer(procedure, act)


def _reach(settings: client.Settings) -> work.Reach:
    return lambda tell: client.connect(settings, tell)


def _values(kind: type, config: Any) -> Any:
    """A frozen dataclass from the config's properties of the same names."""
    names = [item.name for item in dataclasses.fields(kind)]
    return kind(**{name: config.get_property(name.replace("_", "-")) for name in names})


def _remember(asked: work.Erasing) -> None:
    path = last_path()
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(dataclasses.asdict(asked)), encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)  # erasing matters more than remembering


def _remembered() -> work.Erasing:
    """The values that the dialog was last closed with; the defaults where there are none."""
    try:
        stored = json.loads(last_path().read_text(encoding="utf-8"))
        defaults = dataclasses.asdict(work.Erasing())
        kept = {name: stored[name] for name, value in defaults.items() if type(stored.get(name)) is type(value)}
        return work.Erasing(**kept if kept.get("quality", "quick") in work.QUALITIES else {})
    except (OSError, ValueError, AttributeError):
        return work.Erasing()


def _answer(procedure: Any, act: Any) -> Any:
    """Run it, and say what became of it as GIMP wants to hear it: values, a cancel, or one sentence."""
    try:
        done = act()
    except client.Cancelled:
        done = None
    except (work.Refusal, pixels.NotWritten, client.ClientError) as trouble:
        return _failed(procedure, sentence(trouble))
    except Exception as defect:
        traceback.print_exc()
        what = traceback.format_exception_only(type(defect), defect)[-1].strip()
        return _failed(procedure, f"Magic Eraser has a defect, please report it ({what}); the picture is as it was.")
    finally:
        Gimp.progress_end()
    if done is None:
        return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)
    answer = procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)
    values = done if isinstance(done, list) else [done.layer, done.engine, done.seconds]
    kinds = {1: [GObject.TYPE_STRING], 3: [Gimp.Layer, GObject.TYPE_STRING, GObject.TYPE_DOUBLE]}[len(values)]
    for number, (kind, value) in enumerate(zip(kinds, values, strict=True), 1):
        answer.remove(number)
        answer.insert(number, GObject.Value(kind, value))
    return answer


def _failed(procedure: Any, message: str) -> Any:
    error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), message, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)


Gimp.main(MagicEraser.__gtype__, sys.argv)
