"""How far a canvas grows on each side, from pixels, percent or a shape. Arithmetic only; twin of eraser.session."""

from __future__ import annotations

MOST_SIDE = 65_535  # pixels of a side after extending
MOST_AREA = 500_000_000  # pixels after extending
SHAPES = ("1:1", "5:4", "4:3", "3:2", "16:9", "21:9", "4:5", "3:4", "2:3", "9:16")

Size = tuple[int, int]


class TooFar(ValueError):
    """A sentence: the canvas would not grow, or grow too large."""


def margins(size: Size, sides: dict[str, float], *, percent: bool = False, shape: str = "") -> dict[str, int]:
    """Pixels to add on the left, top, right and bottom of a (width, height) canvas. Raises TooFar.

    sides are pixels, or percent of that side's axis; a shape ("16:9") is used instead of them, with what is missing
    shared evenly between both sides of an axis.
    """
    width, height = size
    if shape:
        across, down = (float(part) for part in shape.split(":"))
        wider = max(width, round(height * (across / down))) - width
        taller = max(height, round(width / (across / down))) - height
        found = {"left": wider // 2, "top": taller // 2, "right": wider - wider // 2, "bottom": taller - taller // 2}
        if not (wider or taller):
            raise TooFar(f"The canvas of {width} x {height} pixels has the shape {shape} already: choose another one.")
    else:
        axes = {"left": width, "top": height, "right": width, "bottom": height}
        found = {name: round(axes[name] * sides[name] / 100 if percent else sides[name]) for name in axes}
        if not any(found.values()):
            raise TooFar("No side of the canvas grows: give at least one side some pixels, or choose a shape.")
    grown = (width + found["left"] + found["right"], height + found["top"] + found["bottom"])
    if max(grown) > MOST_SIDE or grown[0] * grown[1] > MOST_AREA:
        raise TooFar(
            f"The canvas would be {grown[0]} x {grown[1]} pixels: stay within {MOST_SIDE} a side and "
            f"{MOST_AREA // 1_000_000} megapixels."
        )
    return found
