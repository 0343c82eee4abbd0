"""What the header of an image file says, at the cost of reading a few kilobytes."""

from __future__ import annotations

import contextlib
import importlib
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from eraser import exif as exif_blocks
from eraser import metadata as carrying
from eraser.errors import DamagedImage, InputError, UnsupportedImage
from eraser.exif import Directory
from eraser.files.photo import Facts
from eraser.geometry import Size

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_PLUGINS = {
    "PNG": "PngImagePlugin", "WEBP": "WebPImagePlugin", "GIF": "GifImagePlugin",
    "BMP": "BmpImagePlugin", "PPM": "PpmImagePlugin", "AVIF": "AvifImagePlugin", "JPEG2000": "Jpeg2KImagePlugin",
    "TGA": "TgaImagePlugin",
}  # fmt: skip
_QUIET = threading.Lock()
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


def probe(path: str | Path) -> Facts:
    """The header of an image file, at the cost of reading a few kilobytes. Raises what `read` raises, but for size."""
    path = Path(path)
    with opened(path) as file:
        kind = kind_of(file, path)
        if kind == "PNG":
            return png_facts(png_header(file, path), path)
        if kind == "TIFF":
            return tiff_facts(tiff_pages(file, path))
        image = open_with_pillow(file, path)
        return pillow_facts(image)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", hint="check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason})", hint="give an image file that you may read") from error
    with file:
        yield file


def kind_of(file: BinaryIO, path: Path) -> str:
    """ "PNG", "TIFF", "JPEG" or "" for whatever Pillow may know."""
    try:
        head = file.read(16)
        file.seek(0)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", hint="give an ordinary image file") from error
    if not head:
        raise DamagedImage(f"{path} is empty", hint="give an image file")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    return "JPEG" if head.startswith(b"\xff\xd8") else ""


def check(facts: Facts, path: Path, most_megapixels: float) -> None:
    if facts.size.area == 0:
        raise UnsupportedImage(f"{path} is {facts.size}, so it has no pixels")
    if facts.megapixels > most_megapixels:
        raise UnsupportedImage(
            f"{path} is {facts.size}, {facts.megapixels:.0f} megapixels, and the limit is {most_megapixels:g}",
            hint="crop or shrink it, or raise the limit if you trust the file",
        )
    if facts.frames > 1:
        raise UnsupportedImage(
            f"{path} has {facts.frames} {'pages' if facts.format == 'TIFF' else 'frames'}, and only single pictures "
            "can be painted",
            hint="save the one you want as a file of its own",
        )


def png_header(file: BinaryIO, path: Path) -> list[tuple[bytes, bytes]]:
    try:
        chunks = list(carrying.read_png_chunks(file))
    except (ValueError, OSError) as error:
        raise DamagedImage(f"{path} is a damaged PNG ({error})", hint="get a whole copy of the file") from error
    finally:
        file.seek(0)
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) < 13:
        raise DamagedImage(f"{path} is a PNG without a header", hint="get a whole copy of the file")
    return chunks


def png_facts(chunks: list[tuple[bytes, bytes]], path: Path) -> Facts:
    width, height, depth, colour_type = struct.unpack_from(">IIBB", chunks[0][1])
    mode = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}.get(colour_type)
    if mode is None or depth not in (1, 2, 4, 8, 16):
        raise DamagedImage(f"{path} is a PNG of colour type {colour_type} and depth {depth}, which there is not")
    content = dict(chunks)
    frames = struct.unpack_from(">I", content[b"acTL"])[0] if len(content.get(b"acTL", b"")) >= 4 else 1
    block = content.get(b"eXIf", b"")
    turn = exif_blocks.orientation(block.removeprefix(b"Exif\0\0"))
    if not block:
        turn = carrying.xmp_orientation(carrying.png_texts_to_xmp(tuple(chunks)))
    mode = "1" if (mode, depth) == ("L", 1) else f"{mode};16" if depth == 16 else mode
    return Facts("PNG", _seen(Size(width, height), turn), mode, depth, frames, turn)


def tiff_pages(file: BinaryIO, path: Path) -> list[Directory]:
    try:
        pages = [page for page in exif_blocks.read_directories(file) if page.tags]
    except ValueError as error:
        raise DamagedImage(f"{path} is a damaged TIFF ({error})", hint="get a whole copy of the file") from error
    finally:
        file.seek(0)
    if not pages or pages[0].number(256) is None or pages[0].number(257) is None:
        raise DamagedImage(f"{path} is a TIFF without a readable directory", hint="get a whole copy of the file")
    return pages


def tiff_facts(pages: list[Directory]) -> Facts:
    page = pages[0]
    # thumbnails, smaller copies (bit 0) and masks (bit 2) are no pages
    frames = 1 + sum(not (other.number(254) or 0) & 5 for other in pages[1:])
    bits = page.number(258) or 1
    samples = page.number(277) or 1
    names = {2: "RGB", 3: "P", 5: "CMYK", 6: "RGB", 8: "LAB"}
    mode = names.get(page.number(262) or 0, "L")
    if samples == len(mode) + 1 and mode in ("L", "RGB"):
        mode += "A"
    if bits == 1:
        mode = "1"
    elif bits > 8:
        mode += f";{bits}F" if page.number(339) == 3 else f";{bits}"
    turn = page.number(exif_blocks.ORIENTATION) or 1
    turn = turn if 1 <= turn <= 8 else 1
    return Facts("TIFF", _seen(Size(page.number(256) or 0, page.number(257) or 0), turn), mode, bits, frames, turn)


def pillow_facts(image: ImageFile) -> Facts:
    kind = image.format or ""
    try:
        with _quiet():
            turn = image.getexif().get(exif_blocks.ORIENTATION, 1)
            frames = getattr(image, "n_frames", 1)
    except DECODE_ERRORS:
        turn, frames = 1, 1
    turn = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
    bits = {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)
    return Facts(kind, _seen(Size(*image.size), turn), image.mode, bits, frames, turn)


def open_with_pillow(file: BinaryIO, path: Path) -> ImageFile:
    """Pillow's image, header read only. Its own size limit is global, so the check of `check` takes its place."""
    from PIL import Image, JpegImagePlugin

    file.seek(0)
    head = file.read(16)
    try:
        if head.startswith(b"\xff\xd8"):
            file.seek(0)
            # not the factory: that makes several frames of a photo with previews
            with _quiet():
                return JpegImagePlugin.JpegImageFile(file, str(path))
        for kind, module in _PLUGINS.items():
            if kind == "TGA" and path.suffix.lower() != ".tga":
                continue  # it has no signature
            importlib.import_module(f"PIL.{module}")
            factory, accept = Image.OPEN.get(kind, (None, None))
            if factory is None or (accept and accept(head) is not True):
                continue
            file.seek(0)
            with _quiet(), contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(file, str(path))
    except Image.DecompressionBombError as error:
        raise UnsupportedImage(
            f"{path} is too large for its decoder ({error})", hint="write it as TIFF or PNG"
        ) from error
    except DECODE_ERRORS as error:
        raise DamagedImage(f"{path} is damaged ({error})", hint="get a whole copy of the file") from error
    if head[4:8] == b"ftyp":
        raise UnsupportedImage(
            f"{path} is of the kind {head[8:12].decode('latin-1')}, which cannot be read here",
            hint="convert it to JPEG, PNG or TIFF first",
        )
    raise DamagedImage(f"{path} is no image that can be read", hint="give a JPEG, PNG, TIFF, WebP or AVIF file")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings about damaged tags: such a file is refused, or its tags do not matter here."""
    # filters belong to the whole process, so two threads must not take turns in restoring them
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _seen(stored: Size, orientation: int) -> Size:
    return Size(stored.height, stored.width) if orientation >= 5 else stored
