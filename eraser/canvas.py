"""An image with a hole, and the part of it that an engine sees.

Colour is (H, W, C) in the image's own dtype, C = 1 (grey), 3 (RGB) or 4 (CMYK); alpha is apart, (H, W) or None.
Only `view` turns native values into floats, and only for the box it is asked for, so a small hole in a huge image
stays small.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eraser.errors import EmptyHole, NothingKnown, OutOfRange, SizeMismatch, UnsupportedImage
from eraser.geometry import Box, Size
from eraser.machine import usable_processors

_BLOCK = 1 << 21  # values handled at once: temporaries stay at a few tens of megabytes
_LARGE_COPY = 1 << 25  # bytes that are worth starting threads for


@dataclass(frozen=True, slots=True)
class View:
    """What an engine sees.

    pixels (H, W, C) float32 in [-1, 1], 0 under the hole · hole (H, W) bool, True for every pixel whose colour is
    not known: those to be erased, and those that cannot be trusted (transparent, not finite) · lends_texture: False
    where the known pixels are of another kind than the hole's (a subject before its background), so that no texture
    may be taken from them.

    erased(box) gives a part of the view with what is under the hole, where that is known. It is there for judging
    fillings, never for making one: an engine may choose among fillings by it, and each is the same whatever it holds.
    """

    pixels: np.ndarray
    hole: np.ndarray
    erased: Callable[[Box], np.ndarray] | None = None
    lends_texture: bool = True

    @property
    def size(self) -> Size:
        return Size(self.hole.shape[1], self.hole.shape[0])


@dataclass(frozen=True, slots=True)
class Scale:
    """The way between native values and an engine's [-1, 1]: native = middle + half * value."""

    middle: float
    half: float
    dtype: np.dtype

    @classmethod
    def of(cls, colour: np.ndarray, known: np.ndarray) -> Scale:
        """The scale of a window: (H, W, C) native colour, (H, W) bool known.

        8- and 16-bit images span their type. Floats span [0, 1] unless known values leave it, then what is known
        less what lies far outside the rest (a sun in the window must not squeeze everything else into one level);
        so do 32-bit integers, which mostly hold 8 or 16 bits.
        """
        dtype = colour.dtype
        if dtype == np.bool_:
            return cls(0.5, 0.5, dtype)
        if dtype.kind == "u":
            top = float(np.iinfo(dtype).max)
            return cls(top / 2, top / 2, dtype)
        low, high = _known_range(colour, known)
        for top in (1.0,) if dtype.kind == "f" else (255.0, 65535.0):
            if low >= 0 and high <= top:
                return cls(top / 2, top / 2, dtype)
        half = high / 2 - low / 2  # halved first: the difference of two float64 may overflow
        # one flat colour has no width of its own, and 1e-300 of width would overflow in float32
        return cls(low / 2 + high / 2, half if half > abs(high) * 1e-12 and half > 1e-30 else 1.0, dtype)

    def encode(self, native: np.ndarray) -> np.ndarray:
        """Native values (H, W, C) as float32 in [-1, 1]; values that are not finite come out as they are."""
        encoded = np.empty(native.shape, np.float32)
        # float32 holds 16-bit values exactly; wider types are shifted before they are rounded
        wide: type[np.floating] = np.float32 if native.dtype.itemsize <= 2 and native.dtype.kind in "bu" else np.float64
        with np.errstate(invalid="ignore", over="ignore"):
            for rows in row_blocks(native.shape):
                encoded[rows] = (native[rows].astype(wide) - wide(self.middle)) / wide(self.half)
            return np.clip(encoded, -1, 1, out=encoded)

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Values in [-1, 1] (clipped) as native values: integers are rounded."""
        native = np.clip(values, -1, 1).astype(np.float64)
        with np.errstate(over="ignore"):  # beside the largest float64 the ends are rounded beyond it, and clipped below
            native *= self.half
            native += self.middle
        if self.dtype == np.bool_:
            return native >= 0.5
        if self.dtype.kind in "iu":
            np.rint(native, out=native)
        bounds: Any = np.iinfo(self.dtype) if self.dtype.kind in "iu" else np.finfo(self.dtype)
        return np.clip(native, float(bounds.min), float(bounds.max)).astype(self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """An image and where to paint it: colour (H, W, C), hole (H, W) bool, alpha (H, W) or None. Borrows its arrays.

    erases: whether what is under the hole was in the picture, and is no margin that is only to be painted.

    Raises SizeMismatch, UnsupportedImage (no pixels, a dtype or channel count that no engine takes, values that are
    not finite outside the hole), EmptyHole (nothing to paint) and NothingKnown (nothing visible outside the hole).
    """

    colour: np.ndarray
    hole: np.ndarray
    alpha: np.ndarray | None = None
    erases: bool = True

    def __post_init__(self) -> None:
        check_colour(self.colour, self.alpha)
        if self.hole.shape != self.colour.shape[:2]:
            have = Size(*self.hole.shape[1::-1]) if self.hole.ndim >= 2 else f"of {self.hole.ndim} dimensions"
            raise SizeMismatch(f"the hole is {have}, the image {self.size}", hint="make the mask from this image")
        if self.hole.dtype != np.bool_:
            raise UnsupportedImage(
                f"the hole is of type {self.hole.dtype}, not bool", hint="pass masks through eraser.masks.to_hole"
            )
        if not self.hole.any():
            raise EmptyHole(
                f"the mask marks none of the image's {self.size.area} pixels", hint="paint white what should vanish"
            )
        if not self._knows_something():
            visible = "" if self.alpha is None or self.hole.all() else " that can be seen"
            raise NothingKnown(
                f"the mask leaves no pixel{visible} of the {self.size} image outside the hole",
                hint="leave more of the surroundings unpainted (marks are widened a little unless grow is 0); "
                "white is what vanishes, so perhaps invert the mask",
            )
        self._check_finite()

    @property
    def size(self) -> Size:
        return Size(self.colour.shape[1], self.colour.shape[0])

    def view(self, box: Box) -> tuple[View, Scale]:
        """The box as an engine sees it, and the scale that brings its answer back. Costs what the box costs.

        Raises OutOfRange where the box is empty or leaves the canvas.
        """
        if box.width <= 0 or box.height <= 0 or not self.size.box.contains(box):
            raise OutOfRange(f"the box {box} is not inside the {self.size} canvas", hint="clamp it first")
        colour = self.colour[box.slices]
        unknown = self.hole[box.slices].copy()
        if self.alpha is not None:
            unknown |= ~(self.alpha[box.slices] > 0)  # NaN too
        if colour.dtype.kind == "f":
            for rows in row_blocks(colour.shape):
                unknown[rows] |= ~np.isfinite(colour[rows]).all(axis=2)
        scale = Scale.of(colour, ~unknown)
        pixels = scale.encode(colour)
        pixels[unknown] = 0
        # what cannot be seen, or is no number, was not erased
        erased = None
        if self.erases and self._shows(box):
            erased = functools.partial(_encoded, scale, colour)
        return View(pixels, unknown, erased), scale

    def _shows(self, box: Box) -> bool:
        """Whether every pixel of the box can be seen and is finite."""
        if self.alpha is not None and not (self.alpha[box.slices] > 0).all():
            return False
        return self.colour.dtype.kind != "f" or bool(np.isfinite(self.colour[box.slices]).all())

    def _knows_something(self) -> bool:
        for rows in row_blocks(self.hole.shape):
            known = ~self.hole[rows]
            if self.alpha is not None:
                known &= self.alpha[rows] > 0
            if known.any():
                return True
        return False

    def _check_finite(self) -> None:
        if self.colour.dtype.kind != "f":
            return
        count, first = 0, (0, 0)
        for rows in row_blocks(self.colour.shape):
            block = self.colour[rows]
            # min and max let NaN through and are several times quicker than asking each value
            if np.isfinite(block.min()) and np.isfinite(block.max()):
                continue
            bad = ~np.isfinite(block).all(axis=2) & ~self.hole[rows]
            if self.alpha is not None:
                bad &= self.alpha[rows] > 0
            if bad.any() and count == 0:
                y, x = np.argwhere(bad)[0]
                first = (int(x), int(y) + rows.start)
            count += int(np.count_nonzero(bad))
        if count:
            raise UnsupportedImage(
                f"{count} of {self.size.area} pixels are NaN or infinite outside the hole, the first at "
                f"({first[0]}, {first[1]})",
                hint="replace them, or paint them into the mask so that they are filled",
            )


def extend(
    colour: np.ndarray,
    alpha: np.ndarray | None = None,
    *,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
) -> Canvas:
    """A larger canvas around the image: its margins (pixels per side) are the hole, black and opaque until painted.

    Raises OutOfRange for a negative side, EmptyHole where all four are 0.
    """
    check_colour(colour, alpha)
    sides = {"left": left, "top": top, "right": right, "bottom": bottom}
    for side, amount in sides.items():
        if amount < 0:
            raise OutOfRange(f"{side} is {amount} pixels", hint="a side grows by 0 or more pixels")
    height, width, channels = colour.shape
    size = Size(width + left + right, height + top + bottom)
    if not any(sides.values()):
        raise EmptyHole(f"no side of the {Size(width, height)} image grows", hint="give at least one side pixels")
    inside = Box(left, top, width, height).slices
    larger = np.zeros((size.height, size.width, channels), colour.dtype)
    larger[inside] = colour
    hole = np.ones((size.height, size.width), np.bool_)
    hole[inside] = False
    larger_alpha = None
    if alpha is not None:
        larger_alpha = np.full((size.height, size.width), opaque(alpha.dtype), alpha.dtype)
        larger_alpha[inside] = alpha
    return Canvas(larger, hole, larger_alpha, erases=False)


def check_colour(colour: np.ndarray, alpha: np.ndarray | None) -> None:
    """Raises UnsupportedImage or SizeMismatch unless (colour, alpha) have the shapes and types of a canvas."""
    if colour.ndim != 3 or colour.shape[2] not in (1, 3, 4):
        raise UnsupportedImage(
            f"colour of shape {colour.shape} is not (height, width, channels)", hint="channels must be 1, 3 or 4"
        )
    if colour.size == 0:
        raise UnsupportedImage(f"the image is {colour.shape[1]}x{colour.shape[0]}, so it has no pixels")
    if not (colour.dtype == np.bool_ or (colour.dtype.kind in "uif" and colour.dtype.itemsize <= 8)):
        raise UnsupportedImage(f"pixels of type {colour.dtype} cannot be painted", hint="convert to uint8 or float32")
    if alpha is not None and alpha.shape != colour.shape[:2]:
        raise SizeMismatch(f"alpha has shape {alpha.shape}, the image {colour.shape[:2]}")


def opaque(dtype: np.dtype | type) -> float | int | bool:
    """The alpha value of that type which hides everything behind it: the largest integer, or 1."""
    dtype = np.dtype(dtype)
    return int(np.iinfo(dtype).max) if dtype.kind in "ui" else dtype.type(1).item()


def _encoded(scale: Scale, colour: np.ndarray, box: Box) -> np.ndarray:
    return scale.encode(colour[box.slices])


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of whole rows that cover an array of this shape, a few million values each."""
    height = shape[0]
    step = max(1, _BLOCK // max(1, int(np.prod(shape[1:]))))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def copied(array: np.ndarray) -> np.ndarray:
    """A copy whose bands lie in memory as the original's do; a large one is made by all processors.

    What takes time is the system's handing out fresh memory, page by page, which it does for several at once. That
    pays where rows lie one after the other, as they nearly always do.
    """
    copy = np.empty_like(array, subok=False)
    if array.nbytes < _LARGE_COPY:
        np.copyto(copy, array)
        return copy
    from concurrent.futures import ThreadPoolExecutor

    def lay(rows: slice) -> None:
        np.copyto(copy[rows], array[rows])

    with ThreadPoolExecutor(usable_processors()) as pool:
        list(pool.map(lay, row_blocks(array.shape)))
    return copy


def _known_range(colour: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    samples = []
    for rows in row_blocks(colour.shape):
        values = colour[rows][known[rows]]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            samples.append(values.ravel()[:: max(1, values.size // 50_000)])
    if low > high:
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is outside low and high anyway
        # halved first: quantiles lie between two values, whose difference may overflow
        near, far = np.quantile(np.concatenate(samples).astype(np.float64) / 2, [0.005, 0.995])
        spread = far - near
        return max(low, float(2 * near - spread)), min(high, float(2 * far + spread))
