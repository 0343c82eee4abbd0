"""How far a picture is extended on each side, from amounts, a shape or a size."""

from __future__ import annotations

import math
import re

from eraser.errors import OutOfRange
from eraser.geometry import Size

Amount = int | str  # pixels, or percent of that side like "20%"
MOST_SIDE = 65_535  # pixels of a side after extending: what common formats hold
MOST_AREA = 500_000_000  # pixels after extending: as many as files are read with


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
        ratio = float(match[3]) if match[3] else float(match[1]) / (float(match[2]) or math.inf)
    if not 0.05 <= ratio <= 20:
        raise OutOfRange(
            f'the aspect ratio "{aspect}" is not between 1:20 and 20:1', hint='write it like "16:9" or 1.5'
        )
    return ratio
