"""Frames: what goes in comes out, however it is cut; what is no frame is refused before it costs anything."""

from __future__ import annotations

import contextlib
import json
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eraser import wire

HEADS = st.dictionaries(st.text(max_size=5), st.none() | st.integers(-(2**60), 2**60) | st.text(max_size=9), max_size=4)
FRAMES = st.lists(st.tuples(st.sampled_from(["PLAN", "STEP", "DONE"]), HEADS, st.binary(max_size=40)), max_size=5)


def decode(data: bytes, cuts: list[int], decoder: wire.Decoder) -> list[tuple[str, dict, bytes]]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [
        (frame.kind, frame.head, bytes(frame.body))
        for start, stop in pairwise(places)
        for frame in decoder.feed(data[start:stop])
    ]


@given(FRAMES, st.lists(st.integers(0, 10**6), max_size=12))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames, cuts) -> None:
    data = b"".join(wire.pack(*frame) for frame in frames)
    decoder = wire.Decoder()
    assert decode(data, cuts, decoder) == frames
    assert decoder.between_frames


@given(FRAMES.filter(len), st.data())
def test_a_cut_stream_is_known_to_be_cut(frames, data) -> None:
    whole = b"".join(wire.pack(*frame) for frame in frames)
    ends = {sum(len(wire.pack(*frame)) for frame in frames[:count]) for count in range(len(frames) + 1)}
    length = data.draw(st.integers(0, len(whole)))
    decoder = wire.Decoder()
    decode(whole[:length], [], decoder)
    assert decoder.between_frames == (length in ends)


def test_the_bytes_are_those_that_the_description_says() -> None:
    assert wire.pack("STEP", {"a": 1}, b"xy") == b"STEP\x07\0\0\0\x02\0\0\0\0\0\0\0" + b'{"a":1}xy'


@given(st.binary(max_size=60))
def test_noise_is_refused_and_nothing_else_happens(noise: bytes) -> None:
    decoder = wire.Decoder()
    with contextlib.suppress(wire.Malformed):
        assert list(decoder.feed(noise)) == []  # no noise of this length is a frame
        assert decoder.between_frames == (not noise)


def start(kind: bytes = b"PLAN", head: bytes = b"{}", head_length: int | None = None, body_length: int = 0) -> bytes:
    return struct.pack("<4sIQ", kind, len(head) if head_length is None else head_length, body_length) + head


@pytest.mark.parametrize(
    "data",
    [
        start(kind=b"plan"),
        start(kind=b"GET "),
        start(kind=b"\xff\xfe12"),
        start(head=b"[]"),
        start(head=b""),
        start(head=b"{"),
        start(head=b'{"a": NaN}'),
        start(head=b'{"a": \xff}'),
        start(head=b"[" * 100_000),
        start(head=b'{"a": ' + b"9" * 5000 + b"}"),
        start(head_length=wire.MOST_HEAD + 1),
        start(body_length=wire.MOST_BODY + 1),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(wire.Malformed):
        list(wire.Decoder().feed(data))


def test_a_body_takes_no_memory_before_it_is_allowed() -> None:
    asked = []

    def refuse(kind: str, head: dict, length: int) -> None:
        asked.append((kind, head, length))
        raise wire.Malformed("too much")

    with pytest.raises(wire.Malformed, match="too much"):
        list(wire.Decoder(refuse).feed(start(head=b'{"a":1}', body_length=1 << 39)))
    assert asked == [("PLAN", {"a": 1}, 1 << 39)]


def test_heads_that_nobody_would_take_are_not_sent() -> None:
    with pytest.raises(wire.Malformed, match="allowed"):
        wire.opening("PLAN", {"a": "x" * wire.MOST_HEAD})
    with pytest.raises(ValueError, match="JSON"):
        wire.opening("PLAN", {"a": float("nan")})
    assert json.loads(wire.opening("PLAN", {"ü": "→"})[16:]) == {"ü": "→"}
