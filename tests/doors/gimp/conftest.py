"""A real GIMP that has made every call of cases.py once, with the engine in another process outside it."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import eraser
from eraser import gimp

HERE = Path(__file__).parent
REPOSITORY = Path(eraser.__file__).parents[1]
TOOL = REPOSITORY / "tools" / "gimp_root.py"


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gimp_root", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real() -> tuple[ModuleType, Path]:
    """The tool, and the root that it has built before: a test run downloads nothing. ERASER_GIMP names the suite."""
    suite = os.environ.get("ERASER_GIMP", "trixie")
    tool = load_tool()
    folder = tool.folder_of(suite)
    if not folder.is_dir():
        pytest.skip(f"no GIMP of {suite} here: `make gimp-root` builds one")
    return tool, folder


@pytest.fixture(scope="session")
def engine_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The door file of an engine process that runs outside of GIMP."""
    # in the folder itself, which only this user may look into
    door = tmp_path_factory.mktemp("engine") / "door.json"
    engine = subprocess.Popen(
        [sys.executable, "-P", "-m", "eraser", "serve", "--door", str(door), "--idle", "0"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not door.exists():
            assert engine.poll() is None, "the engine ended"
            assert time.monotonic() < deadline, "the engine did not start"
            time.sleep(0.05)
        yield door
    finally:
        engine.terminate()
        engine.wait(30)


@pytest.fixture(scope="session")
def happened(
    real: tuple[ModuleType, Path], engine_door: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """(what every call of cases.py came to, the folder with the pixels)"""
    tool, root = real
    place = tmp_path_factory.mktemp("gimp")
    out = place / "out"
    out.mkdir()
    profile = gimp.Profile(place / "gimp", "chosen")
    gimp.install(profile, python=sys.executable)
    settings = json.loads(profile.settings.read_text(encoding="utf-8"))
    profile.settings.write_text(json.dumps(settings | {"door": str(engine_door)}), encoding="utf-8")

    runtime = place / "runtime"
    runtime.mkdir(mode=0o700)
    compiled = compiled_kernels()
    wrapper = place / "python"
    needs = {"PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "PASSIVE", "NUMBA_CACHE_DIR": str(compiled)}
    tool.python_outside(wrapper, writable=[place, compiled], environment=needs)
    cold = {"python": str(wrapper), "arguments": ["-P", "-m", "eraser", "serve"], "idle_minutes": 0.2}
    (out / "cold.json").write_text(json.dumps(settings | cold), encoding="utf-8")

    code = f"exec(compile(open({str(HERE / 'inside.py')!r}).read(), 'inside.py', 'exec'), globals())"
    line = tool.command(
        root,
        place,
        ["gimp-console", "-i", "-d", "--batch-interpreter=python-fu-eval", "-b", code, "--quit"],
        writable=[compiled],
        readable=[HERE, engine_door.parent],
        environment={
            "ERASER_TEST_CASES": str(HERE),
            "ERASER_TEST_OUT": str(out),
            "XDG_RUNTIME_DIR": str(runtime),
        },
        outside=True,
    )
    done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=280, check=False)
    results = out / "results.json"
    assert results.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    # what a person's gimp-console is: a program on the PATH
    console = place / "bin" / "gimp-console"
    console.parent.mkdir()
    words = " ".join(shlex.quote(word) for word in tool.command(root, place, ["gimp-console"]))
    console.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    console.chmod(0o755)
    return json.loads(results.read_text(encoding="utf-8")), out


def compiled_kernels() -> Path:
    """Where numba keeps what it has compiled, so that no test has to wait for that again."""
    importlib.import_module("eraser.engines.patch_kernels")  # chooses the folder
    import numba

    folder = Path(numba.config.CACHE_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
