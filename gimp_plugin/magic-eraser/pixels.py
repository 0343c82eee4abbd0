"""Pixels between GIMP's drawables and the engine: which numbers are read, and the layer that is made of the answer.

8 and 16 bits and floats with perceptual values travel as they are stored, in the image's own colour space, so that no
conversion comes between. Linear light is read as perceptual floats, because textures are compared as the eye sees
them; so is everything that has no 8- or 16-bit or float type of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp  # noqa: E402

Box = tuple[int, int, int, int]  # x, y, width, height

_PERCEPTUAL = {"u8": "u8", "u16": "u16", "u32": "double", "half": "half", "float": "float", "double": "double"}
_LINEAR = {"u8": "float", "u16": "float", "u32": "double", "half": "float", "float": "float", "double": "double"}


class NotWritten(Exception):
    """A sentence: GIMP did not take the new layer."""


@dataclass(frozen=True)
class Encoding:
    """How a drawable's pixels are read: `bands` numbers of type `depth` each, 1 gray, 2 gray+alpha, 3 RGB, 4 RGBA."""

    model: str  # babl's name without A for alpha: Y' Y~ R'G'B' R~G~B~
    has_alpha: bool
    depth: str

    @property
    def bands(self) -> int:
        return (1 if self.model.startswith("Y") else 3) + self.has_alpha

    def name(self, like: Any, *, alpha: bool) -> str:
        """babl's name of it in the colour space of the format `like`."""
        plain = f"{self.model}{'A' if alpha else ''} {self.depth}"
        return Babl.get_name(Babl.format_with_space(plain, Babl.format_get_space(like)))


def encoding_of(drawable: Any) -> Encoding:
    """The encoding that changes a drawable's stored numbers least."""
    gray = drawable.is_gray()
    if drawable.is_indexed():
        return Encoding("R'G'B'", drawable.has_alpha(), "u8")
    model, stored = Babl.format_get_encoding(drawable.get_format()).rsplit(" ", 1)
    if "'" in model:
        return Encoding("Y'" if gray else "R'G'B'", drawable.has_alpha(), _PERCEPTUAL[stored])
    if "~" in model:
        return Encoding("Y~" if gray else "R~G~B~", drawable.has_alpha(), _PERCEPTUAL[stored])
    return Encoding("Y~" if gray else "R~G~B~", drawable.has_alpha(), _LINEAR[stored])


def read(drawable: Any, encoding: Encoding, box: Box) -> bytes:
    """A box of a drawable, in its own coordinates; zeros where it reaches beyond."""
    name = encoding.name(drawable.get_format(), alpha=encoding.has_alpha)
    return _get(drawable, name, box)


def read_selection(image: Any, box: Box) -> bytes:
    """How much each pixel of a box of the image is selected, 0 to 255."""
    return _get(image.get_selection(), "Y u8", box)


def _get(drawable: Any, name: str, box: Box) -> bytes:
    # leaves no reference to the buffer behind: GIMP complains about those that outlive the call
    return drawable.get_buffer().get(Gegl.Rectangle.new(*box), 1.0, name, Gegl.AbyssPolicy.NONE)


def new_layer(image: Any, name: str, box: Box, pixels: Any, encoding: Encoding) -> Any:
    """A layer of the image's precision with these pixels (with alpha), placed at the box, not yet in the image.

    Raises NotWritten.
    """
    x, y, width, height = box
    gray = image.get_base_type() == Gimp.ImageBaseType.GRAY
    kind = Gimp.ImageType.GRAYA_IMAGE if gray else Gimp.ImageType.RGBA_IMAGE
    layer = Gimp.Layer.new(image, name, width, height, kind, 100.0, image.get_default_new_layer_mode())
    if layer is None:
        raise NotWritten(
            f"GIMP could not make a layer of {width} x {height} pixels: close other images, and try again."
        )
    layer.set_offsets(x, y)
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(0, 0, width, height), encoding.name(layer.get_format(), alpha=True), pixels)
    buffer.flush()
    layer.update(0, 0, width, height)
    return layer
