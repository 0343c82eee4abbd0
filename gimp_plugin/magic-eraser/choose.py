"""Which Python holds the engine: found, tried, and kept. Standard library only."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import client

TRY_SECONDS = 20
DOCTOR_SECONDS = 180  # a first compilation on a slow machine
GROUPS = ("devices", "engine")  # of the doctor's findings, those that say what will work


def candidates(home: Path | None = None) -> Iterator[Path]:
    """Pythons where people install programs like this one; most likely first. They exist; nothing more is known."""
    home = home or Path.home()
    folder, name = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    local = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    places: list[Path] = []
    command = shutil.which("eraser")
    if command is not None:
        places.append(Path(command).resolve().parent / name)
        places += _first_line(Path(command))
    for tools in (data / "uv" / "tools", data / "pipx" / "venvs", home / ".local" / "pipx" / "venvs"):
        places.append(tools / "magic-eraser" / folder / name)
    places.append(Path(os.environ.get("APPDATA") or home) / "uv" / "tools" / "magic-eraser" / folder / name)
    places += sorted(local.glob("Programs/Python/Python3*/python.exe"), reverse=True)
    for version in ("", "3", "3.14", "3.13", "3.12", "3.11"):
        if found := shutil.which(f"python{version}"):
            places.append(Path(found))
    seen = set()
    for place in places:
        # not resolved: a virtual environment is known by the name its Python is called with
        if place.is_file() and place not in seen:
            seen.add(place)
            yield place


def _first_line(script: Path) -> list[Path]:
    """The interpreter that a script's first line names."""
    try:
        with script.open("rb") as file:
            line = file.readline(400)
    except OSError:
        return []
    return [Path(line[2:].decode("utf-8", "replace").strip())] if line.startswith(b"#!/") else []


def search(home: Path | None = None) -> tuple[Path, str] | None:
    """The first Python that has magic-eraser, and its version."""
    for python in candidates(home):
        version = version_in(python)
        if version:
            return python, version
    return None


def version_in(python: Path | str) -> str:
    """The version of magic-eraser that this Python has; "" where it has none, or does not run."""
    done = _run([str(python), "-E", "-P", "-c", "import eraser; print(eraser.__version__)"], TRY_SECONDS)
    return done.stdout.strip().splitlines()[-1] if done and done.returncode == 0 and done.stdout.strip() else ""


def _run(line: list[str], seconds: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            line, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
            env=client.clean_environment(), creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None


def chosen(path: Path, python: str, door: str) -> client.Settings:
    """The settings with this choice in them; the present ones where both are empty. Raises client.ClientError."""
    try:
        settings = client.load_settings(path)
    except client.NoInterpreter:
        if not (python or door):
            raise
        settings = client.Settings()
    if python:
        return dataclasses.replace(settings, python=python, door="")
    return dataclasses.replace(settings, door=door) if door else settings


def examine(settings: client.Settings) -> list[str]:
    """Try the choice; what was found, one finding per line. Raises client.ClientError where it cannot work."""
    if settings.outside_door:
        facts = client.connect(settings).health()
        return [f"magic-eraser {facts.get('version')} answers at {settings.door_path}", *_facts(facts)]
    version = version_in(settings.python)
    if not version:
        done = _run([settings.python, "-E", "-P", "-c", "import eraser"], TRY_SECONDS)
        if done is None:
            raise client.NoInterpreter(
                f"{settings.python} cannot be run", "choose the Python that magic-eraser is installed in"
            )
        raise client.NoEraser(
            f"the Python {settings.python} has no magic-eraser that loads",
            f"install it there, from its clone: {settings.python} -m pip install CLONE",
        )
    findings = [f"magic-eraser {version} in {settings.python}"]
    done = _run([settings.python, "-E", "-P", "-m", "eraser", "doctor", "--json"], DOCTOR_SECONDS)
    try:
        report = json.loads(done.stdout) if done else {}
        listed = report["findings"]
    except (ValueError, KeyError):
        raise client.NotStarted(
            "the engine's Python could not examine itself", f"run '{settings.python} -m eraser doctor' in a terminal"
        ) from None
    findings += [f"{item['name']}: {item['detail']}" for item in listed if item["name"] == "python"]
    findings += [
        f"{item['name']}: {item['detail']}"
        for item in listed
        if item["state"] == "trouble" or (item["group"] in GROUPS and item["state"] == "ok")
    ]
    return findings


def _facts(facts: dict[str, object]) -> list[str]:
    return [f"{name}: {facts[name]}" for name in ("engine", "device") if facts.get(name)]


def keep(path: Path, settings: client.Settings) -> None:
    """Store the choice, and let an engine of another Python end, so that the next call starts the chosen one."""
    client.save_settings(path, settings)
    try:
        running = client.find(dataclasses.replace(settings, door=""))
        if running is not None:
            running.stop()
    except client.ClientError:
        pass  # it could not have served us either
