"""Masks of every kind, opened: the values that say how strongly each pixel is marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eraser.canvas import opaque, row_blocks
from eraser.errors import DamagedImage, SizeMismatch, UnsupportedImage
from eraser.geometry import Size

LOSSY_FORMATS = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000"})


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """values (H, W) or (H, W, bands), 0 where nothing is marked; what a band of bool, whole numbers or floats spans is
    up to whoever asks · lossy: they come from a file whose compression speckles what is black."""

    values: np.ndarray
    lossy: bool = False


def opened(mask: Any, size: Size) -> Marks:
    """A mask's own values: its alpha where that varies, otherwise its colours. A bool (H, W) array stays that array.

    A mask is a Pillow image of any mode, a numpy array (H, W) or (H, W, bands), a path or a Photo.
    Raises SizeMismatch unless the mask has this size; UnsupportedImage, DamagedImage.
    """
    from eraser import pictures

    if isinstance(mask, (str, Path)):
        from eraser.files import read

        mask = read(mask)
    if isinstance(mask, np.ndarray):
        _check_size(mask.shape, size)
        if mask.dtype == np.bool_ and mask.ndim == 2:
            return Marks(mask)
        return _marking(mask, lossy=False)
    if pictures.is_pillow(mask):
        _check_size((mask.height, mask.width), size)
        return _open_pillow(mask)
    from eraser.files import Photo

    if isinstance(mask, Photo):
        _check_size(mask.pixels.shape, size)
        return _open_photo(mask)
    raise UnsupportedImage(
        f"{type(mask).__module__}.{type(mask).__qualname__} is no kind of mask known here",
        hint="pass a Box, a Pillow image, a numpy array or a path",
    )


def _marking(values: np.ndarray, *, lossy: bool) -> Marks:
    """Of an array (H, W) or (H, W, bands) of grey, grey+alpha, RGB or RGBA, the bands that mark."""
    if values.ndim == 3 and values.shape[2] > 4:
        raise UnsupportedImage(f"a mask of shape {values.shape} is no image", hint="pass (height, width)")
    if values.dtype.kind not in "biuf":
        raise UnsupportedImage(f"a mask of type {values.dtype} is no image", hint="convert it to bool or uint8")
    bands = values[:, :, None] if values.ndim == 2 else values
    if bands.shape[2] in (2, 4):
        alpha = bands[:, :, -1]
        bands = bands[:, :, -1:] if alpha.min() != alpha.max() or not alpha.any() else bands[:, :, :-1]
    if values.dtype.kind == "f":
        for rows in row_blocks(bands.shape):
            if np.isnan(bands[rows].max(initial=-np.inf)):
                raise UnsupportedImage(
                    f"{np.count_nonzero(np.isnan(bands))} of the mask's values are NaN",
                    hint="replace them with 0 or 1",
                )
    return Marks(bands, lossy)


def _open_pillow(mask: Any) -> Marks:
    from eraser import pictures

    if getattr(mask, "n_frames", 1) > 1 and mask.format != "MPO":
        raise UnsupportedImage(
            f"the {mask.format or 'animated'} mask has {mask.n_frames} frames, and one picture is needed",
            hint="pass one frame: mask.seek(n), then mask.copy()",
        )
    try:
        mask.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise DamagedImage(
            f"the {mask.width}x{mask.height} mask cannot be decoded ({error})", hint="its file is incomplete"
        ) from error
    if (
        mask.mode in ("1", "L", "LA", "RGB", "RGBA", "I", "F") and "transparency" not in mask.info
    ) or mask.mode.startswith("I;16"):
        stored = pictures.pillow_to_array(mask)
    elif mask.has_transparency_data:
        stored = pictures.pillow_to_array(mask.convert("RGBA"))
    else:
        stored = pictures.pillow_to_array(mask.convert("RGB"))
    return Marks(stored) if stored.dtype == np.bool_ else _marking(stored, lossy=mask.format in LOSSY_FORMATS)


def _open_photo(photo: Any) -> Marks:
    from eraser.layouts import split

    lossy = photo.format in LOSSY_FORMATS and not photo.lossless
    colour, alpha = split(photo.pixels, photo.layout)
    if alpha is not None and (alpha.min() != alpha.max() or not alpha.any()):
        return _marking(alpha, lossy=lossy)
    if colour.shape[2] == 4:
        # CMYK: white is no ink, so brightness is what is left of the paper
        ink = np.maximum(colour[:, :, :3].min(axis=2), colour[:, :, 3])
        colour = (opaque(colour.dtype) - ink).astype(colour.dtype)[:, :, None]
    return _marking(colour, lossy=lossy)


def _check_size(shape: Iterable[int], size: Size) -> None:
    dimensions = tuple(shape)
    if len(dimensions) not in (2, 3):
        raise UnsupportedImage(f"a mask of shape {dimensions} is no image", hint="pass (height, width)")
    have = Size(dimensions[1], dimensions[0])
    if have != size:
        turned = have == Size(size.height, size.width)
        hint = "turn the mask as the photo is shown" if turned else "resize it, or pass the one made from this image"
        raise SizeMismatch(f"the mask is {have}, the image {size}", hint=hint)
