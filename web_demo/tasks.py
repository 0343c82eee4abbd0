"""What people ask of an engine: to erase what is painted, or to extend the photo."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eraser import masks
from eraser.engines.base import Progress
from eraser.errors import EmptyHole, NothingKnown, OutOfRange
from eraser.fillings import MOST_SEED
from eraser.geometry import Box, Size
from eraser.margins import margins
from eraser.session import Eraser
from web_demo import screen

if TYPE_CHECKING:
    from eraser.files import Photo


LEAST_PART = 160  # pixels of the screen copy that are shown of a variation


@dataclass(frozen=True, slots=True)
class Settings:
    """The Advanced fold."""

    engine: str = "auto"
    seed: int = 0
    grow: masks.Grow = "auto"
    prompt: str | None = None


def settings(engine: Any, seed: Any, grow: Any, prompt: Any) -> Settings:
    """From what was typed. Raises OutOfRange."""
    return Settings(str(engine or "auto"), read_seed(seed), read_grow(grow), str(prompt) if prompt else None)


def read_seed(value: Any) -> int:
    try:
        number = int(value or 0)
    except (TypeError, ValueError, OverflowError):  # text, nan, infinity
        number = -1
    if not 0 <= number <= MOST_SEED or number != (value or 0):
        raise OutOfRange(
            f"the seed is {value if isinstance(value, int | float) else 'no number'}",
            hint=f"give a whole number from 0 to {MOST_SEED}",
        )
    return number


def read_grow(text: Any) -> masks.Grow:
    text = str("auto" if text is None or text == "" else text).strip().lower()
    try:
        return "auto" if text == "auto" else float(text)
    except ValueError:
        raise OutOfRange(f'the hole is to be widened by "{text:.20}"', hint="give auto or a number of pixels") from None


@dataclass(frozen=True, slots=True, eq=False)
class Erasing:
    """What was painted, (H, W) bool of the screen copy's size."""

    mask: np.ndarray
    label = "Erased"
    ending = "erased"

    @property
    def is_empty(self) -> bool:
        return not self.mask.any()

    def check(self, size: Size, most_megapixels: float) -> None:
        """Raises EmptyHole, NothingKnown."""
        if self.is_empty:
            raise EmptyHole("nothing is painted yet", hint="paint over what is to vanish, then press Erase")
        if self.mask.all():
            raise _all_painted()

    def whole(self, size: Size) -> Box:
        """Where the result lies, in the photograph's pixels."""
        return size.box

    def part(self) -> Box:
        """Of the mask's pixels: those that were painted and as much round them, by which results can be told apart."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        height, width = self.mask.shape
        side = max(LEAST_PART, 2 * int(max(np.ptp(rows), np.ptp(columns)) + 1))
        wide, high = min(side, width), min(side, height)
        left, top = (int(places[0] + places[-1] + 1) // 2 for places in (columns, rows))
        return Box(min(max(0, left - wide // 2), width - wide), min(max(0, top - high // 2), height - high), wide, high)

    def steps(self, session: Eraser, photo: Photo, settings: Settings) -> Generator[Progress, None, Photo]:
        hole = screen.scale_mask(self.mask, photo.size)
        steps = session.erase_steps(photo, hole, seed=settings.seed, grow=settings.grow, prompt=settings.prompt)
        try:
            return (yield from steps)
        except NothingKnown as error:  # a few dots were left, and strokes are widened
            raise _all_painted() from error


@dataclass(frozen=True, slots=True)
class Extending:
    """Pixels to add per side."""

    sides: dict[str, int]
    label = "Extended"
    ending = "extended"

    @property
    def is_empty(self) -> bool:
        return not any(self.sides.values())

    def check(self, size: Size, most_megapixels: float) -> None:
        """Raises EmptyHole, OutOfRange."""
        if self.is_empty:
            raise EmptyHole(
                "the frame is as large as the photograph",
                hint="drag a side of the frame outwards, or choose another shape",
            )
        check_result(self.whole(size), most_megapixels)

    def whole(self, size: Size) -> Box:
        across, down = self.sides["left"] + self.sides["right"], self.sides["top"] + self.sides["bottom"]
        return Box(-self.sides["left"], -self.sides["top"], size.width + across, size.height + down)

    def steps(self, session: Eraser, photo: Photo, settings: Settings) -> Generator[Progress, None, Photo]:
        sides = self.sides
        return session.outpaint_steps(
            photo, left=sides["left"], top=sides["top"], right=sides["right"], bottom=sides["bottom"],
            seed=settings.seed, prompt=settings.prompt,
        )  # fmt: skip


Task = Erasing | Extending


def _all_painted() -> NothingKnown:
    return NothingKnown(
        "the whole photograph is painted over, so there is nothing left to continue from", hint="unpaint a part of it"
    )


def extending(size: Size, *, aspect: Any = None, sides: Any = None) -> Extending:
    """What the browser asks for. Raises OutOfRange."""
    if aspect is not None:
        return Extending(margins(size, aspect=str(aspect)))
    asked = sides if isinstance(sides, dict) else {}
    left, top, right, bottom = (asked.get(name) or 0 for name in ("left", "top", "right", "bottom"))
    return Extending(margins(size, left=left, top=top, right=right, bottom=bottom))


def check_result(box: Box, most_megapixels: float) -> None:
    """Raises OutOfRange where extending would make more than one may bring."""
    megapixels = box.width * box.height / 1e6
    if megapixels > most_megapixels:
        raise OutOfRange(
            f"the result would have {megapixels:.0f} megapixels, and this page makes up to {most_megapixels:g}",
            hint="add less, or use the eraser command on your own machine",
        )
