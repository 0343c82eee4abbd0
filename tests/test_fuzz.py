"""Damaged files and random masks never end in anything but a picture or one of our errors.

A few seconds by default; ERASER_FUZZ_SECONDS=60 takes a minute, from another seed each time.
"""

from __future__ import annotations

import io
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eraser import masks
from eraser.canvas import Canvas
from eraser.compose import compose
from eraser.errors import EraserError
from eraser.files import LossWarning, Metadata, Photo, probe, read, write
from eraser.geometry import Box, Size
from eraser.layouts import Layout
from eraser.pictures import Picture
from eraser.provenance import PATCHES

SECONDS = float(os.environ.get("ERASER_FUZZ_SECONDS", "4"))
SEED = int(
    os.environ.get("ERASER_FUZZ_SEED", str(time.time_ns() % 2**32) if "ERASER_FUZZ_SECONDS" in os.environ else "0")
)


def whole_files(folder: Path, rng: np.random.Generator) -> list[tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    metadata = Metadata(exif=exif.tobytes()[6:], xmp=b"<x tiff:Orientation='6'/>", icc=b"\0" * 200, dpi=(72, 72))
    pixels = rng.integers(0, 256, (33, 41, 4)).astype(np.uint8)
    found = []
    for name, values, layout in (
        ("a.png", pixels[:, :, :3], Layout(3)),
        ("b.png", pixels.astype(np.uint16) * 201, Layout(3, has_alpha=True)),
        ("c.png", pixels[:, :, 0] % 4, Layout(1, palette=pixels[0, :4])),
        ("a.jpg", pixels[:, :, :3], Layout(3)),
        ("b.jpg", pixels, Layout(4)),
        ("a.tif", pixels, Layout(3, has_alpha=True)),
        ("b.tif", pixels[:, :, :3] / np.float32(255), Layout(3)),
        ("c.tif", pixels[:, :, 0] > 99, Layout(1)),
        ("a.webp", pixels, Layout(3, has_alpha=True)),
        ("a.bmp", pixels[:, :, :3], Layout(3)),
        ("a.ppm", pixels[:, :, 0], Layout(1)),
    ):
        write(Photo(values, layout, metadata=metadata), folder / name)
        found.append((name, (folder / name).read_bytes()))
    for kind in ("GIF", "TGA", "JPEG2000"):
        buffer = io.BytesIO()
        Image.fromarray(pixels[:, :, 0]).save(buffer, kind)
        found.append((f"z.{kind.lower()}", buffer.getvalue()))
    return found


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    broken = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(broken))) if rng.random() < 0.5 else int(rng.integers(0, min(len(broken), 200)))
        match rng.integers(0, 5):
            case 0:
                broken[at] = int(rng.integers(0, 256))
            case 1:
                del broken[at:]
            case 2:
                del broken[at : at + int(rng.integers(1, 30))]
            case 3:
                broken[at:at] = rng.bytes(int(rng.integers(1, 30)))
            case _:
                broken[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        if not broken:
            return b""
    return bytes(broken)


def test_damaged_files_give_a_picture_or_an_error(tmp_path, capfd):
    rng = np.random.default_rng(SEED)
    originals = whole_files(tmp_path, rng)
    end = time.monotonic() + SECONDS / 2
    outcomes = {"picture": 0, "error": 0}
    sentences: list[str] = []
    while time.monotonic() < end:
        name, content = originals[rng.integers(0, len(originals))]
        path = tmp_path / f"damaged{Path(name).suffix}"
        path.write_bytes(damage(content, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LossWarning)
                probe(path)
                photo = read(path, most_megapixels=4)
                write(
                    photo.with_source_type(PATCHES),
                    tmp_path / f"again{rng.choice(['.png', '.jpg', '.tif', '.webp'])}",
                    force=True,
                )
            outcomes["picture"] += 1
        except EraserError as error:
            sentences.append(error.message)
            outcomes["error"] += 1
        except BaseException:
            (Path(os.environ.get("ERASER_FUZZ_KEEP", tmp_path)) / f"culprit{path.suffix}").write_bytes(
                path.read_bytes()
            )
            raise
    assert min(outcomes.values()) > 0
    assert not [sentence for sentence in sentences if "\n" in sentence]
    assert capfd.readouterr().err == ""
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def random_mask(rng: np.random.Generator, size: Size) -> object:
    shape = (size.height, size.width)
    if rng.random() < 0.1:
        shape = (int(rng.integers(0, 9)), int(rng.integers(0, 9)))
    bands = rng.choice([0, 1, 2, 3, 4, 5])
    values = rng.random((*shape, bands) if bands else shape)
    values = values * (values > rng.choice([0.1, 0.5, 0.9, 0.999, 1]))
    dtype = rng.choice(["bool", "uint8", "uint16", "int64", "float16", "float32", "complex64"])
    mask = values > 0 if dtype == "bool" else (values * (1 if dtype[0] == "f" else 255)).astype(dtype)
    if dtype == "uint8" and bands in (0, 2, 3, 4) and mask.size and rng.random() < 0.5:
        image = Image.fromarray(mask)
        return image.convert(str(rng.choice(["1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I"])))
    if rng.random() < 0.1:
        return Box(*(int(number) for number in rng.integers(-5, 30, 4)))
    return mask


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_random_masks_paint_inside_themselves_or_are_refused():
    rng = np.random.default_rng(SEED)
    end = time.monotonic() + SECONDS / 2
    outcomes = {"painted": 0, "error": 0}
    sentences: list[str] = []
    while time.monotonic() < end:
        size = Size(int(rng.integers(1, 30)), int(rng.integers(1, 30)))
        image = rng.integers(0, 256, (size.height, size.width, int(rng.integers(1, 5)))).astype(np.uint8)
        mask = random_mask(rng, size)
        try:
            picture = Picture.open(image)
            hole = masks.prepare(mask, size, rng.choice([0, 1, 2.5, 40]) if rng.random() < 0.7 else "auto")
            canvas = Canvas(picture.colour, hole, picture.alpha)
            view, scale = canvas.view(size.box)
            filling = rng.uniform(-1, 1, view.pixels.shape).astype(np.float32)
            colour = compose(picture.colour, hole, filling, size.box, scale=scale, feather=float(rng.integers(0, 4)))
            result = picture.close(colour, hole)
            assert np.array_equal(result[~hole], image[~hole])
            outcomes["painted"] += 1
        except EraserError as error:
            sentences.append(error.message)
            outcomes["error"] += 1
    assert min(outcomes.values()) > 0
    assert not [sentence for sentence in sentences if "\n" in sentence]
