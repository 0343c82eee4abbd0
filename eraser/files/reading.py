"""From a file to a Photo: pixels upright, and everything else that it carries."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from eraser import exif as exif_blocks
from eraser import metadata as carrying
from eraser.errors import DamagedImage, UnsupportedImage
from eraser.exif import Directory, Tag
from eraser.files.headers import (
    DECODE_ERRORS,
    check,
    kind_of,
    open_with_pillow,
    opened,
    pillow_facts,
    png_facts,
    png_header,
    tiff_facts,
    tiff_pages,
)
from eraser.files.photo import Photo
from eraser.files.vips import decode_with_vips
from eraser.layouts import Layout
from eraser.metadata import Metadata
from eraser.pictures import pillow_layout, pillow_to_array

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MOST_MEGAPIXELS = 500.0
_RAW_SUFFIXES = frozenset({".dng", ".nef", ".nrw", ".cr2", ".arw", ".pef", ".orf", ".rw2", ".srw", ".3fr", ".iiq"})


def read(path: str | Path, *, most_megapixels: float = MOST_MEGAPIXELS) -> Photo:
    """The picture of a file, turned upright as its EXIF says.

    Raises InputError where there is no such file, DamagedImage where it is no image or cut off, UnsupportedImage where
    it has several frames, more than most_megapixels, or pixels that cannot be kept.
    """
    path = Path(path)
    with opened(path) as file:
        kind = kind_of(file, path)
        if kind == "PNG":
            return _read_png(file, path, most_megapixels)
        if kind == "TIFF":
            return _read_tiff(file, path, most_megapixels)
        return _read_with_pillow(file, path, most_megapixels)


def _read_png(file: BinaryIO, path: Path, most_megapixels: float) -> Photo:
    chunks = png_header(file, path)
    facts = png_facts(chunks, path)
    check(facts, path, most_megapixels)
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
        pixels = decode_with_vips(path, "pngload_source")
        bands = 1 if pixels.ndim == 2 else pixels.shape[2]
        layout = Layout(1 if bands < 3 else 3, has_alpha=bands in (2, 4))
    else:
        pixels, layout = _decode_with_pillow(open_with_pillow(file, path), path)
    return Photo(_turned(pixels, facts.orientation), layout, "PNG", True, metadata)


def _read_tiff(file: BinaryIO, path: Path, most_megapixels: float) -> Photo:
    pages = tiff_pages(file, path)
    facts = tiff_facts(pages)
    page = pages[0]
    photometric = page.number(262)
    if 50706 in page.tags or photometric in (32803, 34892) or path.suffix.lower() in _RAW_SUFFIXES:
        raise UnsupportedImage(f"{path} is a camera's raw file", hint="develop it to TIFF, PNG or JPEG first")
    if photometric in (8, 9, 10):
        raise UnsupportedImage(f"{path} holds L*a*b* colours", hint="convert it to RGB first")
    check(facts, path, most_megapixels)
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
        pixels = decode_with_vips(path, "tiffload_source", plain.getvalue())
        if facts.bits < 8:
            pixels = pixels // np.uint8(255 // (2**facts.bits - 1))  # libvips spreads grey levels over 8 bits
    else:
        pixels = decode_with_vips(path, "tiffload_source")
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
    image = open_with_pillow(file, path)
    kind = image.format or ""
    facts = pillow_facts(image)
    check(facts, path, most_megapixels)
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


def _decode_with_pillow(image: ImageFile, path: Path) -> tuple[np.ndarray, Layout]:
    try:
        image.load()
    except DECODE_ERRORS as error:
        raise DamagedImage(f"{path} is damaged or cut off ({error})", hint="get a whole copy of the file") from error
    return pillow_to_array(image), pillow_layout(image)


def _tiff_palette(page: Directory, path: Path) -> np.ndarray:
    entries = np.frombuffer(_data(page, exif_blocks.COLOUR_MAP), "<u2")
    if entries.size == 0 or entries.size % 3 or entries.size > 3 * 256:
        raise DamagedImage(f"{path} is a TIFF whose palette has {entries.size} values", hint="get a whole copy of it")
    palette = np.full((entries.size // 3, 4), 255, np.uint8)
    palette[:, :3] = entries.reshape(3, -1).T >> 8
    return palette


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
