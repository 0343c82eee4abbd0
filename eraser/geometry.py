"""Sizes and boxes as values, in whole pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Box:
    """(x, y) is the top left pixel inside; x + width and y + height are the first outside."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def between(cls, left: int, top: int, right: int, bottom: int) -> Box:
        return cls(left, top, right - left, bottom - top)

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def area(self) -> int:
        return max(0, self.width) * max(0, self.height)

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns): `array[box.slices]` is the box's part of an (H, W, ...) array."""
        return slice(self.y, self.bottom), slice(self.x, self.right)

    def pad(self, horizontal: int, vertical: int | None = None) -> Box:
        """Grown on all four sides; one number for both axes. Negative shrinks."""
        vertical = horizontal if vertical is None else vertical
        return Box(self.x - horizontal, self.y - vertical, self.width + 2 * horizontal, self.height + 2 * vertical)

    def clamp(self, to: Box) -> Box:
        """The part of this box inside `to` (width and height 0 where they do not meet)."""
        left, top = min(max(self.x, to.x), to.right), min(max(self.y, to.y), to.bottom)
        return Box.between(left, top, max(left, min(self.right, to.right)), max(top, min(self.bottom, to.bottom)))

    def union(self, other: Box) -> Box:
        return Box.between(
            min(self.x, other.x), min(self.y, other.y), max(self.right, other.right), max(self.bottom, other.bottom)
        )

    def relative_to(self, origin: Box) -> Box:
        """The same pixels, counted from the origin's top left corner."""
        return Box(self.x - origin.x, self.y - origin.y, self.width, self.height)

    def contains(self, other: Box) -> bool:
        return self.union(other) == self

    def meets(self, other: Box) -> bool:
        return self.clamp(other).area > 0

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"
