"""From a painting's states to progress: how far it is, a note, and a picture of the present state."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from eraser.canvas import View
from eraser.engines.base import Progress
from eraser.engines.patch_fields import Painting
from eraser.engines.patch_levels import Level
from eraser.pyramid import double


@dataclass(frozen=True, slots=True)
class State:
    """Where a painting is: at which level, and the hole's values (N, C + 1) after a step, None within one."""

    index: int
    level: Level
    values: np.ndarray | None = None
    steps: int = 1  # since the state before


class Tracker:
    """Turns steps into progress: a step costs what its level has targets, and a little for being one."""

    def __init__(self, view: View, levels: list[Level], steps: list[int]) -> None:
        self._view = view
        self._costs = [len(level.targets) + 500 for level in levels]
        self._finish = 2 * self._costs[-1]  # levelling the seams takes about two steps' time
        self._total = sum(cost * count for cost, count in zip(self._costs, steps, strict=True)) + self._finish
        self._done = 0

    def told(self, states: Generator[State, None, Painting]) -> Generator[Progress, None, Painting]:
        """The states as progress; returns what they return."""
        while True:
            try:
                state = next(states)
            except StopIteration as finished:
                painting: Painting = finished.value
                return painting
            if state.values is None:
                yield self.pause(self.note(state.index))
            else:
                yield self.step(state.index, state.level, state.values, state.steps)

    def step(self, index: int, level: Level, values: np.ndarray, steps: int = 1) -> Progress:
        self._done += steps * self._costs[index]
        return Progress(self._fraction, self.note(index), lambda: shown(self._view, level, values))

    def start(self, counts: list[int], best: Painting) -> Progress:
        """After one of several paintings of the first levels, with so many steps each."""
        self._done += sum(cost * count for cost, count in zip(self._costs, counts, strict=False))
        return Progress(self._fraction, self.note(len(counts) - 1), lambda: shown(self._view, best.level, best.values))

    def pause(self, note: str) -> Progress:
        """Within what takes longer than a step: nothing new to show, but a moment to stop at."""
        return Progress(self._fraction, note)

    def finish(self, share: float) -> Progress:
        """After that share of levelling the seams."""
        return Progress(self._fraction + share * self._finish / self._total, "levelling the seams")

    def note(self, index: int) -> str:
        smaller = 2 ** (len(self._costs) - 1 - index)
        return f"structure, at 1/{smaller} of the size" if smaller > 1 else "texture, at full size"

    @property
    def _fraction(self) -> float:
        return min(1.0, self._done / self._total)


def shown(view: View, level: Level, values: np.ndarray) -> np.ndarray:
    """The view, (H, W, C), with a level's values, (N, >= C), enlarged, in its hole."""
    picture = level.colour_image.copy()
    picture.reshape(-1, level.colours)[level.pixels] = values[:, : level.colours]
    full = view.size
    while picture.shape[0] < full.height or picture.shape[1] < full.width:
        picture = double(picture, 2 * picture.shape[0], 2 * picture.shape[1])
    return np.where(view.hole[:, :, None], picture[: full.height, : full.width], view.pixels)
