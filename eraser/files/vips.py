"""libvips, which holds what Pillow's 8-bit modes cannot: pixels out of it and into it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from eraser.errors import DamagedImage, UnsupportedImage
from eraser.files.photo import Photo

VIPS_TYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32, "double": np.float64}


def decode_with_vips(path: Path, loader: str, content: bytes | None = None) -> np.ndarray:
    """(H, W) or (H, W, bands) in the file's own type; content in place of what the path holds."""
    pyvips = vips()
    try:
        source = pyvips.Source
        image = getattr(pyvips.Image, loader)(
            source.new_from_file(str(path)) if content is None else source.new_from_memory(content),
            access="sequential",
            fail_on="error",
        )
        kind = VIPS_TYPES.get(image.format)
        if kind is None:
            raise UnsupportedImage(
                f"{path} has pixels of type {image.format}", hint="convert it to 8 or 16 bits, or to float"
            )
        pixels = np.frombuffer(image.write_to_memory(), kind)
    except pyvips.Error as error:
        reason = " ".join(str(error.detail).split())
        raise DamagedImage(f"{path} is damaged or cut off ({reason})", hint="get a whole copy of the file") from error
    return pixels.reshape((image.height, image.width) + ((image.bands,) if image.bands > 1 else ()))


def vips_image(photo: Photo) -> Any:
    pyvips = vips()
    pixels = np.ascontiguousarray(photo.pixels)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    names = {np.dtype(kind): name for name, kind in VIPS_TYPES.items()}
    is_deep = pixels.dtype == np.uint16
    meaning = {1: "grey16" if is_deep else "b-w", 3: "rgb16" if is_deep else "srgb", 4: "cmyk"}[photo.layout.colours]
    image = pyvips.Image.new_from_memory(
        pixels, pixels.shape[1], pixels.shape[0], photo.layout.bands, names[pixels.dtype]
    )
    return image.copy(interpretation="scrgb" if meaning == "srgb" and pixels.dtype.kind == "f" else meaning)


def vips() -> Any:
    # libvips' warnings reach Python's logging, which prints them where nobody has set it up
    log = logging.getLogger("pyvips")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    import pyvips

    return pyvips
