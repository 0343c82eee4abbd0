"""What the words of a command line mark on a photo: boxes, outlines, colours, a mask file; and the hole of them all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eraser.errors import EmptyHole, OutOfRange
from eraser.geometry import Box, Size

if TYPE_CHECKING:
    import numpy as np

    from eraser.files import Photo

NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(%?)\s*")


@dataclass(frozen=True, slots=True)
class Marks:
    """Every way to mark an object at once, as a person wrote it."""

    boxes: tuple[str, ...] = ()
    polygons: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    tolerance: int = 10
    grow: str = "auto"

    def hole(self, photo: Photo, mask: Path | None) -> np.ndarray:
        """(H, W) bool: everything that any of them marks, widened. Raises InputError."""
        from eraser import masks

        size = photo.size
        holes = [masks.to_hole(mask, size)] if mask is not None else []
        holes += [masks.from_box(text_to_box(text, size), size) for text in self.boxes]
        holes += [masks.from_polygon(text_to_points(text, size), size) for text in self.polygons]
        holes += [painted(photo, colour, self.tolerance) for colour in self.colours]
        if not holes:
            raise EmptyHole("nothing says what to erase", hint="give a mask file, --box, --polygon or --colour")
        hole = holes[0]
        for other in holes[1:]:
            hole = hole | other
        return masks.prepare(hole, size, text_to_grow(self.grow))

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Marks:
        """Raises InputError where it is none."""
        try:
            texts = {name: tuple(said.get(name, ())) for name in ("boxes", "polygons", "colours")}
            marks = cls(**texts, tolerance=said.get("tolerance", 10), grow=str(said.get("grow", "auto")))
            if not all(isinstance(text, str) for some in texts.values() for text in some):
                raise TypeError("a mark is no text")
            if not isinstance(marks.tolerance, int):
                raise TypeError("the tolerance is no number")
        except TypeError as error:
            raise OutOfRange(f"the marks cannot be read ({error})", hint="look at the sidecar") from None
        return marks


def length(text: str, whole: int) -> float:
    """Pixels from "120", "12.5" or "10%" of `whole`."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise OutOfRange(f"'{text.strip()}' is neither pixels nor percent", hint="write 120 or 10%")
    number, percent = float(match[1]), match[2]
    if percent and not 0 <= number <= 100:
        raise OutOfRange(f"{text.strip()} is outside 0% to 100%", hint=f"the photo has {whole} pixels along this side")
    return number * whole / 100 if percent else number


def text_to_box(text: str, size: Size) -> Box:
    """Whole pixels from "X,Y,WIDTH,HEIGHT", each in pixels or percent of the photo; both edges are rounded."""
    parts = text.split(",")
    if len(parts) != 4:
        raise OutOfRange(f"the box '{text}' has {len(parts)} numbers instead of 4", hint="write X,Y,WIDTH,HEIGHT")
    x, y, width, height = (length(part, size.width if i % 2 == 0 else size.height) for i, part in enumerate(parts))
    box = Box.between(round(x), round(y), round(x + width), round(y + height))
    if box.width < 1 or box.height < 1:
        raise OutOfRange(
            f"the box '{text}' is {box.width}x{box.height} pixels", hint="width and height must be positive"
        )
    if not size.box.contains(box):
        raise OutOfRange(
            f"the box '{text}' reaches from {box.x},{box.y} to {box.right},{box.bottom}, the photo has {size} pixels",
            hint="X,Y is the top left corner, then come width and height",
        )
    return box


def text_to_points(text: str, size: Size) -> list[tuple[float, float]]:
    """Corners from "x,y x,y x,y ...", each in pixels or percent of the photo."""
    points = []
    for corner in text.split():
        parts = corner.split(",")
        if len(parts) != 2:
            raise OutOfRange(f"the corner '{corner}' is not x,y", hint='write "x,y x,y x,y" with three corners or more')
        points.append((length(parts[0], size.width), length(parts[1], size.height)))
    if len(points) < 3:
        raise OutOfRange(f"a polygon has three corners or more, '{text}' has {len(points)}", hint='"x,y x,y x,y"')
    return points


def text_to_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    if match is None:
        raise OutOfRange(f"'{text}' is no size", hint="write WIDTHxHEIGHT, as in 1920x1080")
    return int(match[1]), int(match[2])


def text_to_grow(text: str) -> Literal["auto"] | float:
    if text == "auto":
        return "auto"
    match = NUMBER.fullmatch(text)
    if match is None or match[2]:
        raise OutOfRange(f"'{text}' is neither auto nor pixels", hint="write --grow auto, --grow 0 or --grow 12")
    return float(match[1])


def painted(photo: Photo, text: str, tolerance: int) -> np.ndarray:
    """(H, W) bool: where the photo has the colour "#ff00ff" or "magenta", each channel within the tolerance of 255."""
    from PIL import ImageColor

    from eraser import masks
    from eraser.pictures import Picture

    try:
        colour = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise OutOfRange(f"'{text}' is no colour", hint="write it like #ff00ff, or a name like magenta") from None
    hole = masks.from_colour(Picture.open(photo).colour, colour, tolerance)
    if not hole.any():
        raise EmptyHole(
            f"none of the photo's {photo.size.area} pixels has the colour {text} within {tolerance} of 255",
            hint="paint with a hard brush, or raise --tolerance",
        )
    return hole
