"""What the engine process costs beside the engine: start, a warm call, cancelling.

    python -m benchmarks.serve [--megapixels 12] [--share 1] [--repeat 5]

One JSON line per figure: median and spread in seconds, and what it is wanted to stay below. The picture is noise on
slopes, the hole a square in its middle; the client is the plug-in's own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--megapixels", type=float, default=12)
    options.add_argument("--share", type=float, default=1, help="percent of the picture that is erased")
    options.add_argument("--repeat", type=int, default=5)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        client = install(Path(folder))
        image, box = scene(asked.megapixels, asked.share)
        settings = client.Settings(python=sys.executable, arguments=("-c", SERVE))
        run = Run(client, settings, image, box)
        run.compile()
        for name, wanted, measure in (
            ("cold start to first progress", 3.0, run.cold_start),
            ("warm call over the engine's own time", 0.3, run.overhead),
            ("cancel at the first step to idle", 1.0, lambda: run.cancel(0.0)),
            ("cancel half way to idle", 1.0, lambda: run.cancel(0.5)),
            ("cancel near the end to idle", 1.0, lambda: run.cancel(0.85)),
            ("cancel while waiting to its place being free", 1.0, run.cancel_waiting),
        ):
            tell(name, wanted, [measure() for _ in range(asked.repeat)], run)
        run.stop()


SERVE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from eraser.cli import run
sys.exit(run(["serve", *sys.argv[1:]]))
"""


def install(folder: Path) -> Any:
    """The plug-in's client, beside the modules it shares."""
    plug_in = ROOT / "gimp_plugin" / "magic-eraser"
    client = [plug_in / name for name in ("client.py", "settings.py", "talk.py", "troubles.py")]
    for source in [*client, ROOT / "eraser" / "wire.py", ROOT / "eraser" / "door.py"]:
        (folder / source.name).write_bytes(source.read_bytes())
    sys.path.insert(0, str(folder))
    return importlib.import_module("client")


def scene(megapixels: float, percent: float) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """(H, W, 3) uint8, 4:3, and the box to erase."""
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    slope = np.linspace(20, 180, width)[None, :, None] + np.array([0, 20, 40])
    image = (slope + rng.integers(0, 30, (height, width, 3))).astype(np.uint8)
    side = round(math.sqrt(height * width * percent / 100))
    return image, ((width - side) // 2, (height - side) // 2, side, side)


class Run:
    def __init__(self, client: Any, settings: Any, image: np.ndarray, box: tuple[int, int, int, int]) -> None:
        self.client, self.settings, self.image, self.box = client, settings, image, box
        self.mask = bytes([255]) * (box[2] * box[3])
        self.sent = 0
        self.engine_seconds: list[float] = []

    def fill(self, engine: Any, on_progress: Callable[[Any], object] | None = None) -> Any:
        height, width = self.image.shape[:2]
        plan = engine.plan((width, height), self.box, self.mask)
        self.sent = sum(box[2] * box[3] for box in plan.boxes)

        def read(box: tuple[int, int, int, int]) -> bytes:
            x, y, across, down = box
            return self.image[y : y + down, x : x + across].tobytes()

        return engine.fill(plan, read, bands=3, depth="u8", on_progress=on_progress)

    def stop(self) -> None:
        engine = self.client.find(self.settings)
        if engine is not None:
            engine.stop()
            while self.client.find(self.settings) is not None:
                time.sleep(0.02)
            time.sleep(0.3)  # it gives up its lock a moment later

    def compile(self) -> None:
        """The first fill on a machine compiles the kernels, which is not what is measured here."""
        self.fill(self.client.connect(self.settings))

    def cold_start(self) -> float:
        self.stop()
        start = time.perf_counter()
        seconds = math.nan

        def look(progress: Any) -> bool:
            nonlocal seconds
            seconds = time.perf_counter() - start
            return not is_step(progress)

        with contextlib.suppress(self.client.Cancelled):
            self.fill(self.client.connect(self.settings, look), look)
        return seconds

    def overhead(self) -> float:
        engine = self.client.connect(self.settings)
        self.until_idle(engine)
        start = time.perf_counter()
        result = self.fill(engine)
        self.engine_seconds.append(result.seconds)
        return time.perf_counter() - start - result.seconds

    def cancel(self, fraction: float) -> float:
        engine = self.client.connect(self.settings)
        self.until_idle(engine)
        try:
            self.fill(engine, lambda progress: not (is_step(progress) and progress.fraction >= fraction))
        except self.client.Cancelled:
            return self.until_idle(engine)
        raise SystemExit("it was done before it was cancelled")

    def cancel_waiting(self) -> float:
        engine = self.client.connect(self.settings)
        code = f"import sys; sys.path.insert(0, {str(Path(self.client.__file__).parent)!r}); import client\n" + WAIT
        first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        with first:
            assert first.stdout is not None
            first.stdout.readline()
            try:
                self.fill(engine, lambda progress: progress.position == 0)
            except self.client.Cancelled:
                start = time.perf_counter()
                while engine.health()["waiting"]:
                    time.sleep(0.005)
                seconds = time.perf_counter() - start
            first.kill()
        self.until_idle(engine)
        return seconds

    def until_idle(self, engine: Any) -> float:
        start = time.perf_counter()
        while engine.health()["running"]:
            time.sleep(0.005)
        return time.perf_counter() - start


WAIT = """
e = client.find(client.Settings())
side = 1500
plan = e.plan((side, side), (300, 300, 900, 900), bytes([255]) * 810000)
e.fill(plan, lambda b: bytes(range(256)) * (b[2] * b[3] * 3 // 256) + bytes(b[2] * b[3] * 3 % 256), bands=3, depth="u8",
       on_progress=lambda p: print("now", flush=True) if "size" in p.note else None)
"""


def is_step(progress: Any) -> bool:
    return any(word in progress.note for word in ("size", "surroundings", "edges", "seams"))


def tell(name: str, wanted: float, seconds: list[float], run: Run) -> None:
    row = {
        "figure": name,
        "median": round(statistics.median(seconds), 3),
        "least": round(min(seconds), 3),
        "most": round(max(seconds), 3),
        "wanted_below": wanted,
        "megapixels": round(run.image.shape[0] * run.image.shape[1] / 1e6, 1),
        "sent_megapixels": round(run.sent / 1e6, 2),
        "engine_seconds": round(statistics.median(run.engine_seconds), 2) if run.engine_seconds else None,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
