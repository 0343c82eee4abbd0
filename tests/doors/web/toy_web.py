"""`eraser web` with a slow toy engine beside the real one; its own options first, those of web after them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from eraser import cli
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress
from web_demo import runs, studio

parser = argparse.ArgumentParser()
parser.add_argument("--log", type=Path, required=True, help="what the toy does, a line each")
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--step-seconds", type=float, default=0.0)
parser.add_argument("--patience", type=float, help="seconds for connections that are gone")
toy, rest = parser.parse_known_args()
if toy.patience is not None:
    runs.PATIENCE = toy.patience
    studio.LOADING = min(studio.LOADING, toy.patience)


def log(text: str) -> None:
    with toy.log.open("a") as file:
        file.write(text + "\n")


class ToyEngine:
    """Paints the mean of what it sees, and a little of the seed. A prompt of digits is the number of steps."""

    runs_on = "GPU"

    def __init__(self, info: EngineInfo) -> None:
        self.info = info

    def fill(self, view, *, seed, prompt=None):
        filled = view.pixels.copy()
        filled[view.hole] = view.pixels[~view.hole].mean(axis=0) + seed / 50
        if view.pixels.shape[0] <= 32:  # the server's own warming up
            return filled
        try:
            if prompt == "break":
                raise KeyError("a defect of the engine's")
            for step in range(int(prompt) if prompt and prompt.isdigit() else toy.steps):
                yield Progress(step / toy.steps, f"step {step}", lambda: filled)
                log(f"step {step}, {prompt}")
                time.sleep(toy.step_seconds)
            log("done")
        finally:
            log("closed")
        return filled


toy_info = EngineInfo("toy", "for tests", "none", takes_prompt=True)
registry.ENTRIES["toy"] = registry.Entry(toy_info, f"{__name__}:ToyEngine")
sys.exit(cli.run(["web", "--no-open", *rest]))
