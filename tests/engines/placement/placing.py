"""What the tests of placing share: a pretended GPU, and drawings on it."""

from __future__ import annotations

import numpy as np
import torch

from eraser.engines.base import EngineInfo
from eraser.engines.devices import Device
from eraser.engines.latent_records import Options
from eraser.engines.loading import Loading
from eraser.engines.memory_needs import GB
from eraser.engines.painter import Painter, Scene, Wish
from eraser.engines.placement import Plan, persistent

SCENE = Scene(np.zeros((32, 32, 3), np.float32), np.pad(np.ones((12, 12), bool), 10), 32, 32)
INFO = EngineInfo(name="latent", summary="", licence="", takes_prompt=True)


def pretended(free: float, *, shares_memory: bool = False, name: str = "GPU (pretended)") -> Device:
    """A GPU with so many GB free that computes on the processor."""
    return Device("cpu", name, lambda: int(free * GB), shares_memory)


def run(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return finished.value, seen


def drawn(painter: Painter, seed: int = 1) -> np.ndarray:
    wish = (SCENE, Wish("a door", "fog", (seed,), 0.99), Options(steps=3, guidance=2.0))
    return run(persistent(painter.placed, lambda: painter.steps(*wish)))[0]


def on_plan(loading: Loading, plan: Plan) -> Painter:
    painter = Painter(loading, pretended(80))
    placed = painter.placed
    placed._at = placed._plans.index(plan)
    placed._settle()
    return painter


def failing(painter: Painter, monkeypatch, plans: int, *, at: int = 2) -> list[str]:
    """Let the memory run out in the `at`-th look of every drawing by the first so many plans; returns the plans."""
    placed, asked = painter.placed, []
    forward = type(painter._net).forward
    looks = {}

    def full(self, *given: object, **named: object) -> object:
        if not asked or asked[-1] != placed.plan.on(placed.device):
            asked.append(placed.plan.on(placed.device))
        looks[len(asked)] = looks.get(len(asked), 0) + 1
        if len(asked) <= plans and looks[len(asked)] == at:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, *given, **named)

    monkeypatch.setattr(type(painter._net), "forward", full)
    return asked
