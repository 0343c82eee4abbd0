"""Bad input, one line each: the right class, one sentence with the numbers, a hint, and nothing written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eraser import errors, files, masks
from eraser.canvas import Canvas, extend
from eraser.geometry import Box, Size
from eraser.layouts import Layout
from eraser.pictures import Picture

PIXELS = np.zeros((30, 40, 3), np.uint8)
HOLE = np.zeros((30, 40), bool)
HOLE[5:9, 5:9] = True
SIZE = Size(40, 30)


def canvas(image: object, mask: object) -> Canvas:
    picture = Picture.open(image)
    return Canvas(picture.colour, masks.prepare(mask, picture.size), picture.alpha)


def png(width: int, height: int, depth: int = 8, colour_type: int = 2, data: bytes = b"\0") -> bytes:
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    for name, part in ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        content += struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
    return content


def with_nan() -> np.ndarray:
    pixels = np.zeros((30, 40, 3), np.float32)
    pixels[20, 10] = np.nan
    return pixels


def file_of(content: bytes, name: str = "a.png") -> Callable[[Path], object]:
    def use(folder: Path) -> object:
        (folder / name).write_bytes(content)
        return files.read(folder / name)

    return use


def save_to(name: str, **options: object) -> Callable[[Path], object]:
    return lambda folder: files.write(files.Photo(PIXELS, Layout(3)), folder / name, **options)


def animated(folder: Path) -> object:
    frames = [Image.new("L", (9, 8), level) for level in (1, 99, 200)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    return files.read(folder / "a.gif")


TABLE: dict[str, tuple[Callable[[Path], object], type[errors.EraserError], str]] = {
    "mask of another size": (lambda _: canvas(PIXELS, HOLE[:-1]), errors.SizeMismatch, "40x29, the image 40x30"),
    "empty mask": (lambda _: canvas(PIXELS, HOLE & False), errors.EmptyHole, "1200"),
    "all-white mask": (lambda _: canvas(PIXELS, HOLE | True), errors.NothingKnown, "40x30"),
    "nothing visible": (lambda _: canvas(np.zeros((30, 40, 4), np.uint8), HOLE), errors.NothingKnown, "can be seen"),
    "no pixels": (lambda _: canvas(PIXELS[:0], HOLE[:0]), errors.UnsupportedImage, "40x0"),
    "no pixels in Pillow": (lambda _: Picture.open(Image.new("L", (0, 3))), errors.UnsupportedImage, "0x3"),
    "NaN": (lambda _: canvas(with_nan(), HOLE), errors.UnsupportedImage, "1 of 1200"),
    "unknown mode": (lambda _: Picture.open(Image.new("LAB", (4, 4))), errors.UnsupportedImage, "LAB"),
    "unknown kind": (lambda _: Picture.open([[1, 2]]), errors.UnsupportedImage, "list"),
    "unknown dtype": (lambda _: Picture.open(PIXELS.astype(np.int32)), errors.UnsupportedImage, "int32"),
    "five bands": (lambda _: Picture.open(np.zeros((3, 4, 5), np.uint8)), errors.UnsupportedImage, "(3, 4, 5)"),
    "one dimension": (lambda _: Picture.open(np.zeros(9, np.uint8)), errors.UnsupportedImage, "(9,)"),
    "masked array": (lambda _: Picture.open(np.ma.zeros((3, 4))), errors.UnsupportedImage, "masked"),
    "no file": (lambda folder: files.read(folder / "none.png"), errors.InputError, "none.png"),
    "no mask file": (lambda folder: masks.to_hole(folder / "none.png", SIZE), errors.InputError, "none.png"),
    "a folder": (files.read, errors.InputError, "cannot be read"),
    "a name with a zero byte": (lambda _: files.read("a\0b.png"), errors.InputError, "cannot be read"),
    "empty file": (file_of(b""), errors.DamagedImage, "empty"),
    "no image": (file_of(b"hello world, this is text"), errors.DamagedImage, "no image"),
    "png signature only": (file_of(b"\x89PNG\r\n\x1a\n"), errors.DamagedImage, "ends before"),
    "png without pixels": (file_of(png(9, 9)), errors.DamagedImage, "cut off"),
    "deep png without pixels": (file_of(png(9, 9, 16)), errors.DamagedImage, "cut off"),
    "png of unknown type": (file_of(png(9, 9, 8, 5)), errors.DamagedImage, "colour type 5"),
    "png of no size": (file_of(png(0, 9)), errors.UnsupportedImage, "0x9"),
    "decompression bomb": (file_of(png(100_000, 100_000)), errors.UnsupportedImage, "10000 megapixels"),
    "jpeg signature only": (file_of(b"\xff\xd8\xff\xe0" + b"\0" * 20, "a.jpg"), errors.DamagedImage, "a.jpg"),
    "tiff header only": (file_of(b"II*\0\x08\0\0\0", "a.tif"), errors.DamagedImage, "directory"),
    "tiff that loops": (file_of(b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "a.tif"), errors.DamagedImage, "directory"),
    "webp signature only": (file_of(b"RIFF\x20\0\0\0WEBPVP8 ", "a.webp"), errors.DamagedImage, "a.webp"),
    "animated file": (animated, errors.UnsupportedImage, "3 frames"),
    "no such folder": (save_to("none/a.png"), errors.OutputError, "no folder"),
    "unknown ending": (save_to("a.docx"), errors.OutputError, "ending"),
    "quality out of range": (save_to("a.jpg", quality=0), errors.OutputError, "quality is 0"),
    "existing file": (lambda folder: [save_to("a.png")(folder) for _ in "ab"], errors.OutputExists, "a.png exists"),
    "too wide for WebP": (
        lambda folder: files.write(files.Photo(np.zeros((2, 20000, 3), np.uint8), Layout(3)), folder / "a.webp"),
        errors.OutputError,
        "16383",
    ),
    "too wide for JPEG": (
        lambda folder: files.write(files.Photo(np.zeros((2, 70000), np.uint8), Layout(1)), folder / "a.jpg"),
        errors.OutputError,
        "65500",
    ),
    "box outside": (lambda _: masks.from_box(Box(50, 0, 5, 5), SIZE), errors.OutOfRange, "50,0,5,5"),
    "box of no size": (lambda _: masks.from_box(Box(5, 5, 0, 5), SIZE), errors.OutOfRange, "5,5,0,5"),
    "polygon of two corners": (lambda _: masks.from_polygon([(0, 0), (1, 1)], SIZE), errors.OutOfRange, "2 corners"),
    "colour out of range": (lambda _: masks.from_colour(PIXELS, (300, 0, 0)), errors.OutOfRange, "300"),
    "tolerance out of range": (lambda _: masks.from_colour(PIXELS, (3, 0, 0), -1), errors.OutOfRange, "-1"),
    "negative growth": (lambda _: masks.grow(HOLE, -1), errors.OutOfRange, "-1"),
    "negative margin": (lambda _: extend(PIXELS, left=-4), errors.OutOfRange, "left is -4"),
    "no margin": (lambda _: extend(PIXELS), errors.EmptyHole, "40x30"),
}


@pytest.mark.parametrize("what", TABLE)
def test_bad_input_is_answered_in_one_sentence(what, tmp_path, capfd):
    use, kind, words = TABLE[what]
    with pytest.raises(errors.EraserError) as caught:
        use(tmp_path)
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    output = capfd.readouterr()
    assert output.out + output.err == ""
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
