"""Between the original and the browser: screen-size copies one way, painted masks the other."""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from eraser.canvas import opaque
from eraser.errors import OutOfRange, SizeMismatch
from eraser.geometry import Box, Size
from eraser.pictures import Picture

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from eraser.files import Photo

MOST_SIDE = 1600  # pixels of the copy that the browser paints on
THUMB_SIDE = 160
PREVIEW_SIDE = 480
MOST_MASK_BYTES = 4 << 20
PAINTED = 128  # alpha from which a pixel of the browser's soft-edged strokes counts as painted


def screen_size(size: Size, most: int = MOST_SIDE) -> Size:
    """The size of the copy: the photo's own where that is small enough."""
    scale = min(1.0, most / max(size.width, size.height))
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def screen_copy(photo: Photo) -> PillowImage:
    """The photo as browsers can show it: 8-bit grey, RGB or RGBA, its longest side at most MOST_SIDE."""
    from PIL import Image

    picture = Picture.open(photo)
    size = screen_size(picture.size)
    # whole steps first: what a screen cannot show need not be converted
    step = max(1, min(picture.size.width // (2 * size.width), picture.size.height // (2 * size.height)))
    colour = _to_bytes(picture.colour[::step, ::step])
    bands = colour.shape[2]
    image = Image.fromarray(colour[:, :, 0] if bands == 1 else colour, mode_of(bands))
    if bands == 4:
        image = image.convert("RGB")
    if picture.alpha is not None:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(_to_bytes(picture.alpha[::step, ::step])))
    if image.size != (size.width, size.height):
        image = image.resize((size.width, size.height), Image.Resampling.BOX)
    if bands != 4 and photo.metadata.icc:  # browsers know profiles; the inks of CMYK are none of theirs
        image.info["icc_profile"] = photo.metadata.icc
    return image


def mode_of(bands: int) -> str:
    return {1: "L", 3: "RGB", 4: "CMYK"}[bands]


def encode(image: PillowImage) -> tuple[bytes, str]:
    """(file, its ending) quickly: JPEG, or PNG where there is alpha."""
    memory = io.BytesIO()
    profile = image.info.get("icc_profile")
    if image.mode == "RGBA":
        image.save(memory, "PNG", compress_level=1, icc_profile=profile)
        return memory.getvalue(), ".png"
    image.save(memory, "JPEG", quality=90, subsampling=0, icc_profile=profile)
    return memory.getvalue(), ".jpg"


def thumbnail(image: PillowImage) -> PillowImage:
    small = image.copy()
    small.thumbnail((THUMB_SIDE, THUMB_SIDE))
    return small


def preview_url(values: np.ndarray) -> str:
    """A data URL of (H, W, C) float32 in [-1, 1], small enough to be sent several times a second."""
    from PIL import Image

    step = max(1, max(values.shape[:2]) // PREVIEW_SIDE)
    small = np.clip((values[::step, ::step] + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    bands = small.shape[2]
    image = Image.fromarray(small[:, :, 0] if bands == 1 else small, mode_of(bands))
    memory = io.BytesIO()
    image.convert("RGB").save(memory, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(memory.getvalue()).decode()


def read_mask(told: Any, size: Size) -> np.ndarray:
    """(H, W) bool of the screen copy's size, from what the browser tells: {"x", "y", "png": a data URL of the painted
    part, whose alpha is the paint}. Raises SizeMismatch, OutOfRange."""
    from PIL import Image

    mask = np.zeros((size.height, size.width), np.bool_)
    if not isinstance(told, dict):
        return mask
    try:
        x, y = int(told["x"]), int(told["y"])
        kind, _, text = str(told["png"])[: MOST_MASK_BYTES + 1].partition(",")
        if kind != "data:image/png;base64" or len(text) >= MOST_MASK_BYTES:
            raise ValueError(kind[:40])
        image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"])
        box = Box(x, y, *image.size)
        if not size.box.contains(box):
            raise SizeMismatch(f"what was painted is at {box}, the picture on the page {size}", hint="reload the page")
        painted = np.asarray(image.convert("RGBA"))[:, :, 3] >= PAINTED
    except (
        *(KeyError, TypeError, ValueError, OSError, SyntaxError, binascii.Error, OverflowError),
        Image.DecompressionBombError,
    ) as error:
        if isinstance(error, SizeMismatch):
            raise
        raise OutOfRange("what was painted did not arrive whole", hint="reload the page and paint again") from error
    mask[box.slices] = painted
    return mask


def scale_mask(mask: np.ndarray, size: Size) -> np.ndarray:
    """The mask of a screen copy as one of the original's size: each original pixel takes the value of the copy's pixel
    that its centre lies in."""
    height, width = mask.shape
    if (width, height) == (size.width, size.height):
        return mask
    rows = (2 * np.arange(size.height) + 1) * height // (2 * size.height)
    columns = (2 * np.arange(size.width) + 1) * width // (2 * size.width)
    scaled: np.ndarray = mask[rows][:, columns]
    return scaled


def _to_bytes(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        return values * np.uint8(255)
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    unit = np.nan_to_num(values.astype(np.float32)) / np.float32(opaque(values.dtype))
    return (np.clip(unit, 0, 1) * 255 + 0.5).astype(np.uint8)
