"""The command in a folder of pictures; the plug-in's client as it is installed, and engine processes that end."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser import door as doors
from eraser.__main__ import main

PACKAGE = Path(eraser.__file__).parent
PLUGIN = PACKAGE.parent / "gimp_plugin" / "magic-eraser"
CLIENT = ("client.py", "settings.py", "talk.py", "troubles.py")
TOY = Path(__file__).with_name("toy_serve.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photo.png (80x60, noise on a slope), mask.png (a box of 10x8 at 30,20) and spoilt ones."""
    random = np.random.default_rng(5)
    slope = np.linspace(40, 180, 80)[None, :, None] + np.array([0, 20, 40])
    pixels = (slope + random.normal(0, 8, (60, 80, 3))).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    mask = np.zeros((60, 80), np.uint8)
    mask[20:28, 30:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros_like(mask)).save(tmp_path / "empty.png")
    Image.fromarray(np.full_like(mask, 255)).save(tmp_path / "white.png")
    Image.fromarray(mask[:-1]).save(tmp_path / "short.png")
    painted = pixels.copy()
    painted[5:9, 6:12] = (255, 0, 255)
    Image.fromarray(painted).save(tmp_path / "painted.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "photo.png").read_bytes()[:500])
    return tmp_path


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """command("erase photo.png ...") runs it in the folder and gives code, out, err and the files it added."""
    monkeypatch.chdir(folder)

    def run(line: str) -> SimpleNamespace:
        before = set(folder.rglob("*"))
        code = main(shlex.split(line))
        said = capsys.readouterr()
        added = sorted(str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before)
        return SimpleNamespace(code=code, out=said.out, err=said.err, added=added)

    return run


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """client.py and its parts, imported from a folder that holds what `eraser gimp install` puts there."""
    folder = tmp_path_factory.mktemp("plug-in")
    for source in [*(PLUGIN / name for name in CLIENT), PACKAGE / "wire.py", PACKAGE / "door.py"]:
        shutil.copy(source, folder)
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("client")
        assert set(module.SHARED) == {"wire.py", "door.py"}
        yield module
    finally:
        sys.path.remove(str(folder))
        for name in (*CLIENT, "wire.py", "door.py"):
            sys.modules.pop(name.removesuffix(".py"), None)


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


class Served:
    """A running engine process and its door; `call` is one HTTP request with its token."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self.process = process
        self.path = path
        for _ in range(1200):
            opened = doors.read(path)
            if opened is not None or process.poll() is not None:
                break
            time.sleep(0.05)
        assert opened is not None, "the engine did not start"
        self.door = opened

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, token: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers in lower case, body)"""
        connection = self.connect()
        with contextlib.closing(connection):
            sent = {"Authorization": f"Bearer {token or self.door.token}", "Host": f"127.0.0.1:{self.door.port}"}
            connection.request(method, path, body, {name: v for name, v in (sent | (headers or {})).items() if v})
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=120)

    def json(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return json.loads(self.call(method, path, body, headers)[2])

    def until_idle(self, seconds: float = 60) -> float:
        """Waits until nothing runs or waits; returns how long that took."""
        start = time.monotonic()
        while True:
            facts = self.json("GET", "/v1/health")
            if not facts["running"] and not facts["waiting"]:
                return time.monotonic() - start
            assert time.monotonic() - start < seconds, facts
            time.sleep(0.01)


@pytest.fixture(scope="session")
def start_toy() -> Iterator[Callable[..., Served]]:
    """start_toy(folder, "--steps", "3", ...) is a fresh engine process, which is ended after the tests."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, *options: str, **more: Any) -> Served:
        path = folder / "door.json"
        log = (folder / "engine.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, str(TOY), "--door", str(path), *options], stdout=log, stderr=log, **more
            )
        started.append(process)
        return Served(process, path)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def served(start_toy: Callable[..., Served], tmp_path_factory: pytest.TempPathFactory) -> Served:
    """An engine process for tests that leave it as it is, with small limits."""
    options = ["--most-megabytes", "2", "--most-megapixels", "0.5", "--most-waiting", "4"]
    return start_toy(tmp_path_factory.mktemp("served"), *options)
