"""The dialogs. Imported in interactive calls only, because GimpUi needs a display."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
import choose  # noqa: E402
import client  # noqa: E402
import sides  # noqa: E402
from gi.repository import GimpUi, GLib, GObject, Gtk  # noqa: E402
from troubles import sentence  # noqa: E402


class Warm:
    """The engine, found or started while the dialog is open: it is ready by the time OK is pressed."""

    def __init__(self, settings: client.Settings) -> None:
        self._settings = settings
        self._engine: client.Engine | None = None
        self._trouble: Exception | None = None
        self.engines: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._connect, daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        try:
            self._engine = client.connect(self._settings)
            self.engines = self._engine.engines()
        except Exception as trouble:  # told in the thread that asks
            self._trouble = trouble

    @property
    def ready(self) -> bool:
        return not self._thread.is_alive()

    def reach(self, tell: client.OnProgress) -> client.Engine:
        while not self.ready:
            if tell is not None:
                tell(client.Progress(0.0, "starting the engine"))
            self._thread.join(0.1)
        # it may have ended since: an open dialog can be forgotten for an hour
        return client.connect(self._settings, tell)


def ask_erase(procedure: Any, config: Any, settings: client.Settings) -> Callable[..., client.Engine] | None:
    """The dialog; None when it was cancelled, else how to reach the engine. The values are in the config."""
    GimpUi.init("magic-eraser")
    warm = Warm(settings)
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Erase selection")
    dialog.set_ok_label("_Erase")
    _engine_row(dialog, config, warm)
    dialog.fill(["quality", "grow-auto", "grow", "seed", "sample-merged"])
    dialog.set_sensitive("grow", True, config, "grow-auto", True)
    return _run(dialog, warm)


def ask_extend(
    procedure: Any, config: Any, settings: client.Settings, size: tuple[int, int]
) -> Callable[..., client.Engine] | None:
    """The dialog for extending a canvas of that size; as `ask_erase`."""
    GimpUi.init("magic-eraser")
    warm = Warm(settings)
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Extend canvas")
    dialog.set_ok_label("_Extend")
    _engine_row(dialog, config, warm)
    dialog.fill(["shape", "left", "right", "top", "bottom", "unit", "quality", "seed"])
    _follow_sides(dialog, config, size)
    return _run(dialog, warm)


def _engine_row(dialog: Any, config: Any, warm: Warm) -> None:
    """A list of the engines, completed as soon as the engine process has told which there are."""
    row = Gtk.Box(orientation=Gtk.Orientation.HORIZONTAL, spacing=6)
    label = Gtk.Label(label="E_ngine", use_underline=True, xalign=0)
    choice = Gtk.ComboBoxText()
    label.set_mnemonic_widget(choice)
    row.pack_start(label, False, False, 0)
    row.pack_start(choice, True, True, 0)
    dialog.get_content_area().pack_start(row, False, False, 0)
    row.show_all()
    # as wide as the labels of GIMP's own rows
    widths = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
    for one in (label, dialog.get_widget("seed", GObject.TYPE_NONE).get_label()):
        widths.add_widget(one)

    listed = []

    def add(name: str, text: str) -> None:
        if name not in listed:
            listed.append(name)
            choice.append(name, text)

    add("auto", "automatic")
    config.connect("notify::engine", lambda *_: choice.set_active_id(config.get_property("engine")))

    def changed(*_: Any) -> None:
        name = choice.get_active_id()
        if name and name != config.get_property("engine"):
            config.set_property("engine", name)

    def complete() -> bool:
        if not warm.ready:
            return True  # ask again
        for engine in warm.engines:
            add(engine["name"], engine["name"])
        choice.set_tooltip_text("\n".join(f"{e['name']}: {e['summary']}" for e in warm.engines) or None)
        wanted = config.get_property("engine")
        add(wanted, wanted)  # of a last time; the engine process will say why it cannot have it
        choice.set_active_id(wanted)
        return False

    choice.set_active_id(config.get_property("engine"))
    choice.connect("changed", changed)
    GLib.timeout_add(100, complete)


def _follow_sides(dialog: Any, config: Any, size: tuple[int, int]) -> None:
    """Say how large the canvas becomes; the four sides can be given only where the shape leaves them open."""
    becomes = Gtk.Label(xalign=0)
    dialog.get_content_area().pack_start(becomes, False, False, 6)

    def follow(*_: Any) -> None:
        shape = config.get_property("shape")
        for name in ("left", "right", "top", "bottom", "unit"):
            dialog.set_sensitive(name, shape == "sides", None, None, False)
        try:
            more = sides.margins(
                size,
                {name: config.get_property(name) for name in ("left", "right", "top", "bottom")},
                percent=config.get_property("unit") == "percent",
                shape="" if shape == "sides" else shape,
            )
        except sides.TooFar as trouble:
            becomes.set_text(str(trouble).partition(":")[0])
        else:
            width, height = size[0] + more["left"] + more["right"], size[1] + more["top"] + more["bottom"]
            becomes.set_text(f"From {size[0]} x {size[1]} to {width} x {height} pixels")

    for name in ("shape", "left", "right", "top", "bottom", "unit"):
        config.connect(f"notify::{name}", follow)
    follow()


def _run(dialog: Any, warm: Warm) -> Callable[..., client.Engine] | None:
    dialog.show_all()
    pressed = dialog.run()
    dialog.destroy()
    return warm.reach if pressed else None


# -- set up ------------------------------------------------------------------------------------------------------------


def set_up(path: Path) -> None:
    """Find or choose the engine's Python, try it, keep it. Returns when the dialog is closed."""
    GimpUi.init("magic-eraser")
    try:
        settings = client.load_settings(path)
    except client.NoInterpreter:
        settings = client.Settings()
    _SetUp(path, settings).run()


class _SetUp:
    def __init__(self, path: Path, settings: client.Settings) -> None:
        self._path = path
        self._dialog = GimpUi.Dialog(title="Set up Magic Eraser", role="magic-eraser-set-up")
        self._dialog.add_button("_Close", Gtk.ResponseType.CLOSE)
        self._keep = self._dialog.add_button("_Keep", Gtk.ResponseType.OK)
        self._dialog.set_default_response(Gtk.ResponseType.OK)

        grid = Gtk.Grid(row_spacing=6, column_spacing=12, border_width=12)
        self._python = self._row(grid, 0, "_Python of the engine", settings.python)
        self._door = self._row(grid, 1, "or the _door file of one started elsewhere", settings.door)
        self._python.set_width_chars(48)
        buttons = Gtk.Box(spacing=6)
        self._buttons = []
        for label, action in (("_Find", self._find), ("_Browse...", self._browse), ("_Test", self._test)):
            button = Gtk.Button.new_with_mnemonic(label)
            button.connect("clicked", action)
            buttons.pack_start(button, False, False, 0)
            self._buttons.append(button)
        self._spinner = Gtk.Spinner()
        buttons.pack_start(self._spinner, False, False, 6)
        grid.attach(buttons, 1, 2, 1, 1)
        self._said = Gtk.Label(xalign=0, yalign=0, wrap=True, selectable=True, max_width_chars=72, width_chars=72)
        self._said.set_size_request(-1, 150)
        grid.attach(self._said, 0, 3, 2, 1)
        self._dialog.get_content_area().pack_start(grid, True, True, 0)
        self._dialog.show_all()
        if not (settings.python or settings.door):
            self._find()

    def _row(self, grid: Any, number: int, text: str, value: str) -> Any:
        label = Gtk.Label(label=text, use_underline=True, xalign=0)
        entry = Gtk.Entry(text=value, hexpand=True, activates_default=True)
        label.set_mnemonic_widget(entry)
        grid.attach(label, 0, number, 1, 1)
        grid.attach(entry, 1, number, 1, 1)
        return entry

    def run(self) -> None:
        while self._dialog.run() == Gtk.ResponseType.OK:
            try:
                choose.keep(self._path, self._chosen())
            except client.ClientError as trouble:
                self._say(sentence(trouble))
            else:
                break
        self._dialog.destroy()

    def _chosen(self) -> client.Settings:
        python, door = self._python.get_text().strip(), self._door.get_text().strip()
        if not (python or door):
            raise client.NoInterpreter("no Python is chosen", "press Find, or Browse")
        return choose.chosen(self._path, "" if door else python, door)

    def _find(self, *_: Any) -> None:
        def found(answer: Any) -> None:
            if answer is None:
                self._say(
                    "No Python with magic-eraser was found. Install it as its README says, or choose its Python with "
                    "Browse."
                )
            else:
                self._python.set_text(str(answer[0]))
                self._say(f"magic-eraser {answer[1]} in {answer[0]}")

        self._work("Looking where programs like this one are installed ...", choose.search, found)

    def _browse(self, *_: Any) -> None:
        chooser = Gtk.FileChooserDialog(
            title="The Python that magic-eraser is installed in",
            transient_for=self._dialog,
            action=Gtk.FileChooserAction.OPEN,
        )
        chooser.add_buttons("_Cancel", Gtk.ResponseType.CANCEL, "_Choose", Gtk.ResponseType.OK)
        if chooser.run() == Gtk.ResponseType.OK:
            self._python.set_text(chooser.get_filename() or "")
        chooser.destroy()

    def _test(self, *_: Any) -> None:
        try:
            chosen = self._chosen()
        except client.ClientError as trouble:
            self._say(sentence(trouble))
            return
        self._work(
            "Testing: versions, devices, and one small fill ...",
            lambda: choose.examine(chosen),
            lambda findings: self._say("\n".join(findings)),
        )

    def _say(self, text: str) -> None:
        self._said.set_text(text)

    def _work(self, saying: str, what: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run it beside the dialog, which stays alive."""
        self._say(saying)
        self._spinner.start()
        for button in self._buttons:
            button.set_sensitive(False)

        def act() -> None:
            try:
                answer, trouble = what(), None
            except Exception as error:
                answer, trouble = None, error
            GLib.idle_add(done, answer, trouble)

        def done(answer: Any, trouble: Exception | None) -> bool:
            self._spinner.stop()
            for button in self._buttons:
                button.set_sensitive(True)
            if trouble is not None:
                self._say(sentence(trouble))
            else:
                then(answer)
            return False

        threading.Thread(target=act, daemon=True).start()
