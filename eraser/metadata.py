"""What a file carries besides pixels, made true again for the image that is written."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from eraser.exif import Directory
from eraser.geometry import Size

XMP_KEYWORD = b"XML:com.adobe.xmp"
_ICC_MARK, _EXIF_MARK, _XMP_MARK = b"ICC_PROFILE\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP_MARK = b"Photoshop 3.0\0"
_THUMBNAIL_RESOURCES = (0x0409, 0x040C)


@dataclass(frozen=True, slots=True)
class Metadata:
    """exif: a TIFF block without "Exif\\0\\0" · xmp, icc: as they are · photoshop: image resources (IPTC inside)
    dpi: (across, down) · comments: of a JPEG · segments, chunks, tags: what only that kind of file can hold.
    """

    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    photoshop: bytes = b""
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    segments: tuple[tuple[int, bytes], ...] = ()  # JPEG: marker, content
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # PNG: name, content
    tags: Directory = field(default_factory=Directory)  # TIFF


def sort_segments(segments: list[tuple[str, bytes]]) -> tuple[tuple[tuple[int, bytes], ...], bytes, tuple[bytes, ...]]:
    """(the JPEG segments to be carried as they are, the Photoshop resources, the comments).

    Left out is what the writer makes anew, and previews, which show what was erased.
    """
    carried: list[tuple[int, bytes]] = []
    comments: list[bytes] = []
    photoshop = b""
    for name, content in segments:
        if name == "COM":
            comments.append(content)
        elif name == "APP13" and content.startswith(_PHOTOSHOP_MARK):
            photoshop += content[len(_PHOTOSHOP_MARK) :]
        elif name in ("APP0", "APP14") or content.startswith((_ICC_MARK, _EXIF_MARK, _XMP_MARK, b"MPF\0")):
            continue
        elif name.startswith("APP") and name[3:].isdigit():
            carried.append((0xE0 + int(name[3:]), content))
    return tuple(carried), without_thumbnails(photoshop), tuple(comments)


def jpeg_segments(metadata: Metadata, *, same_kind: bool) -> bytes:
    """The bytes of all segments that go between the header and the pixels, but for EXIF, XMP, ICC and comments."""
    parts = list(metadata.segments) if same_kind else []
    resources, room = metadata.photoshop, 65533 - len(_PHOTOSHOP_MARK)
    parts += [(0xED, _PHOTOSHOP_MARK + resources[at : at + room]) for at in range(0, len(resources), room)]
    parts += [(0xFE, comment) for comment in metadata.comments[1:]]
    return b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(part) + 2) + part for marker, part in parts)


def without_thumbnails(resources: bytes) -> bytes:
    """Photoshop image resources but for the thumbnails; as they are where they cannot be read."""
    kept, at = bytearray(), 0
    while at + 12 <= len(resources):
        if resources[at : at + 4] not in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"):
            return resources
        number, name_length = struct.unpack_from(">HB", resources, at + 4)
        data_at = at + 6 + (name_length + 2) // 2 * 2
        if data_at + 4 > len(resources):
            return resources
        length = struct.unpack_from(">I", resources, data_at)[0]
        following = data_at + 4 + length + length % 2
        if following > len(resources) + 1:
            return resources
        if number not in _THUMBNAIL_RESOURCES:
            kept += resources[at:following]
        at = following
    return bytes(kept)


def upright_xmp(xmp: bytes, size: Size) -> bytes:
    """XMP of an upright image of this size, without thumbnails. Values are changed where they stand."""
    values = {rb"tiff:Orientation": b"1"}
    for space, width, height in (
        (b"tiff", b"ImageWidth", b"ImageLength"),
        (b"exif", b"PixelXDimension", b"PixelYDimension"),
    ):
        values[space + b":" + width] = b"%d" % size.width
        values[space + b":" + height] = b"%d" % size.height
    for name, value in values.items():
        xmp = re.sub(rb"(\b" + name + rb"\s*(?:=\s*[\"']|>)\s*)\d+", rb"\g<1>" + value, xmp)
    for space in (b"xmp", b"xap"):
        first, last = b"<" + space + b":Thumbnails", b"</" + space + b":Thumbnails>"
        start = xmp.find(first)
        while start >= 0 and (end := xmp.find(last, start)) >= 0:
            xmp = xmp[:start] + xmp[end + len(last) :]
            start = xmp.find(first, start)
    return xmp


def xmp_orientation(xmp: bytes) -> int:
    """tiff:Orientation of an XMP packet, 1 where it says none that makes sense."""
    found = re.search(rb"\btiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])\b", xmp)
    return int(found.group(1)) if found else 1


def read_png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of a PNG's chunks in order; those with pixels come empty. ValueError where it ends early."""
    file.seek(8)
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("the file ends before its last chunk")
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"fdAT"):
            file.seek(length + 4, 1)
            yield name, b""
            continue
        if length > 1 << 28:
            raise ValueError(f"a chunk claims {length} bytes")
        content = file.read(length)
        if len(file.read(4)) < 4:
            raise ValueError("the file ends inside a chunk")
        yield name, content
        if name == b"IEND":
            return


def png_texts_to_xmp(chunks: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The XMP packet among a PNG's chunks."""
    for name, content in chunks:
        if name == b"iTXt" and content.startswith(XMP_KEYWORD + b"\0"):
            compressed, rest = content[len(XMP_KEYWORD) + 1 : len(XMP_KEYWORD) + 2] == b"\1", content
            parts = rest[len(XMP_KEYWORD) + 3 :].split(b"\0", 2)  # language, translated keyword, text
            if len(parts) == 3:
                return inflate(parts[2]) if compressed else parts[2]
    return b""


def png_icc(chunks: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The ICC profile among a PNG's chunks."""
    for name, content in chunks:
        if name == b"iCCP":
            return inflate(content.split(b"\0", 1)[-1][1:])
    return b""


def inflate(data: bytes, most: int = 1 << 26) -> bytes:
    """Decompressed, b"" where it is damaged or would be absurdly large."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, most)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else unpacked


def png_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """The ancillary chunks to write: those of a PNG as they were, then what came from elsewhere."""
    own = {b"eXIf", b"iCCP", b"pHYs"}
    chunks: list[tuple[bytes, bytes]] = []
    if metadata.icc:
        original = next((content for name, content in metadata.chunks if name == b"iCCP"), None)
        same = original is not None and png_icc(((b"iCCP", original),)) == metadata.icc
        chunks.append((b"iCCP", original if same and original else b"ICC\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        across, down = (min(max(round(dpi / 0.0254), 0), 2**31 - 1) for dpi in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    for name, content in metadata.chunks:
        is_xmp = name == b"iTXt" and content.startswith(XMP_KEYWORD + b"\0")
        if name not in own and not is_xmp and not (metadata.icc and name == b"sRGB"):
            chunks.append((name, content))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append((b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    for comment in metadata.comments:
        chunks.append((b"tEXt", b"Comment\0" + comment.rstrip(b"\0").replace(b"\0", b" ")))
    return chunks


def insert_png_chunks(source: BinaryIO, target: BinaryIO, chunks: list[tuple[bytes, bytes]]) -> None:
    """Copy a PNG with these chunks in place of its own ancillary ones (transparency stays)."""
    target.write(source.read(8))
    is_start = True
    while head := source.read(8):
        length, name = struct.unpack(">I4s", head)
        if name[:1].isupper() or name == b"tRNS":
            target.write(head)
            remaining = length + 4
            while remaining:
                part = source.read(min(remaining, 1 << 20))
                if not part:
                    raise ValueError("the file ends inside a chunk")
                target.write(part)
                remaining -= len(part)
        else:
            source.seek(length + 4, 1)
        if is_start:
            for chunk, content in chunks:
                target.write(struct.pack(">I4s", len(content), chunk) + content)
                target.write(struct.pack(">I", zlib.crc32(chunk + content)))
            is_start = False
