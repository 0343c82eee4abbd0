"""Drawings of one hole, judged one after the other: which to keep, whether to draw again, and what to say of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from eraser.engines.structure import Drawing
from eraser.judge import Verdict

# times the emptied scene's misfit, up to which a drawing fits: the truth does in 96 of 100 cases, objects in 6
# (docs/decisions/0011-the-check-after-a-removal.md)
ENOUGH = 1.5
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

    def add(self, seed: int, drawing: Drawing, verdict: Verdict) -> None:
        self.made.append(Attempt(seed, drawing, verdict))

    @property
    def trouble(self) -> str:
        """What is wrong with the last one, "" for nothing."""
        verdict = self.made[-1].verdict
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
        why = "the only one"
        if len(self.made) > 1:
            why = "the first with nothing against it" if not self.trouble else "the best of those that were drawn"
        kept: dict[str, object] = {"seed": best.seed, "why": why}
        if self.hopeless:
            kept = {"seed": None, "why": "every drawing shows again what was erased, so the emptied scene stays"}
        return {
            "draws": [{"seed": attempt.seed} | attempt.verdict.facts for attempt in self.made],
            "emptied": self.goal.facts,
            "kept": kept,
        }
