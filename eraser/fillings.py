"""Windows of a canvas filled one after the other, each by the best of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from eraser.canvas import Canvas, View
from eraser.compose import compose
from eraser.engines.base import Engine, Progress
from eraser.engines.lanes import lanes_of, side_by_side
from eraser.errors import Cancelled, OutOfMemory, OutOfRange
from eraser.geometry import Box
from eraser.judge import Verdict, judge
from eraser.report import Attempt, Part, Recorder
from eraser.window import Window

OnStep = Callable[[Progress], object]
MOST_SEED = 2**63 - 1
MOST_TRIES = 16


def paint(
    engine: Engine, canvas: Canvas, parts: list[Window], seed: int, tries: int, prompt: str | None, recorder: Recorder
) -> Generator[Progress, None, np.ndarray]:
    """Fill these windows of a canvas into its own colour, which is written to and returned."""
    total = sum(part.hole_pixels for part in parts)
    unpainted = canvas.hole.copy() if len(parts) > 1 else canvas.hole
    # borrows its arrays, so each part sees what the parts before it painted
    work = replace(canvas, hole=unpainted)
    done = 0
    for part in parts:
        record, before = recorder.part(part.box, part.hole_pixels), recorder.seconds
        view, scale = work.view(part.box)
        steps = best_of(engine, view, seed, tries, prompt, record)
        filling = yield from scaled(steps, done / total, part.hole_pixels / total, part.box)
        target = part.target.relative_to(part.box)
        compose(work.colour, unpainted, filling[target.slices], part.target, scale=scale, out=work.colour)
        done += part.hole_pixels
        if len(parts) > 1:
            unpainted[part.target.slices] = False
        record.seconds = recorder.seconds - before
    return work.colour


def best_of(
    engine: Engine, view: View, seed: int, tries: int, prompt: str | None, record: Part
) -> Generator[Progress, None, np.ndarray]:
    """The filling, out of those of `tries` seeds in a row, that shows least of what was erased and fits its
    surroundings best."""
    attempts = [Attempt((int(seed) + number) % (MOST_SEED + 1)) for number in range(tries)]
    record.attempts.extend(attempts)
    if tries == 1:
        steps = engine.fill(view, seed=attempts[0].seed, prompt=prompt)
        return (yield from scaled(steps, 0.0, 1.0, None, "", attempts[0]))
    erased = None
    if view.erased is not None and prompt is None:  # words may well ask for what was there
        erased = view.erased(Box(0, 0, view.size.width, view.size.height))
    makers = [partial(engine.fill, view, seed=attempt.seed, prompt=prompt) for attempt in attempts]
    done = [0.0] * tries
    best: tuple[int, Verdict, np.ndarray] | None = None
    with closing(side_by_side(makers, lanes_of(engine))) as told:
        for number, step in told:
            if isinstance(step, Progress):
                attempts[number].hear(step.facts)
                done[number] = step.fraction
                note = f"try {number + 1} of {tries}: {step.note}"
                yield replace(step, fraction=min(1.0, sum(done) / tries), note=note)
                continue
            filling, done[number] = step.result, 1.0
            verdict = judge(np.where(view.hole[:, :, None], filling, view.pixels), view.hole, erased)
            attempts[number].verdict = verdict
            if best is None or (verdict.rank, number) < (best[1].rank, best[0]):
                best = number, verdict, filling
    assert best is not None, "there is at least one try"
    record.kept = best[0]
    yield Progress(1.0, f"kept seed {attempts[best[0]].seed}: {best[1].words}")
    return best[2]


def scaled(
    steps: Generator[Progress, None, np.ndarray],
    start: float,
    share: float,
    box: Box | None,
    note: str = "",
    attempt: Attempt | None = None,
) -> Generator[Progress, None, np.ndarray]:
    """Pass progress on as a share of a larger one's, with a note before its own; returns what the steps return.

    attempt: hears the facts on the way
    """
    try:
        while True:
            step = next(steps)
            if attempt is not None and step.facts:
                attempt.hear(step.facts)
            yield replace(step, fraction=min(1.0, start + share * step.fraction), note=note + step.note, box=box)
    except StopIteration as finished:
        filling: np.ndarray = finished.value
        return filling
    finally:
        steps.close()


def drive(steps: Generator[Progress, None, Any], on_step: OnStep | None) -> Any:
    """Run to the end; `on_step` returning False cancels."""
    try:
        while True:
            progress = next(steps)
            if on_step is not None and on_step(progress) is False:
                raise Cancelled(f"cancelled at {progress.fraction:.0%}", hint="nothing was changed")
    except StopIteration as finished:
        return finished.value
    except MemoryError as error:
        raise OutOfMemory(
            "memory ran out while painting", hint="close other programs, or erase in several smaller parts"
        ) from error
    finally:
        steps.close()


def check_seed(seed: int, tries: int) -> None:
    """Raises OutOfRange."""
    whole("seed", seed, 0, MOST_SEED)
    whole("number of tries", tries, 1, MOST_TRIES)


def whole(name: str, number: object, least: int, most: int) -> int:
    """A whole number within its limits. Raises OutOfRange."""
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not least <= number <= most:
        raise OutOfRange(f"the {name} is {number!r}", hint=f"give a whole number from {least} to {most}")
    return int(number)
