"""Framed messages: what the engine process and its clients say to each other, defined once for both.

Standard library only and Python 3.10, because GIMP's plug-in carries a copy of this file.

A frame is 4 ASCII letters (its kind), the head's length (u32), the body's length (u64), the head (a JSON object in
UTF-8) and the body (raw bytes). Numbers are little endian, pixel values in bodies too.

to /v1/plan    PLAN {size, box, grow} + mask, or PLAN {size, keep}
to /v1/fill    FILL {the same, boxes, bands, depth, engine, seed, tries, prompt, preview} + mask; PIXL + pixels, per box
from /v1/fill  WAIT {position} · STEP {fraction, note} · VIEW {width, height, box} + RGB · WARN {message} · BEAT {}
               then FAIL {error, message, hint}, or MASK {box} + alpha and DONE {box, bands, depth ...} + pixels
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PROTOCOL = 1  # goes up when a client or an engine of the version before would misunderstand
CONTENT_TYPE = "application/x-magic-eraser"
PROTOCOL_HEADER = "X-Magic-Eraser-Protocol"
VERSION_HEADER = "X-Magic-Eraser-Version"

PLAN, FILL, PIXELS = "PLAN", "FILL", "PIXL"
WAIT, STEP, VIEW, WARN, BEAT, MASK, DONE, FAIL = "WAIT", "STEP", "VIEW", "WARN", "BEAT", "MASK", "DONE", "FAIL"

BEAT_SECONDS = 1.0  # an engine that is alive sends a frame at least so often while a job runs or waits
DEPTHS = {"u8": 1, "u16": 2, "half": 2, "float": 4, "double": 8}  # bytes of a value
MOST_HEAD = 1 << 20
MOST_BODY = 1 << 40

_PREFIX = struct.Struct("<4sIQ")

Bytes = bytes | bytearray | memoryview


class Malformed(ValueError):
    """These bytes are no frames, or not those expected; the message says what is wrong with them."""


@dataclass(frozen=True)
class Frame:
    kind: str
    head: dict[str, Any]
    body: bytearray


# what may come next: told a frame's kind, head and body length before its body is taken in; raises to refuse it
Check = Callable[[str, dict[str, Any], int], None]


def opening(kind: str, head: dict[str, Any], body_length: int = 0) -> bytes:
    """A frame up to its body, for who sends the body apart: large ones need no copy."""
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MOST_HEAD:
        raise Malformed(f"the head of a {kind} frame has {len(text)} bytes, and {MOST_HEAD} are allowed")
    return _PREFIX.pack(kind.encode("ascii"), len(text), body_length) + text


def pack(kind: str, head: dict[str, Any], body: Bytes = b"") -> bytes:
    return opening(kind, head, len(body)) + bytes(body)


class Decoder:
    """Bytes in, as they arrive; frames out. Memory for a body is taken when `check` has let its head pass."""

    def __init__(self, check: Check | None = None) -> None:
        self._check = check
        self._start = bytearray()  # prefix and head, while they come
        self._frame: Frame | None = None
        self._have = 0  # bytes of the frame's body

    def feed(self, data: Bytes) -> Iterator[Frame]:
        """Raises Malformed, and what `check` raises. Iterate to the end, or bytes are lost."""
        rest = memoryview(data)
        while True:
            if self._frame is None:
                rest = self._take_start(rest)
            frame = self._frame
            if frame is None:
                return
            count = min(len(rest), len(frame.body) - self._have)
            frame.body[self._have : self._have + count] = rest[:count]
            self._have += count
            rest = rest[count:]
            if self._have < len(frame.body):
                return
            self._frame, self._have = None, 0
            yield frame

    @property
    def between_frames(self) -> bool:
        """Whether the bytes so far end where a frame ends."""
        return self._frame is None and not self._start

    def _take_start(self, rest: memoryview) -> memoryview:
        wanted = _PREFIX.size
        if len(self._start) >= wanted:
            wanted += _PREFIX.unpack_from(self._start)[1]
        while len(self._start) < wanted:
            if not rest:
                return rest
            count = wanted - len(self._start)
            self._start += rest[:count]
            rest = rest[count:]
            if len(self._start) == _PREFIX.size:
                wanted += _head_length(self._start)
        name, _, body_length = _PREFIX.unpack_from(self._start)
        kind, head = name.decode("ascii"), _parse(self._start[_PREFIX.size :])
        if self._check is not None:
            self._check(kind, head, body_length)
        if body_length > MOST_BODY:
            raise Malformed(f"the body of a {kind} frame is announced with {body_length} bytes")
        self._start = bytearray()
        self._frame = Frame(kind, head, bytearray(body_length))
        return rest


def _head_length(start: bytearray) -> int:
    name, length, _ = _PREFIX.unpack_from(start)
    if not name.isalpha() or not name.isupper():
        raise Malformed(f"{bytes(name)!r} is no kind of frame")
    if length > MOST_HEAD:
        raise Malformed(f"a head of {length} bytes is announced, and {MOST_HEAD} are allowed")
    return int(length)


def _parse(text: bytearray) -> dict[str, Any]:
    try:
        head = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"a frame's head is no JSON ({error})") from None
    if not isinstance(head, dict):
        raise Malformed("a frame's head is no JSON object")
    return head


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
