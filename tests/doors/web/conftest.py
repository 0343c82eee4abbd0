"""Servers, a browser, tabs in it, a photo, and a studio without any of them."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.doors.web.pages import CHROMIUM, Page
from tests.doors.web.scenes import scene
from tests.doors.web.servers import Cable, Server


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")
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
    return start_server("--engine", "toy", "--steps", "100", "--step-seconds", "0.2", "--patience", "3")


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


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")
    from web_demo.folders import Folders
    from web_demo.studio import Limits, Studio

    made = Studio(Limits(keep_minutes=30), folders=Folders(keep_seconds=1800, parent=tmp_path))
    made.line.start()
    yield made
    made.close()
    assert not made.folders.root.exists()
