"""/erase and /extend as gradio_client calls them, and what the server leaves behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eraser
from tests.doors.web.conftest import Server
from tests.doors.web.scenes import redness, scene

DOCUMENT = Path(eraser.__file__).parents[1] / "docs" / "web-demo.md"


def disc_mask(path: Path, size: tuple[int, int] = (480, 360)) -> Path:
    y, x = np.mgrid[: size[1], : size[0]]
    Image.fromarray(((x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < 46**2) * np.uint8(255)).save(path)
    return path


def run_client(code: str, folder: Path) -> str:
    """In a process of its own, as another program would."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_documented_example_runs_and_gives_what_the_library_gives(real: Server, tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert "http://127.0.0.1:7860" in code
    pixels = scene(480, 360)
    Image.fromarray(pixels).save(tmp_path / "beach.png")
    mask = disc_mask(tmp_path / "mask.png")
    code = code.replace("http://127.0.0.1:7860", real.url).replace("beach.jpg", "beach.png")
    output = run_client(code, tmp_path)
    erased = np.asarray(Image.open(re.findall(r"^erased: (.*)$", output, re.MULTILINE)[0]))
    assert (erased == np.asarray(eraser.erase(pixels, np.asarray(Image.open(mask))))).all()
    assert redness(erased).sum() == 0
    extended = np.asarray(Image.open(re.findall(r"^extended: (.*)$", output, re.MULTILINE)[0]))
    assert (extended == eraser.outpaint(pixels, left="20%", right=100)).all()


def test_a_bad_call_is_answered_with_a_sentence(quick: Server, tmp_path: Path) -> None:
    Image.fromarray(scene(480, 360)).save(tmp_path / "beach.png")
    disc_mask(tmp_path / "small.png", (100, 80))
    code = f"""
from gradio_client import Client, handle_file
client = Client({quick.url!r}, verbose=False)
for change in (dict(mask=handle_file("small.png")), dict(grow="much"), dict(engine="none"), dict(mask=None)):
    asked = dict(image=handle_file("beach.png"), mask=handle_file("beach.png"), grow="auto", engine="") | change
    try:
        client.predict(**asked, api_name="/erase")
    except Exception as error:
        print(error)
"""
    said = run_client(code, tmp_path)
    assert "100" in said.splitlines()[0]
    assert "480" in said.splitlines()[0]
    assert '"much"' in said
    assert 'There is no engine "none"' in said
    assert "There is no mask" in said
    assert str(quick.folder) not in said


def test_cancelling_a_call_ends_its_work(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--engine", "toy", "--steps", "100", "--step-seconds", "0.2")
    Image.fromarray(scene(480, 360)).save(tmp_path / "beach.png")
    disc_mask(tmp_path / "mask.png")
    code = f"""
import time
from gradio_client import Client, handle_file
client = Client({server.url!r}, verbose=False)
job = client.submit(image=handle_file("beach.png"), mask=handle_file("mask.png"), api_name="/erase")
while not job.status().progress_data:
    time.sleep(0.05)
job.cancel()
time.sleep(3)
"""
    run_client(code, tmp_path)
    server.until(lambda lines: lines[-1] == "closed")
    assert "done" not in server.lines
    # another one, and the server is stopped meanwhile
    waiting = subprocess.Popen(
        [sys.executable, "-c", code.replace("job.cancel()", "job.result()")], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    server.until(lambda lines: len(lines) > 4 and lines[-1].startswith("step"))
    assert server.pictures
    start = time.monotonic()
    assert server.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 30
    assert server.pictures == []
    assert waiting.wait(60) != 0


def test_a_killed_server_s_pictures_are_removed_by_the_next(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    pytest.importorskip("gradio")
    from web_demo.folders import Folders

    left = Folders(parent=tmp_path)
    (left.new_desk() / "photo.png").write_bytes(b"somebody's")
    old = time.time() - 600
    import os

    os.utime(left.root, (old, old))
    alive = Folders(parent=tmp_path)
    assert left.root.exists(), "its server is running"
    assert left._lock is not None
    left._lock.close()  # as the system does when a process ends
    os.utime(left.root, (old, old))
    last = Folders(parent=tmp_path)
    assert not left.root.exists()
    alive.close()
    last.close()
    assert list(tmp_path.glob("magic-eraser-web-*")) == []
