"""Drawings of one hole, judged one after the other: which to keep, whether to draw again, and what to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from eraser.engines.structure import Drawing
from eraser.judge import Verdict

# times the emptied scene's misfit, up to which a drawing fits: the truth does in 96 of 100 cases, objects in 6
# (docs/decisions/0011-the-check-after-a-removal.md)
ENOUGH = 1.5
NOTHING = "nothing against it"
BROKEN = 2.5  # the seam of a drawing that does not join on; smaller steps are levelled on the way to full size


@dataclass(frozen=True, slots=True)
class Attempt:
    seed: int
    drawing: Drawing
    verdict: Verdict


@dataclass(slots=True)
class Attempts:
    """goal: of the emptied scene, which has nothing of the object and invents nothing."""

    goal: Verdict
    made: list[Attempt] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # seeds whose drawings a safety checker did not let out
    _told: list[dict[str, object]] = field(default_factory=list)  # of every drawing, in their order

    def add(self, seed: int, drawing: Drawing, verdict: Verdict) -> None:
        self.made.append(Attempt(seed, drawing, verdict))
        self._told.append({"seed": seed} | self._facts(verdict))

    def refuse(self, seed: int) -> None:
        self.refused.append(seed)
        self._told.append({"seed": seed, "said": "the checkpoint's safety checker refuses it"})

    @property
    def trouble(self) -> str:
        """What is wrong with the last one that was let out, "" for nothing."""
        return self._trouble(self.made[-1].verdict)

    def _trouble(self, verdict: Verdict) -> str:
        found = ["what was erased seems to be there again"] if verdict.redrawn else []
        if None not in (verdict.misfit, self.goal.misfit) and not self._fits(verdict):
            found.append("it fits its surroundings worse than the emptied scene does")
        if verdict.seam is not None and verdict.seam >= max(BROKEN, self.goal.seam or 0.0):
            found.append("it does not join on at the hole's rim")
        return " and ".join(found)

    def _fits(self, verdict: Verdict) -> bool:
        assert verdict.misfit is not None
        assert self.goal.misfit is not None
        return verdict.misfit <= ENOUGH * self.goal.misfit

    def _facts(self, verdict: Verdict) -> dict[str, object]:
        """A verdict's numbers, and what decides here whether to draw again: a seam that is still levelled on the way
        to full size does not, though it would be seen in a finished picture."""
        said = "" if verdict.misfit is None and verdict.likeness is None else NOTHING
        return verdict.facts | {"said": self._trouble(verdict) or said or verdict.words}

    @property
    def best(self) -> Attempt:
        return min(self.made, key=lambda attempt: attempt.verdict.rank)

    @property
    def hopeless(self) -> bool:
        """Whether every drawing shows again what was erased, which the emptied scene does not."""
        return self.best.verdict.redrawn and not self.goal.redrawn

    @property
    def facts(self) -> dict[str, object]:
        """For a result's report: every drawing with its seed and numbers, which was kept and why."""
        best = self.best
        why = "the only one" if not self.refused else "the only one that was let out"
        if len(self.made) > 1:
            why = f"the first with {NOTHING}" if not self.trouble else "the best of those that were drawn"
        kept: dict[str, object] = {"seed": best.seed, "why": why}
        if self.hopeless:
            kept = {"seed": None, "why": "every drawing shows again what was erased, so the emptied scene stays"}
        return {"draws": [*self._told], "emptied": self._facts(self.goal), "kept": kept}


def seeds(seed: int, count: int) -> Iterator[int]:
    """Those of a hole's drawings: the seed itself, so that a drawing can be had again by its seed, then others that
    are far from it, as variations and tries of a whole result have the seeds that follow. Below 2**53, exact in JSON.
    """
    yield seed
    for number in range(1, count):
        yield int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> np.uint64(11))
