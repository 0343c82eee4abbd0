"""EXIF and TIFF tags: directories of numbered values, read, patched in place, and carried into another file.

An EXIF block is a small TIFF without pixels. Between files of the same kind it is patched in place, so that maker
notes, which point into it by position, stay whole. TIFF 6.0 section 2, EXIF 2.32 section 4.6, BigTIFF 2007.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from eraser.geometry import Size

ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005
PHOTOMETRIC, COLOUR_MAP = 262, 320
XMP, IPTC, PHOTOSHOP, ICC = 700, 33723, 34377, 34675
_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
_WIDTH_TAGS, _HEIGHT_TAGS = (0x0100, 0xA002), (0x0101, 0xA003)
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WORD_SIZES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MOST_BYTES = 1 << 26  # a tag that claims more than this is damaged
# tags that say how the pixels are stored: true of one file only
# fmt: off
STRUCTURAL = frozenset({
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, ORIENTATION, 277, 278, 279, 280, 281, 284, 292, 293,
    297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334, 336, 338, 339, 340, 341, 347,
    *range(512, 522), 529, 530, 531, 532,
    37724, 50838, 50839,  # Photoshop's layers and ImageJ's tables describe the old pixels
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Tag:
    """One value: type and count as TIFF numbers them, data little-endian; or a directory it points to."""

    kind: int
    count: int
    data: bytes
    inner: Directory | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    tags: dict[int, Tag] = field(default_factory=dict)

    def number(self, tag: int) -> int | None:
        """The first number of an integer tag, None where it is missing."""
        found = self.tags.get(tag)
        layout = {1: "<B", 3: "<H", 4: "<I", 16: "<Q"}.get(found.kind) if found else None
        if found is None or layout is None or len(found.data) < struct.calcsize(layout):
            return None
        return int(struct.unpack_from(layout, found.data)[0])


@dataclass(frozen=True, slots=True)
class _Format:
    """Byte order and widths of one TIFF file."""

    order: str  # "<" or ">"
    is_big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.is_big else "H")

    @property
    def inline(self) -> int:
        return 8 if self.is_big else 4

    @property
    def entry(self) -> int:
        return 20 if self.is_big else 12


def read_directories(file: BinaryIO, *, most: int = 1000) -> list[Directory]:
    """The file's chain of directories, one per page. Damaged entries are left out; raises ValueError if it is no TIFF.

    The chain ends at `most` directories, or where it loops.
    """
    kind, at = _read_header(file)
    seen: set[int] = set()
    pages: list[Directory] = []
    while at and at not in seen and len(pages) < most:
        seen.add(at)
        directory, at = _read_directory(file, kind, at, depth=0)
        pages.append(directory)
    return pages


def orientation(block: bytes) -> int:
    """How the EXIF block says the pixels are turned: 1 upright ... 8; 1 where it says nothing that makes sense."""
    for tag, _, at, layout in _scalars(block):
        if tag == ORIENTATION:
            value = int(struct.unpack_from(layout, block, at)[0])
            return value if 1 <= value <= 8 else 1
    return 1


def upright(block: bytes, size: Size) -> bytes:
    """The EXIF block of an upright image of this size without its thumbnail (it shows what was erased).

    All else stays at its place. A block too damaged to read comes back as it is.
    """
    patched = bytearray(block)
    for tag, _, at, layout in _scalars(block):
        if tag == ORIENTATION:
            struct.pack_into(layout, patched, at, 1)
        elif tag in _WIDTH_TAGS or tag in _HEIGHT_TAGS:
            side = size.width if tag in _WIDTH_TAGS else size.height
            if side < 256 ** struct.calcsize(layout):
                struct.pack_into(layout, patched, at, side)
    _drop_thumbnail(patched)
    return bytes(patched)


def block_to_directory(block: bytes) -> Directory:
    """The first directory of an EXIF block with those inside it; empty where it cannot be read."""
    import io

    try:
        pages = read_directories(io.BytesIO(block), most=1)
    except ValueError:
        return Directory()
    return pages[0] if pages else Directory()


def directory_to_block(directory: Directory) -> bytes:
    """An EXIF block of everything in the directory that does not describe stored pixels."""
    tags = {
        tag: value
        for tag, value in directory.tags.items()
        if tag not in STRUCTURAL and tag not in (XMP, IPTC, PHOTOSHOP, ICC) and len(value.data) <= 1 << 15
    }
    if not tags:
        return b""
    return b"II*\0" + struct.pack("<I", 8) + _write_directory(Directory(tags), 8, _Format("<", False), [], 0)


def resized(directory: Directory, size: Size) -> Directory:
    """The directory with the pixel dimensions among its EXIF tags, where it has them, set to this size."""
    tags = dict(directory.tags)
    for tag, value in tags.items():
        if value.inner is not None:
            tags[tag] = replace(value, inner=resized(value.inner, size))
        elif tag in (_WIDTH_TAGS[1], _HEIGHT_TAGS[1]):
            side = size.width if tag == _WIDTH_TAGS[1] else size.height
            tags[tag] = Tag(4, 1, struct.pack("<I", side))
    return Directory(tags)


def add_tags(file: BinaryIO, directory: Directory) -> None:
    """Give the first page of a TIFF (open for reading and writing) these tags too, in place of its own of that number.

    A new directory is written at the end; pixels stay where they are.
    """
    _rewrite_directory(file, directory, lambda tag: tag not in directory.tags)


def palette_to_grey(file: BinaryIO) -> None:
    """Make the first page of a palette TIFF one of grey levels: its indices. All but its structure is left out."""
    kept = STRUCTURAL - {PHOTOMETRIC, COLOUR_MAP}
    _rewrite_directory(file, Directory({PHOTOMETRIC: Tag(3, 1, b"\1\0")}), kept.__contains__, last=True)


def _rewrite_directory(
    file: BinaryIO, directory: Directory, keeps: Callable[[int], bool], *, last: bool = False
) -> None:
    kind, at = _read_header(file)
    file.seek(at)
    count = struct.unpack(kind.count, _exactly(file, struct.calcsize(kind.count)))[0]
    entries = [_exactly(file, kind.entry) for _ in range(count)]
    following = struct.unpack(kind.offset, _exactly(file, struct.calcsize(kind.offset)))[0]
    own = [entry for entry in entries if keeps(struct.unpack(kind.order + "H", entry[:2])[0])]
    end = file.seek(0, 2)
    start = end + end % 2
    written = _write_directory(directory, start, kind, own, 0 if last else following)
    file.write(b"\0" * (start - end) + written)
    file.seek(8 if kind.is_big else 4)
    file.write(struct.pack(kind.offset, start))


def _read_header(file: BinaryIO) -> tuple[_Format, int]:
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("no TIFF header")
    magic = struct.unpack_from(order + "H", head, 2)[0]
    if magic == 43 and len(head) == 16:
        return _Format(order, True), struct.unpack_from(order + "Q", head, 8)[0]
    if magic != 42:
        raise ValueError(f"TIFF version {magic}")
    return _Format(order, False), struct.unpack_from(order + "I", head, 4)[0]


def _read_directory(file: BinaryIO, kind: _Format, at: int, *, depth: int) -> tuple[Directory, int]:
    tags: dict[int, Tag] = {}
    try:
        file.seek(at)
        count = struct.unpack(kind.count, _exactly(file, struct.calcsize(kind.count)))[0]
        if count > 4096:
            return Directory(), 0
        table = _exactly(file, count * kind.entry)
        following = struct.unpack(kind.offset, _exactly(file, struct.calcsize(kind.offset)))[0]
    except (ValueError, OSError, OverflowError):
        return Directory(), 0
    for start in range(0, len(table), kind.entry):
        tag, type_number = struct.unpack_from(kind.order + "HH", table, start)
        number = struct.unpack_from(kind.offset, table, start + 4)[0]
        place = start + 4 + struct.calcsize(kind.offset)
        length = _TYPE_SIZES.get(type_number, 0) * number
        if not 0 < length <= _MOST_BYTES:
            continue
        try:
            if length <= kind.inline:
                data = table[place : place + length]
            else:
                file.seek(struct.unpack_from(kind.offset, table, place)[0])
                data = _exactly(file, length)
        except (ValueError, OSError, OverflowError):
            continue
        data = _swapped(data, type_number) if kind.order == ">" else data
        inner = None
        if tag in _POINTERS and depth < 2 and len(data) >= 4:
            inner, _ = _read_directory(file, kind, int.from_bytes(data[:8], "little"), depth=depth + 1)
            if not inner.tags:
                continue
        tags[tag] = Tag(type_number, number, data, inner)
    return Directory(tags), following


def _write_directory(directory: Directory, start: int, kind: _Format, own: list[bytes], following: int) -> bytes:
    """The bytes of a directory that will stand at `start`: finished entries `own` and those of `directory`."""
    keep_big = kind.is_big
    kept = {tag: value for tag, value in directory.tags.items() if keep_big or value.kind not in (16, 17, 18)}
    count = len(own) + len(kept)
    head = struct.calcsize(kind.count) + count * kind.entry + struct.calcsize(kind.offset)
    entries = {struct.unpack(kind.order + "H", entry[:2])[0]: entry for entry in own}
    data = bytearray()
    for tag, value in kept.items():
        if value.inner is not None:
            content = _write_directory(value.inner, start + head + len(data), kind, [], 0)
            place = struct.pack(kind.offset, start + head + len(data))
            entries[tag] = struct.pack(kind.order + "HH", tag, 4 if not kind.is_big else 18)
            entries[tag] += struct.pack(kind.offset, 1) + place
            data += content + b"\0" * (len(content) % 2)
            continue
        content = _swapped(value.data, value.kind) if kind.order == ">" else value.data
        if len(content) <= kind.inline:
            place = content.ljust(kind.inline, b"\0")
        else:
            place = struct.pack(kind.offset, start + head + len(data))
            data += content + b"\0" * (len(content) % 2)
        entries[tag] = struct.pack(kind.order + "HH", tag, value.kind) + struct.pack(kind.offset, value.count) + place
    table = b"".join(entries[tag] for tag in sorted(entries))
    return struct.pack(kind.count, count) + table + struct.pack(kind.offset, following) + bytes(data)


def _swapped(data: bytes, kind: int) -> bytes:
    size = _WORD_SIZES.get(kind, 1)
    if size == 1:
        return data
    return b"".join(data[i : i + size][::-1] for i in range(0, len(data) - size + 1, size))


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"{len(data)} of {count} bytes")
    return data


def _entries(block: bytes, order: str, at: int) -> Iterator[tuple[int, int, int]]:
    """(tag, type, where its entry stands) of the directory at `at`."""
    if at + 2 > len(block):
        return
    for index in range(struct.unpack_from(order + "H", block, at)[0]):
        place = at + 2 + 12 * index
        if place + 12 > len(block):
            return
        tag, kind = struct.unpack_from(order + "HH", block, place)
        yield tag, kind, place


def _scalars(block: bytes) -> Iterator[tuple[int, int, int, str]]:
    """(tag, type, position, struct format) of the single integers in the first directory and the EXIF one."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return
    starts = [struct.unpack_from(order + "I", block, 4)[0]]
    for start in starts:
        for tag, kind, place in _entries(block, order, start):
            letter = {1: "B", 3: "H", 4: "I"}.get(kind)
            if letter is None or struct.unpack_from(order + "I", block, place + 4)[0] != 1:
                continue
            if tag == EXIF_IFD and len(starts) == 1:
                starts.append(struct.unpack_from(order + letter, block, place + 8)[0])
            yield tag, kind, place + 8, order + letter


def _drop_thumbnail(block: bytearray) -> None:
    """Unlink the second directory and blank the picture it points to."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 8:
        return
    first = struct.unpack_from(order + "I", block, 4)[0]
    if first + 2 > len(block):
        return
    link = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    if link + 4 > len(block):
        return
    second = struct.unpack_from(order + "I", block, link)[0]
    struct.pack_into(order + "I", block, link, 0)
    found = {}
    for tag, kind, place in _entries(bytes(block), order, second) if second else ():
        if tag in (_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH, 0x0111, 0x0117) and kind in (3, 4):
            found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), block, place + 8)[0]
    offset = found.get(_THUMBNAIL_OFFSET, found.get(0x0111, 0))
    length = found.get(_THUMBNAIL_LENGTH, found.get(0x0117, 0))
    if offset < 8 or length <= 0 or offset >= len(block):
        return
    if offset + length >= len(block):
        del block[offset:]  # the usual place: the very end
    else:
        block[offset : offset + length] = b"\0" * length
