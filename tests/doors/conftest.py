"""The plug-in's client as it is installed, and engine processes that end with their test."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import eraser

PACKAGE = Path(eraser.__file__).parent
PLUGIN = PACKAGE.parent / "gimp_plugin" / "magic-eraser"
TOY = Path(__file__).with_name("toy_serve.py")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """client.py, imported from a folder that holds what `eraser gimp install` puts there."""
    folder = tmp_path_factory.mktemp("plug-in")
    for source in (PLUGIN / "client.py", PACKAGE / "wire.py", PACKAGE / "door.py"):
        shutil.copy(source, folder)
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("client")
        assert set(module.SHARED) == {"wire.py", "door.py"}
        yield module
    finally:
        sys.path.remove(str(folder))
        for name in ("client", "wire", "door"):
            sys.modules.pop(name, None)


@pytest.fixture
def settings(client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """settings("--steps", "3", silence_seconds=2) of a toy engine with its own runtime folder; ended afterwards."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("MAGIC_ERASER_DOOR", raising=False)

    def make(*options: str, **changes: Any) -> Any:
        values = {"python": sys.executable, "arguments": (str(TOY), *options), "version": "9.9"} | changes
        return client.Settings(**values)

    yield make
    end(client, client.doors.default_path())


def end(client: ModuleType, door_path: Path) -> None:
    door = client.doors.read(door_path)
    if door is not None:
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(door.pid, number)
            except ProcessLookupError:
                return
