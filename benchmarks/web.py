"""What the web page costs a person's patience: `python -m benchmarks.web` prints the table of docs/web-demo.md.

A real server and a real Chromium on the same machine. "Over the engine's own time" is from the click to the new picture
on the screen, less the seconds that the page reports for the engine's work (reading the photo, filling, keeping it).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = {"2-megapixel JPEG": (1732, 1155), "12-megapixel JPEG": (4000, 3000)}
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
SHOWN = """count => { const photo = document.querySelector('.bench .photo');
    return document.querySelectorAll('.bench .steps li').length == count && photo.complete
        && !document.querySelector('.bench').classList.contains('waiting'); }"""


def chromium() -> str:
    names = (os.environ.get("ERASER_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        sys.exit("no Chromium: install it, or name it in ERASER_CHROMIUM")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_photo(path: Path, width: int, height: int) -> Path:
    """A grainy slope: grain is what makes a JPEG large and its decoding slow."""
    from PIL import Image

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    slope = 60 + 90 * y / height + 40 * x / width
    pixels = np.stack([slope * 0.6, slope * 0.9, slope], axis=2) + rng.normal(0, 5, (height, width, 1))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=92)
    return path


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, float, subprocess.Popen[str]]]:
    """(address, seconds from the command to it, process)."""
    port = free_port()
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "eraser", "web", "--no-open", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "is at http" in line:
                break
        else:
            sys.exit("the server did not start")
        yield f"http://127.0.0.1:{port}/", time.monotonic() - start, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def erase(tab: Any, path: Path) -> tuple[float, float]:
    """(seconds from the click to the new picture, of them the engine's)."""
    tab.locator(".bench input[type=file]").set_input_files(str(path))
    tab.wait_for_function("name => document.querySelector('.facts').textContent.includes(name)", arg=path.name)
    tab.wait_for_selector(".bench:not(.waiting)")
    box = tab.locator("canvas.mask").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.5)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.5, steps=5)
    tab.mouse.up()
    start = time.monotonic()
    tab.locator(".bench .go").click()
    tab.wait_for_function(SHOWN, arg=2)
    tab.evaluate(PAINTED)
    seconds = time.monotonic() - start
    said = tab.locator(".bench .status").inner_text()
    engine = float(said.partition(" in ")[2].partition(" s ")[0])
    return seconds, engine


def visit(browser: Any, address: str, folder: Path, seen: dict[str, list[float]], started: float) -> None:
    tab = browser.new_context(viewport={"width": 1280, "height": 850}).new_page()
    start = time.monotonic()
    tab.goto(address)
    tab.wait_for_selector(".bench.ready")
    first = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    seen["from opening the page to the first paint"].append(first)
    seen["from opening the page until it can be used"].append(time.monotonic() - start)
    seen["from the command to the first paint"].append(started + first)
    tab.wait_for_timeout(6000)  # the engine warms up meanwhile, as while a person chooses a photo
    for name, (width, height) in PHOTOS.items():
        path = folder / f"{width}.jpg"
        seconds, engine = erase(tab, path if path.exists() else write_photo(path, width, height))
        seen[f"{name}: from the click to the new picture"].append(seconds)
        seen[f"{name}: the same, over the engine's own time"].append(seconds - engine)
    tab.context.close()


def stop(process: subprocess.Popen[str]) -> float:
    """Seconds to its end."""
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    return time.monotonic() - start


def stop_at_work(browser: Any, folder: Path) -> float:
    """Seconds to the end of a server that is extending a photo, whose page is told."""
    with server(folder) as (address, _, process):
        tab = browser.new_page()
        tab.goto(address)
        tab.wait_for_selector(".bench.ready")
        tab.wait_for_timeout(6000)
        path = folder / "large.jpg"
        tab.locator(".bench input[type=file]").set_input_files(str(write_photo(path, *PHOTOS["12-megapixel JPEG"])))
        tab.wait_for_function("name => document.querySelector('.facts').textContent.includes(name)", arg=path.name)
        tab.wait_for_selector(".bench:not(.waiting)")
        tab.locator(".bench .mode.extend").first.click()
        tab.locator(".bench .go").click()
        tab.wait_for_selector(".bench .preview:not([hidden])")
        seconds = stop(process)
        tab.wait_for_function("document.querySelector('.bench .status').textContent.includes('is stopping')")
        tab.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="servers started, each measured once")
    runs = parser.parse_args().runs
    from playwright.sync_api import sync_playwright

    seen: dict[str, list[float]] = defaultdict(list)
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        folder = Path(name)
        browser = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(runs):
            with server(folder) as (address, started, process):
                seen["from the command to the server's address"].append(started)
                visit(browser, address, folder, seen, started)
                time.sleep(1)
                seen["from telling the idle server to stop to its end"].append(stop(process))
            seen["the same while it extends 12 megapixels"].append(stop_at_work(browser, folder))
        browser.close()
    after = os.getloadavg()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {runs} runs,")
    print(f"load average {before[0]:.1f} before and {after[0]:.1f} after\n")
    print("| seconds | median | least to most |\n|---|---|---|")
    for what, values in seen.items():
        print(f"| {what} | {statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f} |")


if __name__ == "__main__":
    main()
