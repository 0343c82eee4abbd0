"""/erase and /extend as gradio_client calls them, and what the server leaves behind."""

from __future__ import annotations

import http.server
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import eraser
from tests.doors.web.scenes import redness, scene
from tests.doors.web.servers import Server

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
    Image.fromarray(scene(480, 360)).save(tmp_path / "my beach.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "my beach.png").read_bytes()[:20000])
    disc_mask(tmp_path / "small.png", (100, 80))
    disc_mask(tmp_path / "mask.png")
    code = f"""
from gradio_client import Client, handle_file
client = Client({quick.url!r}, verbose=False)
beach = handle_file("my beach.png")
erase = dict(image=beach, mask=beach, grow="auto", engine="", seed=0)
extend = dict(image=beach, left="10")
for name, asked in [
    ("erase", erase | dict(mask=handle_file("small.png"))), ("erase", erase | dict(grow="much")),
    ("erase", erase | dict(engine="none")), ("erase", erase | dict(mask=None)), ("erase", erase | dict(seed=-1)),
    ("erase", erase | dict(image=handle_file("half.png"))),
    ("erase", erase | dict(prompt="break", mask=handle_file("mask.png"))),
    ("extend", extend | dict(left="-5")), ("extend", extend | dict(left="", aspect="x")), ("extend", dict(image=beach)),
    ("extend", extend | dict(aspect="16:9")), ("extend", dict(image=None, left="5")),
]:
    try:
        print("no error", client.predict(**asked, api_name="/" + name))
    except Exception as error:
        print(error)
"""
    output = run_client(code, tmp_path)
    assert str(quick.folder) not in output
    assert "/" not in output.replace("N/A", "")  # nothing of the server's folders
    said = output.splitlines()
    for line, words in zip(
        said,
        [
            "100 × 80", '"much"', 'There is no engine "none"', "There is no mask", "The seed is -1", "half.png",
            "Something went wrong on the server",
            'Left is "-5"', 'The aspect ratio "x"', "Nothing is to be added", "given at once", "There is no photo",
        ],
        strict=True,
    ):  # fmt: skip
        assert words.replace("100 × 80", "100") in line


def call(server: Server, name: str, data: list[Any]) -> str:
    """What a program hears that sends whatever it likes."""
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(
        f"{server.url}gradio_api/call/{name}", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{server.url}gradio_api/call/{name}/{event}", timeout=60) as answer:
        return str(answer.read().decode())


def test_no_address_is_fetched_and_no_file_taken_that_was_not_sent(quick: Server, tmp_path: Path) -> None:
    def file(path: object) -> dict[str, Any]:
        return {"path": str(path), "url": str(path), "meta": {"_type": "gradio.FileData"}}

    fetched: list[str] = []

    class Target(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)

    target = http.server.HTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{target.server_port}/photo.png"
    root = next(quick.folder.glob("magic-eraser-web-*"))
    desk = root / "desks" / "somebody" / "1"
    desk.mkdir(parents=True)
    for path in (desk / "screen.png", tmp_path / "own.png"):
        Image.fromarray(scene(60, 40)).save(path)
    try:
        for given in (
            address, "https://example.org/photo.png", desk / "screen.png", tmp_path / "own.png", "/etc/passwd",
            root / "uploads" / ".." / "desks" / "somebody" / "1" / "screen.png",
        ):  # fmt: skip
            for data in (
                [file(given), file(given), "", 0, "auto", ""],
                [None, None, "", 0, "auto", file(given)],
                [None, None, "", 0, {"deep": [file(given)]}, ""],
            ):
                said = call(quick, "erase", data)
                assert "event: error" in said
                assert "That is no file that was sent here" in said, said
                assert str(quick.folder) not in said
    finally:
        target.shutdown()
        target.server_close()
    assert fetched == []
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{quick.url}gradio_api/file={desk / 'screen.png'}", timeout=60)
    assert refused.value.code == 403
    refused.value.close()


def test_cancelling_a_call_ends_its_work(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server("--engine", "toy", "--steps", "100", "--step-seconds", "0.2")
    Image.fromarray(scene(480, 360)).save(tmp_path / "beach.png")
    disc_mask(tmp_path / "mask.png")
    code = f"""
import time
from gradio_client import Client, handle_file
client = Client({server.url!r}, verbose=False)
def submit():
    job = client.submit(image=handle_file("beach.png"), mask=handle_file("mask.png"), api_name="/erase")
    while not any("step" in (each.desc or "") for each in job.status().progress_data or ()):
        time.sleep(0.05)
    return job
submit().cancel()
open("cancelled", "w").close()
while True:  # who goes away ends the work as well, so this one stays, until the test tells it to go on
    time.sleep(0.1)
    try:
        open("go on")
        break
    except OSError:
        pass
submit().result()
"""
    client = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        server.until(lambda lines: lines[-1:] == ["closed"])
        while not (tmp_path / "cancelled").exists():
            assert client.poll() is None
            time.sleep(0.05)
        assert "done" not in server.lines
        # another one, and the server is stopped meanwhile, by everybody at once
        (tmp_path / "go on").touch()
        server.until(lambda lines: "closed" in lines and lines[-1].startswith("step"))
        assert server.pictures
        start = time.monotonic()
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            server.process.send_signal(number)
            time.sleep(0.05)
        assert server.end(signal.SIGTERM) == 0
        assert time.monotonic() - start < 30
        assert list(server.folder.glob("magic-eraser-web-*")) == []
        assert client.wait(60) != 0
    finally:
        client.kill()


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
