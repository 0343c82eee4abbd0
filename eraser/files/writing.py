"""From a Photo to a file of any kind, as its own format would have it."""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eraser import exif as exif_blocks
from eraser import metadata as carrying
from eraser.errors import OutputError
from eraser.exif import Directory, Tag
from eraser.files.holding import fit
from eraser.files.photo import FORMATS, LossWarning, Photo
from eraser.files.placing import check_folder, check_place, replacing
from eraser.files.vips import vips_image
from eraser.layouts import Layout
from eraser.metadata import Metadata
from eraser.pictures import array_to_pillow
from eraser.provenance import marked
from eraser.xmp import DamagedXmp

HOLD_XMP = frozenset({"JPEG", "PNG", "TIFF", "WEBP", "AVIF"})
XMP_ROOM = 65504  # bytes, of a JPEG segment
_TIFF_COMPRESSION = {
    1: "none", 2: "ccittfax4", 3: "ccittfax4", 4: "ccittfax4", 5: "lzw", 8: "deflate", 32946: "deflate",
    32773: "packbits", 50000: "zstd",
}  # fmt: skip


def check_output(path: str | Path, *, force: bool = False) -> None:
    """Raises OutputExists or OutputError where `write` to this path would, as far as can be told before there is a
    picture: call it before long work."""
    path = Path(path)
    check_folder(path)
    format_of(path, "")
    check_place(path, force)


def write(
    photo: Photo, path: str | Path, *, force: bool = False, quality: int | None = None, provenance: bool = True
) -> None:
    """Write the photo in the format of the path's ending, whole or not at all.

    Of the same format as it was read: JPEG with its own quantisation tables and subsampling, WebP lossless or not,
    TIFF with its compression. quality (1 to 100) overrides that for JPEG, WebP and AVIF. Depth that the format cannot
    hold is reduced with a LossWarning; transparency or inks that it cannot hold are refused.
    provenance: say in the file's XMP, where its format holds one, what was done to the picture (docs/provenance.md)
    Raises OutputExists unless `force`, OutputError.
    """
    path = Path(path)
    check_folder(path)
    kind = format_of(path, photo.format)
    if quality is not None and not 1 <= quality <= 100:
        raise OutputError(f"the quality is {quality}", hint="give 1 to 100")
    check_place(path, force)
    ready = fit(photo, kind)
    if provenance and photo.source_type and kind in HOLD_XMP:
        ready = _marked(ready, kind)
    with replacing(path, force) as part:
        {"JPEG": _write_jpeg, "PNG": _write_png, "TIFF": _write_tiff}.get(kind, _write_other)(
            ready, part, photo.format == kind, quality, kind
        )


def _marked(photo: Photo, kind: str) -> Photo:
    """The photo whose XMP says what was done to it; a photo whose XMP cannot take that keeps it as it is."""
    have = photo.metadata.xmp
    try:
        said = marked(have, photo.source_type)
        if kind == "JPEG" and len(have) <= XMP_ROOM < len(said):
            raise DamagedXmp(f"JPEG has room for {XMP_ROOM} bytes of it")
    except DamagedXmp as error:
        warnings.warn(
            f"the file does not say how it was edited: its XMP is left as it is, because {error}",
            LossWarning,
            stacklevel=4,
        )
        return photo
    return replace(photo, metadata=replace(photo.metadata, xmp=said))


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
    for name, content, room in (("exif", b"Exif\0\0" + have.exif, 65533), ("xmp", have.xmp, XMP_ROOM)):
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
            vips_image(photo).pngsave(str(bare), keep="none", bitdepth=16)
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
    vips_image(photo).tiffsave(
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


def _pillow_image(photo: Photo) -> Any:
    pixels, layout = photo.pixels, photo.layout
    if layout.palette is not None:
        image = array_to_pillow(pixels, "P")
        image.putpalette(layout.palette[:, :3].tobytes())
        return image
    if pixels.dtype == np.bool_:
        return array_to_pillow(pixels, "1")
    return array_to_pillow(pixels, {1: "L", 3: "RGB", 4: "CMYK"}[layout.colours] + "A" * layout.has_alpha)


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


def format_of(path: Path, otherwise: str) -> str:
    kind = FORMATS.get(path.suffix.lower(), otherwise if not path.suffix else "")
    if kind not in FORMATS.values():
        raise OutputError(
            f"{path} has no ending that says which kind of file to write",
            hint=f"use one of {' '.join(FORMATS)}",
        )
    return kind
