"""A loaded engine, used many times: from any kind of image and mask to the same kind of image, filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from eraser.canvas import Canvas, View, extend
from eraser.compose import compose
from eraser.engines import registry
from eraser.engines.base import EngineInfo, Progress
from eraser.errors import Cancelled, EngineError, OutOfMemory, OutOfRange
from eraser.geometry import Box, Size
from eraser.judge import Verdict, judge
from eraser.masks import Grow, prepare
from eraser.pictures import Picture
from eraser.window import Window, windows

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from eraser.files import Photo

    Image: TypeAlias = PillowImage | np.ndarray | Photo | str | Path
    Mask: TypeAlias = PillowImage | np.ndarray | Box | str | Path

Amount = int | str  # pixels, or percent of that side like "20%"
OnStep = Callable[[Progress], object]
MOST_SEED = 2**63 - 1
MOST_TRIES = 16
MOST_SIDE = 65_535  # pixels of a side after extending: what common formats hold
MOST_AREA = 500_000_000  # pixels after extending: as many as files are read with


class Eraser:
    """An engine, loaded once per process. Thread-safe; a context manager, so that engines may come to hold memory.

    engine  a name from `engines()`, or "auto" for the first of them
    Raises UnknownEngine, and what loading that engine raises.
    """

    def __init__(self, engine: str = registry.AUTO) -> None:
        self._engine = registry.load(engine)

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def device(self) -> str:
        """Where it computes: "CPU", unless the engine says otherwise."""
        return str(getattr(self._engine, "runs_on", "CPU"))

    def __enter__(self) -> Eraser:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def erase(
        self,
        image: Image,
        mask: Mask,
        *,
        seed: int = 0,
        tries: int = 1,
        grow: Grow = "auto",
        prompt: str | None = None,
        make_opaque: bool = False,
        on_step: OnStep | None = None,
    ) -> Any:
        """The image without what the mask marks; see `eraser.erase`."""
        steps = self.erase_steps(image, mask, seed=seed, tries=tries, grow=grow, prompt=prompt, make_opaque=make_opaque)
        return _drive(steps, on_step)

    def outpaint(
        self,
        image: Image,
        *,
        left: Amount = 0,
        top: Amount = 0,
        right: Amount = 0,
        bottom: Amount = 0,
        aspect: str | float | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        tries: int = 1,
        prompt: str | None = None,
        on_step: OnStep | None = None,
    ) -> Any:
        """The image continued beyond its sides; see `eraser.outpaint`."""
        steps = self.outpaint_steps(
            image,
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            aspect=aspect,
            size=size,
            seed=seed,
            tries=tries,
            prompt=prompt,
        )
        return _drive(steps, on_step)

    def erase_steps(
        self,
        image: Image,
        mask: Mask,
        *,
        seed: int = 0,
        tries: int = 1,
        grow: Grow = "auto",
        prompt: str | None = None,
        make_opaque: bool = False,
    ) -> Generator[Progress, None, Any]:
        """`erase` as a generator: yields Progress, returns the image. Stop iterating, and nothing has happened."""
        _check_seed(seed, tries)
        picture = Picture.open(image)
        hole = prepare(mask, picture.size, grow)
        canvas = Canvas(picture.colour, hole, picture.alpha)
        colour = yield from self._fill(canvas, picture.writable, seed, tries, prompt)
        return picture.close(colour, hole, make_opaque=make_opaque)

    def outpaint_steps(
        self,
        image: Image,
        *,
        left: Amount = 0,
        top: Amount = 0,
        right: Amount = 0,
        bottom: Amount = 0,
        aspect: str | float | None = None,
        size: tuple[int, int] | None = None,
        seed: int = 0,
        tries: int = 1,
        prompt: str | None = None,
    ) -> Generator[Progress, None, Any]:
        """`outpaint` as a generator: yields Progress, returns the image."""
        _check_seed(seed, tries)
        picture = Picture.open(image)
        sides = margins(picture.size, left=left, top=top, right=right, bottom=bottom, aspect=aspect, size=size)
        canvas = extend(picture.colour, picture.alpha, **sides)
        colour = yield from self._fill(canvas, lambda: canvas.colour, seed, tries, prompt)
        return picture.close(colour, canvas.hole, left=sides["left"], top=sides["top"])

    def _fill(
        self, canvas: Canvas, writable: Callable[[], np.ndarray], seed: int, tries: int, prompt: str | None
    ) -> Generator[Progress, None, np.ndarray]:
        self._check_prompt(prompt)
        work = replace(canvas, colour=writable())
        return (yield from self.paint_steps(work, windows(canvas.hole), seed=seed, tries=tries, prompt=prompt))

    def paint_steps(
        self, canvas: Canvas, parts: list[Window], *, seed: int = 0, tries: int = 1, prompt: str | None = None
    ) -> Generator[Progress, None, np.ndarray]:
        """Paint these windows of a canvas into its own colour, which is written to and returned.

        The canvas may be cut from a larger one, the parts being the larger one's windows relative to the cut: an
        engine sees a window and nothing else, so the same pixels come out.
        """
        _check_seed(seed, tries)
        self._check_prompt(prompt)
        total = sum(part.hole_pixels for part in parts)
        unpainted = canvas.hole.copy() if len(parts) > 1 else canvas.hole
        # borrows its arrays, so each part sees what the parts before it painted
        work = replace(canvas, hole=unpainted)
        done = 0
        for part in parts:
            view, scale = work.view(part.box)
            steps = self._best_of(view, seed, tries, prompt)
            filling = yield from _scaled(steps, done / total, part.hole_pixels / total, part.box)
            target = part.target.relative_to(part.box)
            compose(work.colour, unpainted, filling[target.slices], part.target, scale=scale, out=work.colour)
            done += part.hole_pixels
            if len(parts) > 1:
                unpainted[part.target.slices] = False
        return work.colour

    def _best_of(self, view: View, seed: int, tries: int, prompt: str | None) -> Generator[Progress, None, np.ndarray]:
        """The filling, out of those of `tries` seeds in a row, that shows least of what was erased and fits its
        surroundings best."""
        if tries == 1:
            return (yield from self._engine.fill(view, seed=int(seed), prompt=prompt))
        erased = None
        if view.erased is not None and prompt is None:  # words may well ask for what was there
            erased = view.erased(Box(0, 0, view.size.width, view.size.height))
        best: tuple[int, Verdict, np.ndarray] | None = None
        told = []
        for number in range(tries):
            own = (int(seed) + number) % (MOST_SEED + 1)
            steps = self._engine.fill(view, seed=own, prompt=prompt)
            note = f"try {number + 1} of {tries}: "
            filling = yield from _scaled(steps, number / tries, 1 / tries, None, note)
            verdict = judge(np.where(view.hole[:, :, None], filling, view.pixels), view.hole, erased)
            told.append({"seed": own} | verdict.facts)
            if best is None or verdict.rank < best[1].rank:
                best = own, verdict, filling
        assert best is not None, "there is at least one try"
        yield Progress(1.0, f"kept seed {best[0]}: {best[1].words}", facts={"tries": told, "kept": best[0]})
        return best[2]

    def _check_prompt(self, prompt: str | None) -> None:
        if prompt is not None and not self.info.takes_prompt:
            raise EngineError(
                f'the engine "{self.info.name}" takes no prompt', hint="leave the prompt out, or choose another engine"
            )


def margins(
    of: Size,
    *,
    left: Amount = 0,
    top: Amount = 0,
    right: Amount = 0,
    bottom: Amount = 0,
    aspect: str | float | None = None,
    size: tuple[int, int] | None = None,
) -> dict[str, int]:
    """Pixels to add per side. Sides are pixels or percent ("20%" of that axis); aspect ("16:9", 1.5) and size
    (width, height) share what is missing evenly between the two sides of an axis, and never cut anything off.

    Raises OutOfRange for negative or unreadable amounts, a size smaller than the image, more than one way at once, and
    a result of more than 65535 pixels along a side.
    """
    asked = {"left": left, "top": top, "right": right, "bottom": bottom}
    sides = {
        name: _pixels(name, amount, of.width if name in ("left", "right") else of.height)
        for name, amount in asked.items()
    }
    ways = [name for name, given in [("sides", any(sides.values())), ("aspect", aspect), ("size", size)] if given]
    if len(ways) > 1:
        raise OutOfRange(f"{' and '.join(ways)} are given at once", hint="choose one of them")
    wanted = of
    if aspect is not None:
        ratio = _ratio(aspect)
        wanted = Size(max(of.width, round(of.height * ratio)), max(of.height, round(of.width / ratio)))
    elif size is not None:
        wanted = Size(int(size[0]), int(size[1]))
        if wanted.width < of.width or wanted.height < of.height:
            raise OutOfRange(
                f"the size {wanted} is smaller than the image's {of}",
                hint="extending only adds: ask for at least the image's own size",
            )
    if wanted != of:
        across, down = wanted.width - of.width, wanted.height - of.height
        sides = {"left": across // 2, "top": down // 2, "right": across - across // 2, "bottom": down - down // 2}
    result = Size(of.width + sides["left"] + sides["right"], of.height + sides["top"] + sides["bottom"])
    if max(result.width, result.height) > MOST_SIDE or result.area > MOST_AREA:
        raise OutOfRange(
            f"the result would be {result}",
            hint=f"stay within {MOST_SIDE} pixels a side and {MOST_AREA // 1_000_000} megapixels in all",
        )
    return sides


def _pixels(name: str, amount: Amount, length: int) -> int:
    hint = 'give whole pixels, or percent of that side like "20%"'
    asked: float | int = 0
    if isinstance(amount, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|px)?\s*", amount)
        if match is None:
            raise OutOfRange(f'{name} is "{amount}", not an amount', hint=hint)
        asked = float(match[1])
        if match[2] == "%":
            if asked > 400:
                raise OutOfRange(f"{name} is {amount}, above 400%", hint="extend in several goes")
            return round(length * asked / 100)
    else:
        asked = amount
    try:
        pixels = int(asked)
    except (TypeError, ValueError, OverflowError):  # None, nan, infinity
        raise OutOfRange(f"{name} is {amount}, not an amount", hint=hint) from None
    if pixels != asked:
        raise OutOfRange(f"{name} is {amount}, not a whole number of pixels", hint=hint)
    if pixels < 0:
        raise OutOfRange(f"{name} is {amount}, below 0", hint=hint)
    return pixels


def _ratio(aspect: str | float) -> float:
    text = str(aspect).strip()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[:/x]\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)", text)
    ratio = 0.0
    if match is not None:
        ratio = float(match[3]) if match[3] else float(match[1]) / (float(match[2]) or np.inf)
    if not 0.05 <= ratio <= 20:
        raise OutOfRange(
            f'the aspect ratio "{aspect}" is not between 1:20 and 20:1', hint='write it like "16:9" or 1.5'
        )
    return ratio


def _check_seed(seed: int, tries: int) -> None:
    for name, number, least, most in (("seed", seed, 0, MOST_SEED), ("number of tries", tries, 1, MOST_TRIES)):
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not least <= number <= most:
            raise OutOfRange(f"the {name} is {number!r}", hint=f"give a whole number from {least} to {most}")


def _scaled(
    steps: Generator[Progress, None, np.ndarray], start: float, share: float, box: Box | None, note: str = ""
) -> Generator[Progress, None, np.ndarray]:
    """Pass progress on as a share of a larger one's, with a note before its own; returns what the steps return."""
    try:
        while True:
            step = next(steps)
            yield replace(step, fraction=min(1.0, start + share * step.fraction), note=note + step.note, box=box)
    except StopIteration as finished:
        filling: np.ndarray = finished.value
        return filling
    finally:
        steps.close()


def _drive(steps: Generator[Progress, None, Any], on_step: OnStep | None) -> Any:
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
