"""Read and write image files with everything they carry: depth, profile, EXIF, XMP, resolution, texts, quality.

Pillow does what fits in its 8-bit modes, libvips the rest (docs/decisions/0001-image-files.md). Both are imported when
the first file is touched.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import secrets
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from eraser import exif as exif_blocks
from eraser import metadata as carrying
from eraser.canvas import opaque, row_blocks
from eraser.errors import DamagedImage, InputError, OutputError, OutputExists, UnsupportedImage
from eraser.exif import Directory, Tag
from eraser.geometry import Size
from eraser.layouts import Layout, split
from eraser.metadata import Metadata
from eraser.pictures import array_to_pillow, pillow_layout, pillow_to_array, size_of

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MOST_MEGAPIXELS = 500.0
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".ppm": "PPM", ".pnm": "PPM",
    ".tga": "TGA", ".jp2": "JPEG2000", ".avif": "AVIF",
}  # fmt: skip
_PLUGINS = {
    "PNG": "PngImagePlugin", "WEBP": "WebPImagePlugin", "GIF": "GifImagePlugin",
    "BMP": "BmpImagePlugin", "PPM": "PpmImagePlugin", "AVIF": "AvifImagePlugin", "JPEG2000": "Jpeg2KImagePlugin",
    "TGA": "TgaImagePlugin",
}  # fmt: skip
_QUIET = threading.Lock()
_LONGEST_SIDE = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535, "TGA": 65535}
_RAW_SUFFIXES = frozenset({".dng", ".nef", ".nrw", ".cr2", ".arw", ".pef", ".orf", ".rw2", ".srw", ".3fr", ".iiq"})
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
_VIPS_TYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32, "double": np.float64}
_TIFF_COMPRESSION = {
    1: "none", 2: "ccittfax4", 3: "ccittfax4", 4: "ccittfax4", 5: "lzw", 8: "deflate", 32946: "deflate",
    32773: "packbits", 50000: "zstd",
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

    @property
    def size(self) -> Size:
        return size_of(self.pixels)

    def with_pixels(self, pixels: np.ndarray) -> Photo:
        return replace(self, pixels=pixels)

    def save(self, path: str | Path, *, force: bool = False, quality: int | None = None) -> None:
        """The same as `write(photo, path)`."""
        write(self, path, force=force, quality=quality)


def probe(path: str | Path) -> Facts:
    """The header of an image file, at the cost of reading a few kilobytes. Raises what `read` raises, but for size."""
    path = Path(path)
    with _reading(path) as file:
        kind = _kind(file, path)
        if kind == "PNG":
            return _png_facts(_png_header(file, path), path)
        if kind == "TIFF":
            return _tiff_facts(_tiff_pages(file, path))
        image = _open_with_pillow(file, path)
        return _pillow_facts(image)


def read(path: str | Path, *, most_megapixels: float = MOST_MEGAPIXELS) -> Photo:
    """The picture of a file, turned upright as its EXIF says.

    Raises InputError where there is no such file, DamagedImage where it is no image or cut off, UnsupportedImage where
    it has several frames, more than most_megapixels, or pixels that cannot be kept.
    """
    path = Path(path)
    with _reading(path) as file:
        kind = _kind(file, path)
        if kind == "PNG":
            return _read_png(file, path, most_megapixels)
        if kind == "TIFF":
            return _read_tiff(file, path, most_megapixels)
        return _read_with_pillow(file, path, most_megapixels)


def check_output(path: str | Path, *, force: bool = False) -> None:
    """Raises OutputExists or OutputError where `write` to this path would, as far as can be told before there is a
    picture: call it before long work."""
    path = Path(path)
    _check_folder(path)
    _format_of(path, "")
    _check_place(path, force)


def write(photo: Photo, path: str | Path, *, force: bool = False, quality: int | None = None) -> None:
    """Write the photo in the format of the path's ending, whole or not at all.

    Of the same format as it was read: JPEG with its own quantisation tables and subsampling, WebP lossless or not,
    TIFF with its compression. quality (1 to 100) overrides that for JPEG, WebP and AVIF. Depth that the format cannot
    hold is reduced with a LossWarning; transparency or inks that it cannot hold are refused.
    Raises OutputExists unless `force`, OutputError.
    """
    path = Path(path)
    _check_folder(path)
    kind = _format_of(path, photo.format)
    if quality is not None and not 1 <= quality <= 100:
        raise OutputError(f"the quality is {quality}", hint="give 1 to 100")
    _check_place(path, force)
    ready = _fit(photo, kind)
    with _replacing(path, force) as part:
        {"JPEG": _write_jpeg, "PNG": _write_png, "TIFF": _write_tiff}.get(kind, _write_other)(
            ready, part, photo.format == kind, quality, kind
        )


# reading


def _read_png(file: BinaryIO, path: Path, most_megapixels: float) -> Photo:
    chunks = _png_header(file, path)
    facts = _png_facts(chunks, path)
    _check(facts, path, most_megapixels)
    depth, colour_type = chunks[0][1][8:10]
    carried = tuple(
        (name, content)
        for name, content in chunks
        # chunks about the palette's colours would have to stand behind it; tIME is the time of the last change
        if name[:1].islower() and name not in (b"tRNS", b"tIME", b"hIST") and not (colour_type == 3 and name == b"bKGD")
    )
    exif = next((content for name, content in carried if name == b"eXIf"), b"")
    resolution = next((content for name, content in carried if name == b"pHYs"), b"")
    dpi = None
    if len(resolution) == 9 and resolution[8] == 1:
        across, down = struct.unpack_from(">II", resolution)
        dpi = (across * 0.0254, down * 0.0254)
    metadata = Metadata(
        exif=exif.removeprefix(b"Exif\0\0"),
        xmp=carrying.png_texts_to_xmp(carried),
        icc=carrying.png_icc(carried),
        dpi=dpi,
        chunks=carried,
    )
    if depth == 16:
        pixels = _decode_with_vips(path, "pngload_source")
        bands = 1 if pixels.ndim == 2 else pixels.shape[2]
        layout = Layout(1 if bands < 3 else 3, has_alpha=bands in (2, 4))
    else:
        pixels, layout = _decode_with_pillow(_open_with_pillow(file, path), path)
    return Photo(_turned(pixels, facts.orientation), layout, "PNG", True, metadata)


def _read_tiff(file: BinaryIO, path: Path, most_megapixels: float) -> Photo:
    pages = _tiff_pages(file, path)
    facts = _tiff_facts(pages)
    page = pages[0]
    photometric = page.number(262)
    if 50706 in page.tags or photometric in (32803, 34892) or path.suffix.lower() in _RAW_SUFFIXES:
        raise UnsupportedImage(f"{path} is a camera's raw file", hint="develop it to TIFF, PNG or JPEG first")
    if photometric in (8, 9, 10):
        raise UnsupportedImage(f"{path} holds L*a*b* colours", hint="convert it to RGB first")
    _check(facts, path, most_megapixels)
    sample = {1: "unsigned", 2: "signed", 3: "float"}.get(page.number(339) or 1, "complex")
    if facts.bits not in ({"unsigned": (1, 2, 4, 8, 16), "float": (32,)}.get(sample, ())):
        raise UnsupportedImage(
            f"{path} has {facts.bits}-bit {sample} pixels",
            hint="convert it to 8 or 16 bits unsigned, or to 32-bit float",
        )
    compression = page.number(259) or 1
    tags = {tag: value for tag, value in page.tags.items() if tag not in exif_blocks.STRUCTURAL}
    if exif_blocks.PHOTOSHOP in tags:
        resources = carrying.without_thumbnails(tags[exif_blocks.PHOTOSHOP].data)
        tags[exif_blocks.PHOTOSHOP] = Tag(1, len(resources), resources)
    if 338 in page.tags:
        tags[338] = page.tags[338]  # whether colours are multiplied with alpha: the pixels are kept as they are
    metadata = Metadata(
        xmp=_data(page, exif_blocks.XMP),
        icc=_data(page, exif_blocks.ICC),
        photoshop=_data(Directory(tags), exif_blocks.PHOTOSHOP),
        dpi=_tiff_dpi(page),
        tags=Directory(tags),
    )
    settings = {"compression": compression, "predictor": page.number(317) or 1, "tile": 322 in page.tags}
    if photometric == 3:
        layout = Layout(1, palette=_tiff_palette(page, path))
        plain = io.BytesIO(file.read())
        try:
            exif_blocks.palette_to_grey(plain)  # libvips would turn indices into colours
        except (ValueError, struct.error) as error:
            raise DamagedImage(f"{path} is a damaged TIFF ({error})", hint="get a whole copy of the file") from error
        pixels = _decode_with_vips(path, "tiffload_source", plain.getvalue())
        if facts.bits < 8:
            pixels = pixels // np.uint8(255 // (2**facts.bits - 1))  # libvips spreads grey levels over 8 bits
    else:
        pixels = _decode_with_vips(path, "tiffload_source")
        bands = 1 if pixels.ndim == 2 else pixels.shape[2]
        colours = 4 if photometric == 5 else 3 if photometric in (2, 6) else 1
        if bands not in (colours, colours + 1):
            raise UnsupportedImage(f"{path} has {bands} channels", hint="keep grey, RGB or CMYK and one alpha channel")
        layout = Layout(colours, has_alpha=bands == colours + 1)
        if facts.bits == 1 and bands == 1:
            pixels = pixels > 0
    pixels = _turned(pixels, facts.orientation)
    return Photo(pixels, layout, "TIFF", compression not in (6, 7, 50001), metadata, settings)


def _read_with_pillow(file: BinaryIO, path: Path, most_megapixels: float) -> Photo:
    image = _open_with_pillow(file, path)
    kind = image.format or ""
    facts = _pillow_facts(image)
    _check(facts, path, most_megapixels)
    lossless = kind not in ("JPEG", "AVIF", "JPEG2000") and not (kind == "WEBP" and not _is_lossless_webp(file))
    pixels, layout = _decode_with_pillow(image, path)
    info = image.info
    exif = info.get("exif", b"")
    dpi = info.get("dpi")
    segments, photoshop, comments = carrying.sort_segments(getattr(image, "applist", []))
    if kind == "GIF" and info.get("comment"):
        comments = (bytes(info["comment"]),)
    metadata = Metadata(
        exif=exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b"",
        xmp=info["xmp"] if isinstance(info.get("xmp"), bytes) else b"",
        icc=info.get("icc_profile") or b"",
        photoshop=photoshop,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and all(value > 0 for value in dpi) else None,
        comments=comments,
        segments=segments,
    )
    settings: dict[str, Any] = {}
    if kind == "JPEG":
        from PIL import JpegImagePlugin

        settings["qtables"] = getattr(image, "quantization", None)
        settings["subsampling"] = JpegImagePlugin.get_sampling(image)
        settings["progressive"] = bool(info.get("progressive"))
    return Photo(_turned(pixels, facts.orientation), layout, kind, lossless, metadata, settings)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", hint="check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason})", hint="give an image file that you may read") from error
    with file:
        yield file


def _kind(file: BinaryIO, path: Path) -> str:
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


def _check(facts: Facts, path: Path, most_megapixels: float) -> None:
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


def _png_header(file: BinaryIO, path: Path) -> list[tuple[bytes, bytes]]:
    try:
        chunks = list(carrying.read_png_chunks(file))
    except (ValueError, OSError) as error:
        raise DamagedImage(f"{path} is a damaged PNG ({error})", hint="get a whole copy of the file") from error
    finally:
        file.seek(0)
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) < 13:
        raise DamagedImage(f"{path} is a PNG without a header", hint="get a whole copy of the file")
    return chunks


def _png_facts(chunks: list[tuple[bytes, bytes]], path: Path) -> Facts:
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


def _tiff_pages(file: BinaryIO, path: Path) -> list[Directory]:
    try:
        pages = [page for page in exif_blocks.read_directories(file) if page.tags]
    except ValueError as error:
        raise DamagedImage(f"{path} is a damaged TIFF ({error})", hint="get a whole copy of the file") from error
    finally:
        file.seek(0)
    if not pages or pages[0].number(256) is None or pages[0].number(257) is None:
        raise DamagedImage(f"{path} is a TIFF without a readable directory", hint="get a whole copy of the file")
    return pages


def _tiff_facts(pages: list[Directory]) -> Facts:
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


def _pillow_facts(image: ImageFile) -> Facts:
    kind = image.format or ""
    try:
        with _quiet():
            turn = image.getexif().get(exif_blocks.ORIENTATION, 1)
            frames = getattr(image, "n_frames", 1)
    except _DECODE_ERRORS:
        turn, frames = 1, 1
    turn = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
    bits = {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)
    return Facts(kind, _seen(Size(*image.size), turn), image.mode, bits, frames, turn)


def _open_with_pillow(file: BinaryIO, path: Path) -> ImageFile:
    """Pillow's image, header read only. Its own size limit is global, so the check of `_check` takes its place."""
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
    except _DECODE_ERRORS as error:
        raise DamagedImage(f"{path} is damaged ({error})", hint="get a whole copy of the file") from error
    if head[4:8] == b"ftyp":
        raise UnsupportedImage(
            f"{path} is of the kind {head[8:12].decode('latin-1')}, which cannot be read here",
            hint="convert it to JPEG, PNG or TIFF first",
        )
    raise DamagedImage(f"{path} is no image that can be read", hint="give a JPEG, PNG, TIFF, WebP or AVIF file")


def _decode_with_pillow(image: ImageFile, path: Path) -> tuple[np.ndarray, Layout]:
    try:
        image.load()
    except _DECODE_ERRORS as error:
        raise DamagedImage(f"{path} is damaged or cut off ({error})", hint="get a whole copy of the file") from error
    return pillow_to_array(image), pillow_layout(image)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings about damaged tags: such a file is refused, or its tags do not matter here."""
    # filters belong to the whole process, so two threads must not take turns in restoring them
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _tiff_palette(page: Directory, path: Path) -> np.ndarray:
    entries = np.frombuffer(_data(page, exif_blocks.COLOUR_MAP), "<u2")
    if entries.size == 0 or entries.size % 3 or entries.size > 3 * 256:
        raise DamagedImage(f"{path} is a TIFF whose palette has {entries.size} values", hint="get a whole copy of it")
    palette = np.full((entries.size // 3, 4), 255, np.uint8)
    palette[:, :3] = entries.reshape(3, -1).T >> 8
    return palette


def _decode_with_vips(path: Path, loader: str, content: bytes | None = None) -> np.ndarray:
    """(H, W) or (H, W, bands) in the file's own type; content in place of what the path holds."""
    pyvips = _vips()
    try:
        source = pyvips.Source
        image = getattr(pyvips.Image, loader)(
            source.new_from_file(str(path)) if content is None else source.new_from_memory(content),
            access="sequential",
            fail_on="error",
        )
        kind = _VIPS_TYPES.get(image.format)
        if kind is None:
            raise UnsupportedImage(
                f"{path} has pixels of type {image.format}", hint="convert it to 8 or 16 bits, or to float"
            )
        pixels = np.frombuffer(image.write_to_memory(), kind)
    except pyvips.Error as error:
        reason = " ".join(str(error.detail).split())
        raise DamagedImage(f"{path} is damaged or cut off ({reason})", hint="get a whole copy of the file") from error
    return pixels.reshape((image.height, image.width) + ((image.bands,) if image.bands > 1 else ()))


def _vips() -> Any:
    # libvips' warnings reach Python's logging, which prints them where nobody has set it up
    log = logging.getLogger("pyvips")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    import pyvips

    return pyvips


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Upright pixels of stored ones: EXIF 2.32, tag 274."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    # which corner of the (transposed) picture the first stored pixel belongs into
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _seen(stored: Size, orientation: int) -> Size:
    return Size(stored.height, stored.width) if orientation >= 5 else stored


def _is_lossless_webp(file: BinaryIO) -> bool:
    at = file.tell()
    try:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name in (b"VP8 ", b"VP8L"):
                return bool(name == b"VP8L")
            file.seek(length + length % 2, 1)
        return False
    finally:
        file.seek(at)


def _data(page: Directory, tag: int) -> bytes:
    return page.tags[tag].data if tag in page.tags else b""


def _tiff_dpi(page: Directory) -> tuple[float, float] | None:
    unit = {2: 1.0, 3: 2.54}.get(page.number(296) or 2)
    sides = [_data(page, 282), _data(page, 283)]
    if unit is None or any(len(side) != 8 for side in sides):
        return None
    above, below = zip(*(struct.unpack("<II", side) for side in sides), strict=True)
    return (above[0] / below[0] * unit, above[1] / below[1] * unit) if all(above) and all(below) else None


# writing


def _fit(photo: Photo, kind: str) -> Photo:
    """The photo as that format can hold it, with a LossWarning or OutputError where it cannot."""
    pixels, layout = photo.pixels, photo.layout
    most = _LONGEST_SIDE.get(kind, 1 << 30)
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


def _pillow_image(photo: Photo) -> Any:
    pixels, layout = photo.pixels, photo.layout
    if layout.palette is not None:
        image = array_to_pillow(pixels, "P")
        image.putpalette(layout.palette[:, :3].tobytes())
        return image
    if pixels.dtype == np.bool_:
        return array_to_pillow(pixels, "1")
    return array_to_pillow(pixels, {1: "L", 3: "RGB", 4: "CMYK"}[layout.colours] + "A" * layout.has_alpha)


def _vips_image(photo: Photo) -> Any:
    pyvips = _vips()
    pixels = np.ascontiguousarray(photo.pixels)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    elif pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    names = {np.dtype(kind): name for name, kind in _VIPS_TYPES.items()}
    is_deep = pixels.dtype == np.uint16
    meaning = {1: "grey16" if is_deep else "b-w", 3: "rgb16" if is_deep else "srgb", 4: "cmyk"}[photo.layout.colours]
    image = pyvips.Image.new_from_memory(
        pixels, pixels.shape[1], pixels.shape[0], photo.layout.bands, names[pixels.dtype]
    )
    return image.copy(interpretation="scrgb" if meaning == "srgb" and pixels.dtype.kind == "f" else meaning)


def _ready_metadata(photo: Photo) -> Metadata:
    """What the photo carries, true of its upright pixels and present size."""
    have = photo.metadata
    block = have.exif or exif_blocks.directory_to_block(have.tags)
    space = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}[3 if photo.layout.palette is not None else photo.layout.colours]
    fits = have.icc[16:20] == space or (space == b"GRAY" and photo.pixels.dtype == np.bool_)
    return replace(
        have,
        exif=exif_blocks.upright(block, photo.size),
        xmp=carrying.upright_xmp(have.xmp, photo.size),
        icc=have.icc if fits or len(have.icc) < 20 else b"",
    )


def _write_jpeg(photo: Photo, part: Path, same: bool, quality: int | None, kind: str) -> None:
    have = _ready_metadata(photo)
    options: dict[str, Any] = {"quality": 95 if quality is None else quality, "subsampling": 0}
    tables = photo.settings.get("qtables") if same else None
    if tables and quality is None:
        options = {"qtables": tables}
        # Pillow numbers the subsamplings it can write, and others -1
        options["subsampling"] = max(photo.settings.get("subsampling", 0), 0)
        options["progressive"] = photo.settings.get("progressive", False)
    if have.dpi and max(have.dpi) < 65535:
        options["dpi"] = (round(have.dpi[0]), round(have.dpi[1]))
    if have.comments:
        options["comment"] = have.comments[0][:65000]
    for name, content, room in (("exif", b"Exif\0\0" + have.exif, 65533), ("xmp", have.xmp, 65504)):
        if len(content) > room:
            warnings.warn(
                f"JPEG has room for {room} bytes of {name.upper()}, and the photo's {len(content)} are left out",
                LossWarning,
                stacklevel=4,
            )
        elif content and content != b"Exif\0\0":
            options[name] = content
    if have.icc:
        options["icc_profile"] = have.icc
    options["extra"] = carrying.jpeg_segments(have, same_kind=same)
    image = _pillow_image(photo)
    try:
        image.save(part, "JPEG", **options)
    except OSError as error:
        if error.errno is not None or not options.get("progressive"):
            raise
        # Pillow's buffer for progressive files is too small for noise at the highest quality
        image.save(part, "JPEG", **options | {"progressive": False})


def _write_png(photo: Photo, part: Path, same: bool, quality: int | None, kind: str) -> None:
    bare = part.with_name(part.name + "0")
    try:
        if photo.pixels.dtype == np.uint16:
            _vips_image(photo).pngsave(str(bare), keep="none", bitdepth=16)
        else:
            _pillow_image(photo).save(bare, "PNG", **_transparency(photo.layout))
        with bare.open("rb") as source, part.open("wb") as target:
            carrying.insert_png_chunks(source, target, carrying.png_chunks(_ready_metadata(photo)))
    finally:
        bare.unlink(missing_ok=True)


def _write_tiff(photo: Photo, part: Path, same: bool, quality: int | None, kind: str) -> None:
    compression = photo.settings.get("compression", 8) if same else 8
    is_one_bit, is_float = photo.pixels.dtype == np.bool_, photo.pixels.dtype.kind == "f"
    predictor = "float" if is_float else "horizontal"
    if is_one_bit or (same and photo.settings.get("predictor") == 1):
        predictor = "none"
    compression = _TIFF_COMPRESSION.get(compression, "deflate")
    if compression == "ccittfax4" and not is_one_bit:
        compression = "deflate"
    _vips_image(photo).tiffsave(
        str(part),
        compression=compression,
        predictor=predictor,
        tile=bool(same and photo.settings.get("tile")),
        bitdepth=1 if is_one_bit else 0,
        bigtiff=photo.pixels.nbytes > 3.9e9,
        keep="none",
        xres=72 / 25.4,
        yres=72 / 25.4,
        resunit="inch",
    )
    have = _ready_metadata(photo)
    carried = have.tags if same else exif_blocks.block_to_directory(have.exif)
    tags = exif_blocks.resized(carried, photo.size).tags
    tags = {tag: value for tag, value in tags.items() if tag not in exif_blocks.STRUCTURAL or tag == 338}
    if not photo.layout.has_alpha:
        tags.pop(338, None)
    if have.dpi and 282 not in tags:
        sides = [struct.pack("<II", round(dpi * 1000), 1000) for dpi in have.dpi]
        tags |= {282: Tag(5, 1, sides[0]), 283: Tag(5, 1, sides[1]), 296: Tag(3, 1, b"\2\0")}
    tags.pop(exif_blocks.ICC, None)
    for tag, type_number, content in (
        (exif_blocks.XMP, 1, have.xmp),
        (exif_blocks.PHOTOSHOP, 1, have.photoshop),
        (exif_blocks.ICC, 7, have.icc),
    ):
        if content:
            tags[tag] = Tag(type_number, len(content), content)
    if photo.layout.palette is not None:
        table = np.zeros((256, 3), "<u2")
        table[: len(photo.layout.palette)] = photo.layout.palette[:, :3]
        tags[exif_blocks.PHOTOMETRIC] = Tag(3, 1, b"\3\0")
        tags[exif_blocks.COLOUR_MAP] = Tag(3, table.size, (table * 257).T.astype("<u2").tobytes())
    with part.open("r+b") as file:
        exif_blocks.add_tags(file, Directory(tags))


def _write_other(photo: Photo, part: Path, same: bool, quality: int | None, kind: str) -> None:
    have = _ready_metadata(photo)
    options: dict[str, Any] = {}
    if kind in ("WEBP", "AVIF"):
        options = {name: value for name, value in (("exif", have.exif), ("xmp", have.xmp)) if value}
        options["icc_profile"] = have.icc
        options["quality"] = 95 if quality is None else quality
        if kind == "WEBP" and photo.lossless and quality is None:
            options |= {"lossless": True, "exact": True, "quality": 80}
    elif kind == "GIF":
        options = _transparency(photo.layout) | {"optimize": False}
        if have.comments:
            options["comment"] = have.comments[0]
    elif kind == "BMP" and have.dpi:
        options["dpi"] = have.dpi
    image = _pillow_image(photo)
    image.save(part, kind, **options)


def _transparency(layout: Layout) -> dict[str, Any]:
    if layout.palette is not None:
        clear = np.flatnonzero(layout.palette[:, 3] < 255)
        if len(clear) == 1 and layout.palette[clear[0], 3] == 0:
            return {"transparency": int(clear[0])}
        return {"transparency": layout.palette[: clear[-1] + 1, 3].tobytes()} if len(clear) else {}
    if layout.key is not None:
        values = tuple(int(value) for value in layout.key)
        return {"transparency": values if len(values) > 1 else values[0]}
    return {}


def _format_of(path: Path, otherwise: str) -> str:
    kind = FORMATS.get(path.suffix.lower(), otherwise if not path.suffix else "")
    if kind not in FORMATS.values():
        raise OutputError(
            f"{path} has no ending that says which kind of file to write",
            hint=f"use one of {' '.join(FORMATS)}",
        )
    return kind


def _check_folder(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder", hint="give the name of a file in it")


def _check_place(path: Path, force: bool) -> None:
    if path.exists() or path.is_symlink():
        if not force:
            raise OutputExists(f"{path} exists", hint="choose another name, or allow overwriting (force)")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is no ordinary file", hint="choose another name")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder}", hint="make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be written to", hint="choose another folder")


@contextlib.contextmanager
def _replacing(path: Path, force: bool) -> Iterator[Path]:
    """A new empty file beside `path` to write to, which takes its place when all went well and vanishes otherwise."""
    target = path.resolve()  # a link stays a link
    part: Path | None = None
    try:
        part = target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}.part")
        part.touch(exist_ok=False)
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        yield part
        _sync(part)
        _put(part, target, path, force)
        _sync(target.parent)
    except OutputError:
        raise
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, TypeError, KeyError, struct.error, OverflowError)) and (
            not type(error).__module__.startswith("pyvips")
        ):
            raise
        detail = getattr(error, "strerror", None) or getattr(error, "detail", None) or error
        reason = " ".join(str(detail).split())
        raise OutputError(
            f"{path} cannot be written ({reason})", hint="is there room on the disk, and can this format hold it?"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _put(part: Path, target: Path, path: Path, force: bool) -> None:
    if not force:
        # a link fails where a file has appeared meanwhile, which a check cannot promise
        link: Callable[[Path, Path], None] = os.link
        try:
            link(part, target)
            return
        except FileExistsError as error:
            raise OutputExists(f"{path} exists by now", hint="choose another name") from error
        except OSError:
            if target.exists():
                raise OutputExists(f"{path} exists by now", hint="choose another name") from None
    part.replace(target)


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
