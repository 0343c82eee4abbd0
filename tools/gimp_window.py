"""GIMP's own window on a virtual screen: photograph, selection, key, dialog, result, one undo, cancel. Takes pictures.

    python tools/gimp_window.py pictures/             with the Python that runs this, GIMP 3.0
    python tools/gimp_window.py pictures/ forky       GIMP 3.2

Everything happens in the sandbox of tools/gimp_root.py, the screen included; the engine runs outside of it. Every step
waits for what it should bring about, and the script ends with 1 and a picture of the screen when that does not come.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
SCREEN = (1280, 880)
TITLE = 24  # pixels of the window manager's title bar
KEYS = {"erase": "e", "again": "a", "extend": "x", "set-up": "u"}  # with Control and Alt
SLOW = ("--steps", "120", "--step-seconds", "0.25")  # long enough to be cancelled


# -- outside -----------------------------------------------------------------------------------------------------------


def outside(pictures: Path, suite: str) -> int:
    """Build, install, start the engines, and run the inside part in the sandbox."""
    sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
    import gimp_root

    from eraser import gimp

    try:
        root = gimp_root.root(suite, gimp_root.WINDOW_PACKAGES)
    except gimp_root.CannotBuild as error:
        print(f"no GIMP here: {error}", file=sys.stderr)
        return 3
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        place = Path(scratch)
        profile = gimp.Profile(place / "gimp", "chosen")
        gimp.install(profile)
        version = _version(gimp_root.command(root, place, ["gimp-console", "--version"]))
        # config-version of this GIMP, else its welcome lies over everything
        (profile.path / "gimprc").write_text(
            f'(config-version "{version}")\n'
            "(show-welcome-dialog no)\n(check-updates no)\n(color-profile-policy keep)\n",
            encoding="utf-8",
        )
        actions = "".join(f'(action "plug-in-magic-eraser-{name}" "<Primary><Alt>{KEYS[name]}")\n' for name in KEYS)
        (profile.path / "shortcutsrc").write_text(f"(file-version 1)\n{actions}", encoding="utf-8")
        data = HERE.parents[1] / "eraser" / "data"
        shutil.copy(data / "rocket.jpg", place / "photo.jpg")
        shutil.copy(data / "rocket-mask.png", place / "mask.png")
        toy = HERE.parents[1] / "tests" / "doors" / "toy_serve.py"
        running.enter_context(engine(place / "patch.json", ["-m", "eraser", "serve"]))
        running.enter_context(engine(place / "toy.json", [str(toy), *SLOW]))
        settings = json.loads(profile.settings.read_text(encoding="utf-8"))
        for name in ("patch", "toy"):
            text = json.dumps(settings | {"door": str(place / f"{name}.json")})
            (place / f"settings-{name}.json").write_text(text, encoding="utf-8")
        # where a person would have it from, for Set up to find
        tools = place / "home" / ".local" / "share" / "uv" / "tools"
        python = tools / "magic-eraser" / "bin" / "python"
        gimp_root.python_outside(python, writable=[place], environment={"NUMBA_CACHE_DIR": str(place / "kernels")})
        program = ["python3", str(HERE), "--inside", str(place), str(pictures.resolve())]
        line = gimp_root.command(
            root, place, program, writable=[pictures.resolve()], readable=[HERE.parents[1]], outside=True
        )
        return subprocess.run(line, check=False).returncode


def _version(line: list[str]) -> str:
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    assert found is not None, said
    return found[0]


@contextlib.contextmanager
def engine(door: Path, arguments: list[str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, *arguments, "--door", str(door), "--idle", "0"],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        stdout=subprocess.DEVNULL,
    )
    try:
        while not door.exists():
            if process.poll() is not None:
                raise SystemExit(f"the engine ended: {arguments}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


# -- inside ------------------------------------------------------------------------------------------------------------

SELECT = """
from gi.repository import Gegl
image = Gimp.get_images()[0]
mask = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path({mask!r}))
whole = Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height())
white = mask.get_layers()[0].get_buffer().get(whole, 1.0, "Y u8", Gegl.AbyssPolicy.NONE)
mask.delete()
channel = Gimp.Channel.new(image, "mask", image.get_width(), image.get_height(), 50.0, Gegl.Color.new("red"))
image.insert_channel(channel, None, 0)
channel.get_buffer().set(whole, "Y u8", white)
channel.get_buffer().flush()
image.select_item(Gimp.ChannelOps.REPLACE, channel)
image.remove_channel(channel)
image.set_selected_layers(image.get_layers())
image.clean_all()
Gimp.displays_flush()
"""


class Screen:
    def __init__(self, place: Path, pictures: Path) -> None:
        self.place, self.pictures = place, pictures
        self.start = time.monotonic()
        self.window = ""

    def run(self, *line: str, good: bool = True) -> str:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if good and done.returncode:
            raise SystemExit(f"{' '.join(line)}: {done.stderr}")
        return done.stdout.strip()

    def shoot(self, name: str) -> None:
        # nothing under the pointer that would explain itself
        self.run("xdotool", "mousemove", str(SCREEN[0] // 2), "40")
        time.sleep(0.8)
        self.run("import", "-window", "root", str(self.pictures / f"{name}.png"))

    def wait(self, what: str, seconds: float, happens: Callable[[], Any]) -> Any:
        start = time.monotonic()
        while not (found := happens()):
            if time.monotonic() - start > seconds:
                self.shoot("failed")
                raise SystemExit(f"FAIL {what}: not within {seconds} s (see failed.png)")
            time.sleep(0.05)
        print(f"ok   {what}: {time.monotonic() - start:.2f} s", flush=True)
        return found

    def press(self, *keys: str) -> None:
        self.run("xdotool", "key", "--clearmodifiers", *keys)

    def call(self, name: str) -> None:
        self.run("xdotool", "windowactivate", "--sync", self.window)
        self.press(f"ctrl+alt+{KEYS[name]}")

    def title(self) -> str:
        return self.run("xdotool", "getwindowname", self.window, good=False)

    def shown(self, name: str) -> str:
        return self.run("xdotool", "search", "--onlyvisible", "--name", name, good=False)

    def settings(self, name: str) -> None:
        shutil.copy(self.place / f"settings-{name}.json", self.place / "gimp" / "magic-eraser.json")

    def health(self, name: str) -> dict[str, Any]:
        """What the engine says of itself."""
        import urllib.request

        door = json.loads((self.place / f"{name}.json").read_text(encoding="utf-8"))
        request = urllib.request.Request(
            f"http://{door['host']}:{door['port']}/v1/health", headers={"Authorization": f"Bearer {door['token']}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            facts: dict[str, Any] = json.load(answer)
            return facts


def inside(place: Path, pictures: Path) -> None:
    screen = Screen(place, pictures)
    with contextlib.ExitStack() as running:

        def start(*line: str, **more: Any) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(line, **more)
            running.callback(process.wait)
            running.callback(process.kill)  # asked politely, GIMP would ask whether to save
            return process

        reading, writing = os.pipe()
        size = f"{SCREEN[0]}x{SCREEN[1]}x24"
        with (place / "screen.log").open("wb") as log:
            start("Xvfb", "-displayfd", str(writing), "-screen", "0", size, pass_fds=[writing], stderr=log)
            os.environ["DISPLAY"] = f":{os.read(reading, 16).decode().strip()}"
            start("openbox", stderr=log)
            screen.settings("patch")
            code = SELECT.format(mask=str(place / "mask.png"))
            start(
                "gimp", "-n", str(place / "photo.jpg"), "--batch-interpreter=python-fu-eval", "-b", code,
                cwd=place, stdout=log, stderr=log,
            )  # fmt: skip
        walk(screen)


def walk(screen: Screen) -> None:
    """What a person does, one thing after the other."""
    log = screen.place / "screen.log"
    windows = screen.wait("image window", 90, lambda: screen.shown(" – GIMP$"))
    screen.window = windows.splitlines()[-1]
    screen.wait("selection", 60, lambda: "batch command executed" in log.read_text(errors="replace"))
    time.sleep(1)
    below_title = str(SCREEN[1] - TITLE)
    screen.run(
        "xdotool", "windowmove", screen.window, "0", "0", "windowsize", screen.window, str(SCREEN[0]), below_title
    )
    time.sleep(2)
    screen.press("ctrl+shift+j")  # the picture as large as the window allows
    time.sleep(1)
    screen.shoot("1-selection")

    screen.call("erase")
    screen.wait("erase dialog", 20, lambda: screen.shown("^Erase selection$"))
    # off the selection, so that the picture shows both
    screen.run("xdotool", "windowmove", screen.shown("^Erase selection$").splitlines()[-1], "228", "330")
    time.sleep(1.5)
    screen.shoot("2-dialog")
    screen.press("Return")
    screen.wait("a new layer", 60, lambda: "2 layers" in screen.title())
    time.sleep(1)
    screen.shoot("3-result")
    screen.press("ctrl+z")
    screen.wait("one undo takes it back", 10, lambda: "1 layer)" in screen.title())
    time.sleep(0.5)
    screen.shoot("4-undone")

    screen.call("again")
    screen.wait("a new layer, without dialog", 60, lambda: "2 layers" in screen.title())
    screen.press("ctrl+z")
    screen.wait("one undo takes it back", 10, lambda: "1 layer)" in screen.title())

    screen.call("extend")
    screen.wait("extend dialog", 20, lambda: screen.shown("^Extend canvas$"))
    time.sleep(1)
    screen.press("alt+l")
    screen.run("xdotool", "type", "25")
    screen.press("Tab")
    time.sleep(0.5)
    screen.shoot("5-extend-dialog")
    screen.press("alt+e")
    screen.wait("a wider canvas", 60, lambda: "2 layers) 800x427" in screen.title())
    screen.press("ctrl+shift+j")
    time.sleep(1)
    screen.shoot("5-extended")
    screen.press("ctrl+z")
    screen.wait("one undo takes it back", 10, lambda: "1 layer) 640x427" in screen.title())

    screen.settings("toy")
    screen.call("again")
    screen.wait("the engine works", 20, lambda: screen.health("toy")["running"])
    time.sleep(3)
    screen.shoot("6-progress")
    start = time.monotonic()
    cancel(screen)
    screen.wait("cancelled", 5, lambda: not screen.health("toy")["running"])
    print(f"     from the click to an idle engine: {time.monotonic() - start:.2f} s", flush=True)
    time.sleep(0.5)
    if "1 layer)" not in screen.title():
        raise SystemExit(f"FAIL a cancelled call changed the picture: {screen.title()}")
    screen.shoot("7-cancelled")

    screen.settings("patch")
    screen.press("ctrl+shift+a")
    time.sleep(0.5)
    screen.call("erase")
    screen.wait("a sentence, without a selection", 20, lambda: screen.shown("^GIMP Message$"))
    time.sleep(0.5)
    screen.shoot("8-sentence")
    screen.press("Escape")

    set_up(screen)

    screen.settings("toy")
    screen.run("xdotool", "windowactivate", "--sync", screen.window)
    screen.press("ctrl+z")  # the selection
    time.sleep(0.5)
    screen.call("again")
    screen.wait("the engine works", 20, lambda: screen.health("toy")["running"])
    screen.press("ctrl+w")
    time.sleep(1)
    if screen.shown("^Close "):
        screen.press("ctrl+d")  # without saving
    screen.wait("a sentence, the image closed meanwhile", 10, lambda: screen.shown("^GIMP Message$"))
    time.sleep(0.5)
    screen.shoot("10-closed-meanwhile")
    screen.wait("the engine is idle", 5, lambda: not screen.health("toy")["running"])


def set_up(screen: Screen) -> None:
    """Test what is chosen; then, as at the first time: the Python that is found, kept, browsed for and tested."""
    dialog, settings = "^Set up Magic Eraser$", screen.place / "gimp" / "magic-eraser.json"
    screen.call("set-up")
    screen.wait("set-up dialog", 20, lambda: screen.shown(dialog))
    time.sleep(1)
    screen.press("alt+t")
    time.sleep(3)
    screen.shoot("9-set-up")
    screen.press("Escape")
    screen.wait("dialog closed", 10, lambda: not screen.shown(dialog))

    settings.unlink()
    screen.call("set-up")
    screen.wait("set-up dialog, at the first time", 20, lambda: screen.shown(dialog))
    time.sleep(10)  # it looks by itself
    screen.shoot("9-set-up-found")
    screen.press("alt+k")
    screen.wait("dialog closed", 10, lambda: not screen.shown(dialog))
    found = screen.wait("what was found is kept", 5, lambda: settings.exists() and python_of(settings))
    if not found.endswith("/tools/magic-eraser/bin/python"):
        raise SystemExit(f"FAIL Find chose {found}")

    settings.unlink()
    screen.call("set-up")
    screen.wait("set-up dialog", 20, lambda: screen.shown(dialog))
    time.sleep(10)
    screen.press("alt+b")
    browser = "^The Python that magic-eraser is installed in$"
    screen.wait("Browse", 20, lambda: screen.shown(browser))
    time.sleep(1)
    # a slash opens a line for a path
    screen.run("xdotool", "type", "--delay", "40", "/usr/bin/python3")
    time.sleep(1)
    screen.shoot("9-set-up-browse")
    screen.press("Return")
    screen.wait("chosen", 10, lambda: not screen.shown(browser))
    screen.press("alt+t")
    time.sleep(5)
    screen.shoot("9-set-up-chosen")
    screen.press("alt+f")
    time.sleep(10)
    screen.press("alt+t")
    time.sleep(25)  # a first compilation
    screen.shoot("9-set-up-tested")
    screen.press("Escape")
    screen.wait("dialog closed", 10, lambda: not screen.shown(dialog))


def python_of(settings: Path) -> str:
    return str(json.loads(settings.read_text(encoding="utf-8")).get("python") or "")


def cancel(screen: Screen) -> None:
    """Click the Cancel button at the right end of the image window's status bar."""
    screen.run("xdotool", "mousemove", str(SCREEN[0] - 280), str(SCREEN[1] - 12), "click", "1")


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        inside(Path(sys.argv[2]), Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="folder for the pictures of the screen")
    parser.add_argument("suite", nargs="?", default="trixie", help="Debian's name: trixie for GIMP 3.0, forky for 3.2")
    asked = parser.parse_args()
    return outside(asked.pictures, asked.suite)


if __name__ == "__main__":
    sys.exit(main())
