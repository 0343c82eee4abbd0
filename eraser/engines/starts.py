"""From how much of the noise a drawing starts, in whole steps, and what a pipeline has to be asked for to start there.

diffusers takes a share of the steps (`strength`), leaves the first ones out and rounds: U-Nets' pipelines round what is
run down, the transformers' what is left out, so that 0.99 of 30 steps is 29 there and 30 here, which is noise alone.
"""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 9  # steps, from which on one more that is left out is little: a tenth of them at most
WITHIN = 0.01  # of a step, to keep clear of the rounding


@dataclass(frozen=True, slots=True)
class Start:
    """asked: steps that a pipeline is asked for · run: the last of them, as the first ones are left out."""

    asked: int
    run: int

    @property
    def share(self) -> float:
        """Of the steps; 1 is noise alone."""
        return self.run / self.asked

    def strength(self, *, rounds_down: bool) -> float:
        """What to ask a pipeline for; rounds_down: it does so with the steps that are run, not with those left out."""
        if self.run == self.asked:
            return 1.0
        return (self.run + (WITHIN if rounds_down else -WITHIN)) / self.asked


def start(steps: int, strength: float, most: int) -> Start:
    """`steps` are run, and so many more asked for that they begin at `strength` of the noise.

    Below 1 at least one is left out, or what the drawing starts from would not be seen at all, unless there are so few
    that one is a large part of the noise. most: steps that a scheduler has, of which fewer are run if need be.
    """
    left_out = round(steps / strength) - steps
    if strength < 1 and left_out == 0 and steps >= ENOUGH:
        left_out = 1
    asked = max(steps, min(steps + left_out, most))
    return Start(asked, min(steps, max(1, round(asked * strength))))
