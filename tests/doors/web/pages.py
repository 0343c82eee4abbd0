"""The page in a tab of a real browser, and what a person does there."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import eraser
from eraser import files
from eraser.masks import prepare
from tests.doors.web.servers import Cable, Server
from web_demo import screen

CHROMIUM = next(
    (
        found
        for name in (os.environ.get("ERASER_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
        if name and (found := shutil.which(name))
    ),
    None,
)
ACROSS = [(0.40, 0.42), (0.60, 0.42), (0.60, 0.5), (0.40, 0.5), (0.40, 0.58), (0.60, 0.58)]  # over the disc


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


Visit = Callable[..., Page]


def expected(path: Path, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the library makes of the file with this mask on its screen copy, as stored in a file of the same kind; and
    the hole, which is the mask of the original's size, widened."""
    photo = files.read(path)
    painted = screen.scale_mask(mask, photo.size)
    out = path.with_name(f"expected-{path.name}")
    files.write(eraser.erase(photo, painted), out)
    return files.read(out).pixels, prepare(painted, photo.size, "auto")
