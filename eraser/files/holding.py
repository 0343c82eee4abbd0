"""A photo as a kind of file can hold it: what is reduced, with a warning, and what is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from eraser.canvas import opaque, row_blocks
from eraser.errors import OutputError
from eraser.files.photo import LossWarning, Photo
from eraser.layouts import Layout, split

LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "TGA": 65535}


def fit(photo: Photo, kind: str) -> Photo:
    """The photo as that format can hold it, with a LossWarning or OutputError where it cannot."""
    pixels, layout = photo.pixels, photo.layout
    most = LONGEST_SIDE.get(kind, 1 << 30)
    if max(photo.size.width, photo.size.height) > most:
        raise OutputError(
            f"{kind} holds up to {most} pixels a side, and the photo is {photo.size}", hint="write PNG or TIFF"
        )
    holds_palette = kind in ("GIF", "PNG") or (kind in ("TIFF", "BMP") and _is_opaque_palette(layout))
    if (layout.palette is not None and not holds_palette) or (
        layout.key is not None and (kind != "PNG" or pixels.dtype != np.uint8)
    ):
        colour, alpha = split(pixels, layout)
        pixels = colour if alpha is None else np.concatenate([colour, alpha[:, :, None]], axis=2)
        layout = Layout(colour.shape[2], has_alpha=alpha is not None)
    if layout.colours == 4 and kind not in ("JPEG", "TIFF"):
        raise OutputError(f"{kind} cannot hold CMYK inks", hint="write TIFF or JPEG, or convert the photo to RGB")
    if layout.has_alpha and (kind in ("JPEG", "BMP", "PPM", "GIF") or (kind == "TGA" and layout.colours == 1)):
        clear = sum(
            int(np.count_nonzero(pixels[rows, :, -1] < opaque(pixels.dtype))) for rows in row_blocks(pixels.shape)
        )
        if clear:
            raise OutputError(
                f"{kind} cannot hold transparency, and {clear} of {photo.size.area} pixels are not opaque",
                hint="write PNG, WebP or TIFF",
            )
        pixels, layout = pixels[:, :, :-1], Layout(layout.colours)
    if kind == "GIF" and layout.palette is None and layout.colours > 1:
        raise OutputError("GIF cannot hold more than 256 colours", hint="write PNG")
    deepest = {"TIFF": "f", "PNG": "u2"}.get(kind, "u1")
    pixels = _shallower(pixels, deepest, kind)
    if pixels.dtype == np.bool_ and (kind not in ("PNG", "TIFF", "GIF", "BMP", "PPM") or layout.bands > 1):
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return replace(photo, pixels=pixels, layout=layout)


def _shallower(pixels: np.ndarray, deepest: str, kind: str) -> np.ndarray:
    if pixels.dtype.kind == "f" and deepest != "f":
        wanted = np.dtype(deepest)
    elif pixels.dtype == np.uint16 and deepest == "u1":
        wanted = np.dtype(np.uint8)
    else:
        return pixels
    top = float(opaque(wanted))
    scale = top if pixels.dtype.kind == "f" else top / opaque(pixels.dtype)
    reduced = np.empty(pixels.shape, wanted)
    clipped = 0
    for rows in row_blocks(pixels.shape):
        with np.errstate(invalid="ignore", over="ignore"):
            values = pixels[rows] * np.float64(scale)
        clipped += int(np.count_nonzero(~((values >= 0) & (values <= top))))
        reduced[rows] = np.rint(np.clip(np.nan_to_num(values, nan=0.0, posinf=top, neginf=0.0), 0, top))
    beyond = f", and {clipped} of {pixels.size} values beyond 0...1 are clipped" if clipped else ""
    warnings.warn(
        f"{kind} holds {wanted.itemsize * 8} bits per channel: the {pixels.dtype} picture is reduced{beyond}; write "
        f"{'TIFF' if pixels.dtype.kind == 'f' else 'PNG or TIFF'} to keep it whole",
        LossWarning,
        stacklevel=4,
    )
    return reduced


def _is_opaque_palette(layout: Layout) -> bool:
    return layout.palette is not None and bool((layout.palette[:, 3] == 255).all())
