"""`eraser serve` with a slow toy engine in the registry; its own options first, those of serve after them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


from eraser import cli
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--step-seconds", type=float, default=0.0)
parser.add_argument("--load-seconds", type=float, default=0.0)
parser.add_argument("--crash-at", type=int, default=-1, help="step at which the process is killed")
parser.add_argument("--hang-at", type=int, default=-1, help="step at which the whole process stands still")
parser.add_argument("--fail-at", type=int, default=-1, help="step at which the engine has a defect")
parser.add_argument("--protocol", type=int, help="pretend to speak another one")
toy, rest = parser.parse_known_args()


class ToyEngine:
    """Paints the mean of what it sees."""

    runs_on = "GPU"  # it says

    def __init__(self, info: EngineInfo) -> None:
        time.sleep(toy.load_seconds)
        self.info = info

    def fill(self, view, *, seed, prompt=None):
        filled = view.pixels.copy()
        filled[view.hole] = view.pixels[~view.hole].mean(axis=0) + seed / 1000
        for step in range(toy.steps):
            if step == toy.crash_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if step == toy.hang_at:
                os.kill(os.getpid(), signal.SIGSTOP)
            if step == toy.fail_at:
                raise ZeroDivisionError("a toy breaks")
            yield Progress(step / toy.steps, f"step {step}", lambda: filled)
            time.sleep(toy.step_seconds)
        return filled


registry.ENTRIES["toy"] = registry.Entry(EngineInfo("toy", "for tests", "none"), f"{__name__}:ToyEngine")
words = EngineInfo("words", "for tests, with a prompt", "none", takes_prompt=True)
registry.ENTRIES["words"] = registry.Entry(words, f"{__name__}:ToyEngine")
if toy.protocol is not None:
    from eraser import wire

    wire.PROTOCOL = toy.protocol
sys.exit(cli.run(["serve", "--engine", "toy", *rest]))
