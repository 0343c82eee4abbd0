"""An image of any accepted kind, opened to colour and alpha, and closed to the kind it came as."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eraser.canvas import copied, opaque, row_blocks
from eraser.errors import DamagedImage, SizeMismatch, UnsupportedImage
from eraser.geometry import Box, Size
from eraser.layouts import Layout, merge, opaque_value, split

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


PILLOW_LAYOUTS = {
    "1": Layout(1),
    "L": Layout(1),
    "LA": Layout(1, has_alpha=True),
    "P": Layout(1),
    "PA": Layout(1, has_alpha=True),
    "RGB": Layout(3),
    "RGBA": Layout(3, has_alpha=True),
    "CMYK": Layout(4),
    "YCbCr": Layout(3),
    "HSV": Layout(3),
    "I": Layout(1),
    "I;16": Layout(1),
    "I;16L": Layout(1),
    "I;16B": Layout(1),
    "I;16N": Layout(1),
    "F": Layout(1),
}
_ARRAY_TYPES = ("bool", "uint8", "uint16", "float16", "float32", "float64")
_ARRAY_LAYOUTS = {1: Layout(1), 2: Layout(1, has_alpha=True), 3: Layout(3), 4: Layout(3, has_alpha=True)}


class Picture:
    """An opened image. `colour` (H, W, C) and `alpha` (H, W) or None are to be read, not written.

    C is 1, 3 (RGB) or 4 (CMYK). What was opened is never changed.
    """

    def __init__(self, source: Any, stored: np.ndarray, layout: Layout, *, private: bool) -> None:
        self._source = source
        self._layout = layout
        self._stored = stored
        self._private = private  # nobody else sees `stored`
        self._writable: np.ndarray | None = None
        self.colour, self.alpha = split(stored, layout)

    @classmethod
    def open(cls, image: Any) -> Picture:
        """Open a Pillow image, a numpy array, a path or a Photo.

        Arrays are (H, W), or (H, W, bands) with 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA bands, of type uint8, uint16,
        float16, float32, float64 or bool. Pillow images are of the modes in PILLOW_LAYOUTS, one frame, and taken as
        their pixels stand (an EXIF orientation in them is neither applied nor changed). Paths open upright.
        Raises UnsupportedImage, DamagedImage.
        """
        if isinstance(image, (str, Path)):
            from eraser.files import read

            photo = read(image)
            return cls(photo, photo.pixels, photo.layout, private=True)
        if isinstance(image, np.ndarray):
            return cls(image, *_open_array(image), private=False)
        if is_pillow(image):
            return cls(image, *_open_pillow(image), private=True)
        if is_photo(image):
            return cls(image, image.pixels, image.layout, private=False)
        raise UnsupportedImage(
            f"{type(image).__module__}.{type(image).__qualname__} is no kind of image known here",
            hint="pass a Pillow image, a numpy array or a path",
        )

    @property
    def size(self) -> Size:
        return Size(self.colour.shape[1], self.colour.shape[0])

    @property
    def is_indexed(self) -> bool:
        """Its colours come from a palette, and no others can be painted."""
        return self._layout.palette is not None

    def writable(self) -> np.ndarray:
        """`colour` as an array to compose into: the same one at every call, the only large copy that is made.

        Closing the picture with it may give this very memory away as the result.
        """
        if self._writable is None:
            if self._layout.is_plain and not self._private:
                # as the bands lie in memory, so that this copy can become the result
                self._stored = copied(self._stored)
                self._private = True
                self._writable = split(self._stored, self._layout)[0]
            else:
                self._writable = self.colour
        return self._writable

    def close(
        self, colour: np.ndarray, hole: np.ndarray, *, make_opaque: bool = False, left: int = 0, top: int = 0
    ) -> Any:
        """The image again, of the kind, mode, type and byte order it came as, with `colour` in the hole's pixels.

        Pixels outside the hole keep their bits. Alpha stays unless make_opaque, which hides nothing of the filling.
        colour (H, W, C) and hole (H, W) may be larger than the picture, which then lies at (left, top) in them: the
        margins must be part of the hole and come out opaque. Raises SizeMismatch.
        """
        size = Size(colour.shape[1], colour.shape[0])
        inside = Box(left, top, self.size.width, self.size.height)
        if hole.shape != colour.shape[:2] or colour.shape[2] != self.colour.shape[2] or not size.box.contains(inside):
            raise SizeMismatch(
                f"colour of shape {colour.shape} and a hole of shape {hole.shape} do not close a {self.size} picture "
                f"of {self.colour.shape[2]} channels at ({left}, {top})"
            )
        if is_pillow(self._source):
            return self._close_pillow(colour, hole, inside, make_opaque)
        stored = self._close_stored(colour, hole, inside, make_opaque)
        return stored if isinstance(self._source, np.ndarray) else self._source.with_pixels(stored)

    def _close_stored(self, colour: np.ndarray, hole: np.ndarray, inside: Box, make_opaque: bool) -> np.ndarray:
        if size_of(colour) == self.size:
            if colour is self._writable and self._layout.is_plain and self._private:
                result = self._stored
                if make_opaque and self._layout.has_alpha:
                    result[:, :, -1][hole] = opaque(result.dtype)
                return result
            result = np.array(self._stored, order="K", subok=False)
        else:
            shape = (*colour.shape[:2], *self._stored.shape[2:])
            value = opaque_value(self._layout, self._stored.dtype)
            result = np.empty(shape, self._stored.dtype)
            result[...] = value if len(shape) == 3 else value[0]
            result[inside.slices] = self._stored
        for box in _hole_bands(hole):
            part = box.slices
            result[part] = merge(result[part], self._layout, colour[part], hole[part], make_opaque=make_opaque)
        return result

    def _close_pillow(self, colour: np.ndarray, hole: np.ndarray, inside: Box, make_opaque: bool) -> PillowImage:
        image: PillowImage = self._source
        if size_of(colour) == self.size:
            result = image.copy()
        else:
            from PIL import Image

            value = opaque_value(self._layout, self._stored.dtype)
            result = Image.new(image.mode, (colour.shape[1], colour.shape[0]))
            for rows in row_blocks((colour.shape[0], colour.shape[1], len(value))):
                shape = (rows.stop - rows.start, colour.shape[1], len(value))
                result.paste(array_to_pillow(np.broadcast_to(value, shape), image.mode), (0, rows.start))
            palette = image.palette
            if palette is not None:
                result.putpalette(image.getpalette(palette.mode) or b"", palette.mode)
            result.info = image.info.copy()
            result.paste(image, (inside.x, inside.y))
        for box in _hole_bands(hole):
            part = box.slices
            old = pillow_to_array(result, box)
            new = merge(old, self._layout, colour[part], hole[part], make_opaque=make_opaque)
            result.paste(array_to_pillow(new, image.mode), (box.x, box.y))
        return result


def size_of(array: np.ndarray) -> Size:
    return Size(array.shape[1], array.shape[0])


def is_pillow(image: object) -> bool:
    """Whether this is a Pillow image, found out without importing Pillow."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def is_photo(image: object) -> bool:
    """Whether this is an `eraser.files.Photo`, found out without importing that module."""
    files = sys.modules.get("eraser.files.photo")
    return files is not None and isinstance(image, files.Photo)


def pillow_to_array(image: PillowImage, box: Box | None = None) -> np.ndarray:
    """A box of the pixels as stored, (H, W) or (H, W, bands), bool for mode 1; in the mode's byte order."""
    box = box or Box(0, 0, *image.size)
    first = np.asarray(image.crop((box.x, box.y, box.x + 1, box.y + 1)))
    pixels = np.empty((box.height, box.width, *first.shape[2:]), first.dtype)
    # in bands: converting all at once holds the image three times
    for rows in row_blocks(pixels.shape):
        pixels[rows] = np.asarray(image.crop((box.x, box.y + rows.start, box.right, box.y + rows.stop)))
    return pixels


def array_to_pillow(pixels: np.ndarray, mode: str) -> PillowImage:
    """The reverse of pillow_to_array: (H, W) or (H, W, bands) in the mode's type and byte order."""
    from PIL import Image

    height, width = pixels.shape[:2]
    blocks = list(row_blocks(pixels.shape))
    image = Image.new(mode, (width, height)) if len(blocks) > 1 else None
    for rows in blocks:
        block = pixels[rows]
        data = np.packbits(block.reshape(block.shape[:2]), axis=1) if mode == "1" else np.ascontiguousarray(block)
        part = Image.frombytes(mode, (width, block.shape[0]), data.tobytes())
        if image is None:
            return part
        image.paste(part, (0, rows.start))
    assert image is not None
    return image


def pillow_layout(image: PillowImage) -> Layout:
    """How the image's stored bands are to be read. Raises UnsupportedImage for a mode without a way back."""
    layout = PILLOW_LAYOUTS.get(image.mode)
    if layout is None:
        better = {"RGBa": "RGBA", "La": "LA"}.get(image.mode, "RGB")
        raise UnsupportedImage(
            f"Pillow images of mode {image.mode} cannot be painted without harm",
            hint=f'convert it first: image.convert("{better}")',
        )
    if image.mode in ("P", "PA"):
        return Layout(1, has_alpha=image.mode == "PA", palette=_pillow_palette(image))
    if image.mode in ("YCbCr", "HSV"):
        return Layout(3, to_rgb=_converter(image.mode, "RGB"), from_rgb=_converter("RGB", image.mode))
    key = image.info.get("transparency")
    if key is not None and not layout.has_alpha and image.mode in ("1", "L", "I", "RGB", "I;16", "I;16L", "I;16B"):
        values = tuple(key) if isinstance(key, (tuple, list)) else (key,)
        if len(values) == layout.colours and all(isinstance(value, (int, float)) for value in values):
            return Layout(layout.colours, key=tuple(bool(v) for v in values) if image.mode == "1" else values)
    return layout


def _open_array(image: np.ndarray) -> tuple[np.ndarray, Layout]:
    if isinstance(image, np.ma.MaskedArray):
        raise UnsupportedImage("a masked array is not an image", hint="pass image.data, and its mask as the mask")
    if image.dtype.name not in _ARRAY_TYPES:
        raise UnsupportedImage(
            f"an array of type {image.dtype} cannot be painted without harm",
            hint=f"convert it to one of {', '.join(_ARRAY_TYPES)}",
        )
    bands = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if bands not in _ARRAY_LAYOUTS:
        raise UnsupportedImage(
            f"an array of shape {image.shape} is no image",
            hint="pass (height, width) or (height, width, bands) with 1 to 4 bands",
        )
    _check_some_pixels(Size(image.shape[1], image.shape[0]))
    return image, _ARRAY_LAYOUTS[bands]


def _open_pillow(image: PillowImage) -> tuple[np.ndarray, Layout]:
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # an MPO's first picture is the photo
    if frames > 1:
        raise UnsupportedImage(
            f"the {image.format or 'animated'} image has {frames} frames, and only single pictures can be painted",
            hint="pass one frame: image.seek(n), then image.copy()",
        )
    _check_some_pixels(Size(*image.size))
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise DamagedImage(
            f"the {image.size[0]}x{image.size[1]} image cannot be decoded ({error})", hint="its file is incomplete"
        ) from error
    layout = pillow_layout(image)
    return pillow_to_array(image), layout


def _check_some_pixels(size: Size) -> None:
    if size.area == 0:
        raise UnsupportedImage(f"the image is {size}, so it has no pixels", hint="pass an image of at least 1x1")


def _pillow_palette(image: PillowImage) -> np.ndarray:
    """(N, 4) uint8 RGBA, with every form of transparency that Pillow knows in its alpha."""
    palette = image.palette
    entries = image.getpalette("RGBA") if palette is not None else None
    table = np.array(entries or [], np.uint8).reshape(-1, 4)
    if palette is not None and palette.mode != "RGBA":
        table[:, 3] = 255
    transparency = image.info.get("transparency")
    if image.mode == "P" and isinstance(transparency, bytes):
        count = min(len(transparency), len(table))
        table[:count, 3] = np.frombuffer(transparency, np.uint8)[:count]
    elif image.mode == "P" and isinstance(transparency, int) and transparency < len(table):
        table[transparency, 3] = 0
    return table


def _converter(mode: str, to: str) -> Any:
    def convert(values: np.ndarray) -> np.ndarray:
        if len(values) == 0:
            return values
        return np.asarray(array_to_pillow(values[None], mode).convert(to))[0]

    return convert


def _hole_bands(hole: np.ndarray) -> list[Box]:
    """Boxes of a few hundred rows at most that hold all of the hole, and little else."""
    boxes = []
    for rows in row_blocks((hole.shape[0], hole.shape[1] * 4)):
        columns = np.flatnonzero(hole[rows].any(axis=0))
        if columns.size:
            boxes.append(Box.between(int(columns[0]), rows.start, int(columns[-1]) + 1, rows.stop))
    return boxes
