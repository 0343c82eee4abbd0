"""Real servers in processes of their own, and a real Chromium to look at them."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.doors.web.scenes import scene

TOY = Path(__file__).with_name("toy_web.py")
CHROMIUM = next(
    (
        found
        for name in (os.environ.get("ERASER_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
        if name and (found := shutil.which(name))
    ),
    None,
)


class Server:
    """A running `eraser web`; `folder` is its temporary folder's parent."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.log = folder / "toy.log"
        self.log.touch()
        self.output = folder / "output.txt"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY), "--log", str(self.log), "--port", str(self.port), *options],
                stdout=output,
                stderr=output,
                env=os.environ | {"TMPDIR": str(folder)},
                cwd=folder,
            )
        start = time.monotonic()
        while "is at http" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() - start < 120, "the server did not start"
            time.sleep(0.05)

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def until(self, check: Callable[[list[str]], bool], seconds: float = 30) -> None:
        start = time.monotonic()
        while not check(self.lines):
            assert time.monotonic() - start < seconds, self.lines
            time.sleep(0.02)

    @property
    def pictures(self) -> list[Path]:
        """Files of people's pictures."""
        return [path for path in self.folder.glob("magic-eraser-web-*/**/*") if path.is_file() and path.stat().st_size]

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'magic-eraser[web]'")
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path_factory.mktemp("web"), *options))
        return started[-1]

    yield start
    for server in started:
        server.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def real(start_server: Callable[..., Server]) -> Server:
    """With the engine that ships."""
    return start_server("--most-megapixels", "25", "--most-megabytes", "20")


@pytest.fixture(scope="session")
def slow(start_server: Callable[..., Server]) -> Server:
    """With an engine of many steps of a fifth of a second, on a server of little patience."""
    return start_server("--engine", "toy", "--steps", "100", "--step-seconds", "0.2", "--patience", "4")


@pytest.fixture(scope="session")
def quick(start_server: Callable[..., Server]) -> Server:
    return start_server("--engine", "toy")


@pytest.fixture(scope="module")  # its event loop would be in the way of others in the thread
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install it (apt-get install chromium), or name it in ERASER_CHROMIUM")
    with api.sync_playwright() as play:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        opened = play.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


class Cable:
    """Between a browser and a server; it can be cut and mended."""

    def __init__(self, server: Server) -> None:
        self._to = ("127.0.0.1", server.port)
        self._ends: list[socket.socket] = []
        self._is_cut = False
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        for end in self._ends:
            _close(end)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if self._is_cut:
                    _close(near)
                    continue
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            _close(end)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


class Page:
    """A tab with the demo in it, and what a person does there."""

    def __init__(self, browser: Any, server: Server | Cable, *, query: str = "", **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 850}} | options))
        self.tab = self.context.new_page()
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.set_default_timeout(60_000)
        self.tab.goto(server.url + query)
        self.tab.wait_for_selector(".bench.ready")

    def open(self, path: Path) -> None:
        self.tab.locator(".bench input[type=file]").set_input_files(str(path))
        self.opened(path.name)

    def opened(self, name: str) -> None:
        self.tab.wait_for_function(
            """name => document.querySelector('.facts').textContent.includes(name)
                && document.querySelector('.photo').complete && document.querySelector('.photo').naturalWidth
                && !document.querySelector('.bench').classList.contains('waiting')""",
            arg=name,
        )

    def stroke(self, *points: tuple[float, float], size: int | None = None) -> None:
        """Drag the brush through these points, in shares of the picture."""
        if size is not None:
            self.tab.locator(".bench .size").evaluate("(range, size) => { range.value = size; }", size)
        box = self.tab.locator("canvas.mask").bounding_box()
        places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
        self.tab.mouse.move(*places[0])
        self.tab.mouse.down()
        for place in places:
            self.tab.mouse.move(*place, steps=4)
        self.tab.mouse.up()

    def click(self, what: str) -> None:
        self.tab.locator(f".bench .{what}").first.click()

    def run(self) -> None:
        """Press Erase or Extend, and wait for the next step."""
        steps = self.steps
        self.click("go")
        self.until_steps(steps + 1)

    def until_steps(self, count: int) -> None:
        self.tab.wait_for_function(
            """count => document.querySelectorAll('.bench .steps li').length == count
                && !document.querySelector('.bench').classList.contains('waiting')""",
            arg=count,
        )

    def says(self, words: str) -> None:
        self.tab.wait_for_function(
            "words => document.querySelector('.bench .status')?.textContent.includes(words)", arg=words
        )

    def save(self, to: Path, what: str = "save") -> Path:
        with self.tab.expect_download() as caught:
            self.click(what)
        path = to / caught.value.suggested_filename
        caught.value.save_as(path)
        return path

    def places(self, *names: str) -> list[Any]:
        return [self.tab.locator(f".bench .{name}").bounding_box() for name in names]

    @property
    def status(self) -> str:
        text: str = self.tab.locator(".bench .status").inner_text()
        return text

    @property
    def steps(self) -> int:
        count: int = self.tab.locator(".bench .steps li").count()
        return count

    def advance(self, **settings: str) -> None:
        """Fill in the Advanced fold: seed, grow, prompt."""
        fold = self.tab.locator("#advanced")
        labels = {"seed": "Seed", "grow": "Widen by", "prompt": "What is to be there instead"}
        if not fold.get_by_label("Seed").is_visible():
            fold.get_by_role("button", name="Advanced").click()
        for name, value in settings.items():
            fold.get_by_label(labels[name]).fill(value)
            fold.get_by_label(labels[name]).blur()

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool: what is painted on the screen copy."""
        url = self.tab.evaluate("document.querySelector('canvas.mask').toDataURL('image/png')")
        image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        return np.asarray(image.convert("RGBA"))[:, :, 3] >= 128

    @property
    def painted(self) -> int:
        """Pixels of paint on the screen copy."""
        return int(self.mask.sum())


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Page]]:
    """visit(server) is a fresh tab; afterwards no script of any tab failed, and nobody but the server was asked."""
    pages: list[tuple[Page, Server | Cable]] = []

    def open_tab(server: Server | Cable, **options: Any) -> Page:
        pages.append((Page(browser, server, **options), server))
        return pages[-1][0]

    yield open_tab
    for page, server in pages:
        outside = [url for url in page.asked if not re.match(rf"(data|blob):|{re.escape(server.url)}", url)]
        page.context.close()
        assert outside == []
        assert page.wrong == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "beach.png"
    Image.fromarray(scene(480, 360)).save(path)
    return path
