"""A file's picture with everything it carries, and what a header says of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from eraser.geometry import Size
from eraser.layouts import Layout
from eraser.metadata import Metadata
from eraser.pictures import size_of
from eraser.provenance import stronger

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".ppm": "PPM", ".pnm": "PPM",
    ".tga": "TGA", ".jp2": "JPEG2000", ".avif": "AVIF",
}  # fmt: skip


class LossWarning(UserWarning):
    """The file written holds less than the picture: fewer bits, or metadata its kind has no room for."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file's header says. size is as seen upright; mode is Pillow's name, or like "RGB;16" where it has none."""

    format: str
    size: Size
    mode: str
    bits: int  # per channel
    frames: int = 1
    orientation: int = 1  # EXIF's number: how the stored pixels are turned

    @property
    def megapixels(self) -> float:
        return self.size.area / 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A file's picture, upright, and what to keep when it is written again.

    pixels (H, W) or (H, W, bands) as stored: indices where layout has a palette, bool where it has one bit.
    """

    pixels: np.ndarray
    layout: Layout
    format: str = ""
    lossless: bool = True
    metadata: Metadata = field(default_factory=Metadata)
    settings: dict[str, Any] = field(default_factory=dict)  # for the writer of the same format
    source_type: str = ""  # what was done to it, as a term of provenance.py: written into the file's XMP

    def __repr__(self) -> str:
        """In a word: whoever calls `erase` at a prompt does not want to read the pixels."""
        bands = self.pixels.shape[2] if self.pixels.ndim == 3 else 1
        return f"<Photo {self.size}, {bands} of {self.pixels.dtype}{self.format and ', ' + self.format}>"

    @property
    def size(self) -> Size:
        return size_of(self.pixels)

    def with_pixels(self, pixels: np.ndarray) -> Photo:
        return replace(self, pixels=pixels)

    def with_source_type(self, term: str) -> Photo:
        """The photo with this said of it, unless more is said already."""
        return replace(self, source_type=stronger(self.source_type, term))

    def save(
        self, path: str | Path, *, force: bool = False, quality: int | None = None, provenance: bool = True
    ) -> None:
        """The same as `write(photo, path)`."""
        from eraser.files.writing import write

        write(self, path, force=force, quality=quality, provenance=provenance)
