"""The engine process over HTTP: real processes, a toy engine, and requests of every kind of bad manners."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import eraser
from eraser import door as doors
from eraser import files, wire
from eraser.__main__ import main
from eraser.errors import EngineRunning, OutOfRange, OutputError
from eraser.provenance import DIGITAL_SOURCE_TYPE, PATCHES
from eraser.serve.guard import is_loopback_name
from eraser.serve.process import listen, serve
from eraser.xmp import values

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")
SIZE = (60, 40)


def photo(bands: int = 3, dtype: str = "u1") -> np.ndarray:
    rng = np.random.default_rng(7)
    top = 255 if dtype == "u1" else 65535
    return (rng.random((SIZE[1], SIZE[0], bands)) * top).astype(dtype)


PLAN_HEAD = {"size": list(SIZE), "box": [20, 15, 6, 5], "grow": 0}
MASK = b"\xff" * 30


def plan_of(served: Any, head: dict[str, Any] = PLAN_HEAD, mask: bytes = MASK) -> Any:
    return served.json("POST", "/v1/plan", wire.pack(wire.PLAN, head, mask))


def fill_body(served: Any, image: np.ndarray, **options: Any) -> bytes:
    depth = {"uint8": "u8", "uint16": "u16"}[image.dtype.name]
    boxes = plan_of(served)["boxes"]
    head = PLAN_HEAD | {"boxes": boxes, "bands": image.shape[2], "depth": depth} | options
    body = wire.pack(wire.FILL, head, MASK)
    for box in boxes:
        x, y, width, height = box
        body += wire.pack(wire.PIXELS, {"box": box}, image[y : y + height, x : x + width].tobytes())
    return body


def frames_of(data: bytes) -> list[wire.Frame]:
    decoder = wire.Decoder()
    frames = list(decoder.feed(data))
    assert decoder.between_frames
    return frames


def multipart(fields: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a form; values are texts, or (file name, bytes)."""
    edge = "an-edge-that-occurs-nowhere"
    body = b""
    for name, value in fields.items():
        named, content = ("", str(value).encode()) if not isinstance(value, tuple) else (value[0], value[1])
        where = f'; filename="{named}"' if named else ""
        body += f'--{edge}\r\nContent-Disposition: form-data; name="{name}"{where}\r\n\r\n'.encode() + content + b"\r\n"
    return body + f"--{edge}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={edge}"}


def encoded(image: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, kind, **options)
    return stored.getvalue()


def mask_image() -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[15:20, 20:26] = 255
    return mask


def check_report(status: int, body: bytes, wanted: int, kind: str) -> dict[str, str]:
    report = json.loads(body)
    assert (status, report["error"]) == (wanted, kind), report
    assert report["message"]
    assert report["hint"]
    return report


# -- who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/health", "/v1/engines", "/openapi.json", "/v1/plan", "/nowhere"])
@pytest.mark.parametrize("token", ["wrong", "Bearer", "é"])
def test_no_call_passes_without_the_token(served: Any, path: str, token: str) -> None:
    status, headers, body = served.call("GET", path, token=token)
    check_report(status, body, 401, "WrongToken")
    assert headers["www-authenticate"] == "Bearer"
    assert headers["x-magic-eraser-protocol"] == str(wire.PROTOCOL)


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Basic TOKEN", "TOKEN", "Bearer TOKEN0", "Bearer  x TOKEN"])
def test_nothing_but_the_token_will_do(served: Any, authorization: str) -> None:
    given = authorization.replace("TOKEN", served.door.token)
    status, _, body = served.call("GET", "/v1/health", headers={"Authorization": given})
    check_report(status, body, 401, "WrongToken")


def test_a_page_from_elsewhere_does_not_get_in_by_its_name(served: Any) -> None:
    status, _, body = served.call("GET", "/v1/health", headers={"Host": f"example.org:{served.door.port}"})
    assert "example.org" in check_report(status, body, 401, "WrongToken")["message"]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.0.0.1:80", True), ("localhost:8080", True), ("LOCALHOST", True), ("[::1]:80", True),
        ("", False), ("example.org", False), ("127.0.0.1.example.org", False), ("localhost.example.org:80", False),
        ("10.0.0.1", False), ("[::2]:80", False), ("127.", True), ("x127.0.0.1", False),
    ],
)  # fmt: skip
def test_names_of_this_machine(host: str, own: bool) -> None:
    assert is_loopback_name(host) == own


def test_answers_are_for_no_other_page(served: Any) -> None:
    _, headers, _ = served.call("GET", "/v1/health", headers={"Origin": "https://example.org"})
    assert not [name for name in headers if name.startswith("access-control")]


def test_another_protocol_is_told_both_numbers(served: Any) -> None:
    sent = {wire.PROTOCOL_HEADER: "77", wire.VERSION_HEADER: "0.0.9"}
    status, headers, body = served.call("GET", "/v1/health", headers=sent)
    said = check_report(status, body, 426, "WrongVersion")["message"]
    assert all(part in said for part in (str(wire.PROTOCOL), "77", "0.0.9", eraser.__version__))
    assert headers["x-magic-eraser-version"] == eraser.__version__


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "::", "example.org", ""])
def test_only_this_machine_is_listened_to(host: str) -> None:
    with pytest.raises(OutOfRange, match="this machine"):
        listen(host, 0)


def test_a_taken_port_is_said_in_a_sentence(served: Any) -> None:
    with pytest.raises(OutputError, match=str(served.door.port)):
        listen("127.0.0.1", served.door.port)


# -- facts -------------------------------------------------------------------------------------------------------------


def test_health_and_engines_say_what_is_there(served: Any) -> None:
    facts = served.json("GET", "/v1/health")
    while not facts["loaded"]:
        time.sleep(0.02)
        facts = served.json("GET", "/v1/health")
    assert (facts["version"], facts["protocol"], facts["pid"]) == (eraser.__version__, wire.PROTOCOL, served.door.pid)
    assert facts["engine"] == "toy"
    assert (facts["loaded"], facts["device"]) == (True, "GPU"), "as the toy says of itself"
    names = [info.name for info in eraser.engines()]
    assert [info["name"] for info in served.json("GET", "/v1/engines")] == [*names, "toy", "words"]


def test_the_plan_is_the_librarys(served: Any) -> None:
    from eraser.geometry import Box, Size
    from eraser.plans import plan_erase

    answer = plan_of(served)
    plan = plan_erase(np.full((5, 6), 255, np.uint8), Box(20, 15, 6, 5), Size(*SIZE), 0)
    assert answer["hole"] == [20, 15, 6, 5]
    assert [Box(*box) for box in answer["boxes"]] == plan.boxes
    assert (answer["hole_pixels"], answer["windows"]) == (30, len(plan.parts))


# -- fill --------------------------------------------------------------------------------------------------------------


def test_a_fill_streams_progress_a_preview_and_the_result(served: Any) -> None:
    image = photo()
    status, headers, body = served.call("POST", "/v1/fill", fill_body(served, image, preview=True, seed=3))
    assert (status, headers["content-type"]) == (200, wire.CONTENT_TYPE)
    frames = frames_of(body)
    steps = [frame.head["fraction"] for frame in frames if frame.kind == wire.STEP]
    assert steps == sorted(steps)
    assert steps
    view = next(frame for frame in frames if frame.kind == wire.VIEW)
    assert len(view.body) == view.head["width"] * view.head["height"] * 3
    assert [frame.kind for frame in frames[-2:]] == [wire.MASK, wire.DONE]
    done = frames[-1]
    assert (done.head["box"], done.head["bands"], done.head["engine"]) == ([20, 15, 6, 5], 4, "toy")
    assert (done.head["report"]["kept"], done.head["report"]["device"]) == ([3], "GPU")
    layer = np.frombuffer(done.body, np.uint8).reshape(5, 6, 4)
    assert (layer[:, :, 3] == 255).all()
    assert bytes(frames[-2].body) == MASK


@pytest.mark.parametrize(("bands", "dtype", "tries"), [(1, "u1", 1), (4, "u1", 1), (3, "u2", 1), (3, "u1", 4)])
def test_the_patch_engine_paints_what_the_library_paints(served: Any, bands: int, dtype: str, tries: int) -> None:
    image = photo(bands, dtype)
    body = served.call("POST", "/v1/fill", fill_body(served, image, engine="patch", seed=5, tries=tries))[2]
    done = frames_of(body)[-1]
    layer = np.frombuffer(done.body, dtype).reshape(5, 6, done.head["bands"])
    whole = eraser.erase(image, mask_image(), seed=5, tries=tries, grow=0)
    colours = layer.shape[2] - 1
    assert np.array_equal(layer[:, :, :-1], whole[15:20, 20:26, :colours])


def test_an_engine_that_fails_says_so_and_the_next_job_runs(served: Any) -> None:
    body = served.call("POST", "/v1/fill", fill_body(served, photo(), engine="nobody"))[2]
    failed = frames_of(body)[-1]
    assert (failed.kind, failed.head["error"]) == (wire.FAIL, "UnknownEngine")
    assert "toy" in failed.head["hint"]
    body = served.call("POST", "/v1/fill", fill_body(served, photo(), prompt="a hat"))[2]
    assert frames_of(body)[-1].head["error"] == "EngineError"
    assert frames_of(served.call("POST", "/v1/fill", fill_body(served, photo()))[2])[-1].kind == wire.DONE


def head_without(name: str, **changes: Any) -> dict[str, Any]:
    head = PLAN_HEAD | {"boxes": [[0, 0, *SIZE]], "bands": 3, "depth": "u8"} | changes
    return {key: value for key, value in head.items() if key != name}


PIXELS = wire.pack(wire.PIXELS, {"box": [0, 0, *SIZE]}, photo().tobytes())
GOOD = wire.pack(wire.FILL, head_without(""), MASK) + PIXELS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense" * 100,
        GOOD[:10],
        GOOD[:-1],
        GOOD + b"x",
        GOOD + PIXELS,
        wire.pack(wire.PLAN, head_without(""), MASK) + PIXELS,
        wire.pack(wire.FILL, head_without(""), MASK),
        wire.pack(wire.FILL, head_without(""), MASK[:-1]) + PIXELS,
        wire.pack(wire.FILL, head_without(""), MASK) + wire.pack(wire.PIXELS, {"box": [0, 0, *SIZE]}, b"short"),
        wire.pack(wire.FILL, head_without(""), MASK) + wire.pack(wire.PIXELS, {}, photo().tobytes()),
        *[
            wire.pack(wire.FILL, head_without(name), MASK) + PIXELS
            for name in ("size", "box", "boxes", "bands", "depth")
        ],
        *[
            wire.pack(wire.FILL, head_without("", **{name: value}), MASK) + PIXELS
            for name, value in [
                ("size", [0, 0]), ("size", [-60, -40]), ("size", "big"), ("size", [60.0, 40]), ("size", [True, 40]),
                ("box", [20, 15, 6, 500]), ("box", [-1, 15, 6, 5]), ("box", [20, 15, 0, 5]), ("box", None),
                ("boxes", []), ("boxes", [[0, 0, 1, 1]]), ("boxes", 7),
                ("bands", 5), ("bands", True), ("bands", "3"), ("bands", [3]), ("depth", "u7"), ("depth", ["u8"]),
                ("seed", -1), ("seed", 2**63), ("seed", 0.5), ("seed", True),
                ("tries", 0), ("tries", 17), ("tries", 2.0), ("tries", True),
                ("engine", 7), ("prompt", 7), ("grow", True), ("grow", "much"), ("grow", [1]),
            ]
        ],
        wire.opening(wire.FILL, head_without("", size=[2**40, 2**40]), 30) + MASK,
    ],
)  # fmt: skip
def test_damaged_requests_are_refused_and_do_no_harm(served: Any, body: bytes) -> None:
    status, _, reply = served.call("POST", "/v1/fill", body)
    assert status in (400, 413), reply
    report = json.loads(reply)
    assert report["message"]
    assert report["error"] in ("BadRequest", "TooLarge")
    assert served.json("GET", "/v1/health")["running"] == 0


@pytest.mark.parametrize(
    ("head", "mask", "kind"),
    [
        (PLAN_HEAD, bytes(30), "EmptyHole"),
        (PLAN_HEAD | {"box": [0, 0, *SIZE]}, b"\1" * 2400, "NothingKnown"),
        (PLAN_HEAD | {"grow": -1}, MASK, "OutOfRange"),
        ({"size": list(SIZE), "keep": [0, 0, *SIZE]}, b"", "EmptyHole"),
        ({"size": list(SIZE), "keep": [1, 0, *SIZE]}, b"", "OutOfRange"),
    ],
)
def test_what_cannot_be_planned_is_said(served: Any, head: dict[str, Any], mask: bytes, kind: str) -> None:
    status, _, body = served.call("POST", "/v1/plan", wire.pack(wire.PLAN, head, mask))
    check_report(status, body, 422, kind)


def test_nothing_is_read_beyond_the_limits(served: Any) -> None:
    large = {"size": [1000, 501], "keep": [0, 0, 10, 10]}
    status, _, body = served.call("POST", "/v1/plan", wire.pack(wire.PLAN, large))
    assert "--most-megapixels" in check_report(status, body, 413, "TooLarge")["hint"]
    status, _, body = served.call("POST", "/v1/plan", headers={"Content-Length": str(3_000_000)})
    assert "--most-megabytes" in check_report(status, body, 413, "TooLarge")["hint"]
    form, headers = multipart({"image": ("big.png", bytes(2_500_000))})
    # in pieces, whose number nobody announces
    pieces = (form[start : start + 65536] for start in range(0, len(form), 65536))
    status, _, body = served.call("POST", "/v1/erase", pieces, headers)
    check_report(status, body, 413, "TooLarge")
    assert served.json("GET", "/v1/health")["running"] == 0


LARGE = bytes(40_000_000)  # more than sockets hold between them


@pytest.mark.parametrize(
    ("path", "token", "status", "in_pieces"),
    [
        ("/v1/fill", "", 413, 400),  # in pieces its length is not announced, but it starts with no frame
        ("/v1/erase", "", 413, 400),
        ("/v1/plan", "wrong", 401, 401),
        ("/v1/nowhere", "", 413, 404),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_who_is_refused_before_all_is_sent_hears_why(
    served: Any, path: str, token: str, status: int, in_pieces: int, announced: bool
) -> None:
    """A connection that is closed with bytes unread breaks, and takes the answer with it."""
    pieces = (LARGE[start : start + (1 << 20)] for start in range(0, len(LARGE), 1 << 20))
    form = "multipart/form-data; boundary=x" if path == "/v1/erase" else wire.CONTENT_TYPE
    body, headers = (LARGE, {"Content-Type": form}) if announced else (pieces, {"Content-Type": form})
    got, _, answer = served.call("POST", path, body, headers, token=token)
    assert got == (status if announced else in_pieces), answer
    assert json.loads(answer)["message"]


def test_who_asks_before_sending_is_told_at_once_and_sends_nothing(served: Any) -> None:
    with socket.create_connection(("127.0.0.1", served.door.port), timeout=30) as line:
        line.sendall(
            f"POST /v1/fill HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {served.door.token}\r\n"
            f"Content-Length: 40000000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        start = time.monotonic()
        answer = b""
        while data := line.recv(65536):  # to the end: it is not waited for what never comes
            answer += data
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - start < 8


def test_garbage_on_the_port_does_not_stop_the_engine(served: Any) -> None:
    random.seed(3)
    starts = [b"", b"\0" * 5000, b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/fill HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
              b"GET /v1/health HTTP/1.1\r\nX: " + b"y" * 200_000, b"\x16\x03\x01" + random.randbytes(300),
              random.randbytes(4000)]  # fmt: skip
    for start in starts:
        with socket.create_connection(("127.0.0.1", served.door.port), timeout=30) as line:
            with contextlib.suppress(OSError):
                line.sendall(start)
                line.shutdown(socket.SHUT_WR)
                line.recv(100)
            # a reset instead of a farewell
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert served.json("GET", "/v1/health")["version"] == eraser.__version__


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_comes_back_with_its_kind_and_what_it_carries(served: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "A Camera"
    image = photo()
    form, headers = multipart(
        {"image": ("a.png", encoded(image, exif=exif, icc_profile=srgb(), dpi=(300, 300))), "engine": "patch",
         "mask": ("m.png", encoded(mask_image())), "grow": "0", "seed": "4"}
    )  # fmt: skip
    status, sent, body = served.call("POST", "/v1/erase", form, headers)
    assert (status, sent["content-type"]) == (200, "image/png"), body
    result = Image.open(io.BytesIO(body))
    assert result.getexif()[271] == "A Camera"
    assert result.info["icc_profile"] == srgb()
    assert round(result.info["dpi"][0]) == 300
    assert np.array_equal(np.asarray(result), eraser.erase(image, mask_image(), grow=0, seed=4))


@pytest.mark.parametrize("wanted", [True, False])
def test_a_file_and_its_answer_say_what_was_done(served: Any, tmp_path: Path, wanted: bool) -> None:
    form, headers = multipart(
        {"image": ("a.png", encoded(photo())), "box": "20,15,6,5", "engine": "patch", "seed": "4", "tries": "2",
         "grow": "0"} | ({} if wanted else {"provenance": "false"})
    )  # fmt: skip
    status, sent, body = served.call("POST", "/v1/erase", form, headers)
    assert status == 200, body
    (tmp_path / "a.png").write_bytes(body)
    assert values(files.read(tmp_path / "a.png").metadata.xmp, DIGITAL_SOURCE_TYPE) == ([PATCHES] if wanted else [])
    report = json.loads(sent["x-magic-eraser-report"])
    assert (report["engine"], report["seed"], report["tries"], report["hole_pixels"]) == ("patch", 4, 2, 30)
    assert report["kept"] in ([4], [5])
    assert report["source_type"] == PATCHES


@functools.cache  # it holds the second in which it was made
def srgb() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


PATCHED = {"engine": "patch", "seed": 5, "tries": 4}


def test_sixteen_bits_stay_sixteen_bits(served: Any, tmp_path: Path) -> None:
    image = photo(3, "u2")
    path = tmp_path / "deep.tif"
    from eraser.layouts import Layout

    files.write(files.Photo(image, Layout(3)), path)
    form, headers = multipart({"image": ("deep.tif", path.read_bytes()), "box": "20,15,6,5", "grow": "0"} | PATCHED)
    status, sent, body = served.call("POST", "/v1/erase", form, headers)
    assert (status, sent["content-type"]) == (200, "image/tiff"), body
    path.write_bytes(body)
    result = files.read(path).pixels
    known = mask_image() == 0
    assert np.array_equal(result[known], image[known])
    assert result.dtype == np.uint16
    assert np.array_equal(result, eraser.erase(image, mask_image(), seed=5, tries=4, grow=0)), "the library's own"


def test_a_subject_gets_another_background(served: Any) -> None:
    image, mask = photo(), mask_image()
    asked = {"image": ("a.png", encoded(image)), "subject": ("m.png", encoded(mask)), "engine": "words"}
    form, headers = multipart(asked | {"prompt": "a wall", "match": "0"})
    status, sent, body = served.call("POST", "/v1/background", form, headers)
    assert (status, sent["content-type"]) == (200, "image/png"), body
    result = np.asarray(Image.open(io.BytesIO(body)))
    assert np.array_equal(result[mask == 255], image[mask == 255])
    assert len(np.unique(result[mask == 0], axis=0)) == 1, "the toy paints one colour"
    form, headers = multipart(asked | {"engine": "patch", "prompt": "a wall"})
    status, _, body = served.call("POST", "/v1/background", form, headers)
    report = check_report(status, body, 503, "EngineError")
    assert "behind a subject nothing is" in report["message"]


def test_a_picture_is_extended(served: Any) -> None:
    image = photo()
    form, headers = multipart({"image": ("a.jpg", encoded(image, "JPEG")), "left": "25%", "bottom": "3"})
    status, sent, body = served.call("POST", "/v1/outpaint", form, headers)
    assert (status, sent["content-type"]) == (200, "image/jpeg"), body
    assert Image.open(io.BytesIO(body)).size == (75, 43)


@pytest.mark.parametrize(
    ("path", "changes", "status", "kind"),
    [
        ("erase", {"mask": None}, 400, "BadRequest"),
        ("erase", {"box": "1,1,2,2"}, 400, "BadRequest"),
        ("erase", {"mask": None, "box": "1,1,2"}, 422, "OutOfRange"),
        ("erase", {"mask": None, "box": "99,99,2,2"}, 422, "OutOfRange"),
        ("erase", {"image": ("a.png", b"no picture")}, 422, "DamagedImage"),
        ("erase", {"image": ("a.png", b"")}, 422, "DamagedImage"),
        ("erase", {"image": None}, 422, "BadRequest"),
        ("erase", {"image": "a text"}, 422, "BadRequest"),
        ("erase", {"mask": ("m.png", encoded(np.zeros((40, 60), np.uint8)))}, 422, "EmptyHole"),
        ("erase", {"mask": ("m.png", encoded(np.zeros((4, 6), np.uint8)))}, 422, "SizeMismatch"),
        ("erase", {"grow": "much"}, 422, "OutOfRange"),
        ("erase", {"grow": "nan"}, 422, "OutOfRange"),
        ("erase", {"seed": "-1"}, 422, "BadRequest"),
        ("erase", {"seed": "x"}, 422, "BadRequest"),
        ("erase", {"engine": "nobody"}, 422, "UnknownEngine"),
        ("erase", {"image": ("b.png", encoded(np.zeros((800, 800), np.uint8)))}, 422, "UnsupportedImage"),
        ("outpaint", {"mask": None}, 422, "EmptyHole"),
        ("outpaint", {"mask": None, "left": "-1"}, 422, "OutOfRange"),
        ("outpaint", {"mask": None, "aspect": "9:0"}, 422, "OutOfRange"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    served: Any, path: str, changes: dict[str, Any], status: int, kind: str
) -> None:
    fields = {"image": ("a.png", encoded(photo())), "mask": ("m.png", encoded(mask_image()))} | changes
    form, headers = multipart({name: value for name, value in fields.items() if value is not None})
    got, _, body = served.call("POST", f"/v1/{path}", form, headers)
    report = check_report(got, body, status, kind)
    assert "magic-eraser-" not in report["message"], "a temporary file's name is nobody's business"


@pytest.mark.parametrize("form", [b"", b"--", b"--x\r\n", multipart({"image": ("a.png", b"1234")})[0][:-30]])
def test_damaged_forms_are_refused(served: Any, form: bytes) -> None:
    headers = multipart({})[1]
    status, _, body = served.call("POST", "/v1/erase", form, headers)
    assert status in (400, 422), body
    assert json.loads(body)["message"]


# -- cancelling and the queue ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow(start_toy: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Twenty steps of 0.15 s each; two jobs may wait."""
    folder = tmp_path_factory.mktemp("slow")
    return start_toy(folder, "--steps", "20", "--step-seconds", "0.15", "--most-waiting", "2")


@contextlib.contextmanager
def running_fill(served: Any, body: bytes, path: str = "/v1/fill", headers: dict[str, str] | None = None) -> Iterator:
    """A call that is under way: the connection, and the reply's frames as they come."""
    connection = served.connect()
    sent = {"Authorization": f"Bearer {served.door.token}"} | (headers or {})
    connection.request("POST", path, body, sent)

    def frames() -> Iterator[wire.Frame]:
        reply = connection.getresponse()
        decoder = wire.Decoder()
        while data := reply.read1(65536):
            yield from decoder.feed(data)

    try:
        yield frames()
    finally:
        # at once and without a farewell, as when the process is killed
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def upto(frames: Iterator[wire.Frame], wanted: Callable[[wire.Frame], bool]) -> wire.Frame:
    return next(frame for frame in frames if wanted(frame))


@pytest.mark.parametrize("moment", ["first step", "late"])
def test_closing_the_connection_stops_the_engine_within_a_step(slow: Any, moment: str) -> None:
    wanted = 0.0 if moment == "first step" else 0.6
    with running_fill(slow, fill_body(slow, photo())) as frames:
        upto(frames, lambda frame: frame.kind == wire.STEP and frame.head["fraction"] >= wanted)
        assert slow.json("GET", "/v1/health")["running"] == 1
    seconds = slow.until_idle()
    print(f"cancelled at the {moment}: idle after {seconds:.2f} s")
    assert seconds < 1


def test_leaving_the_queue_does_not_disturb_the_others(slow: Any) -> None:
    body = fill_body(slow, photo())
    with running_fill(slow, body) as first:
        upto(first, lambda frame: frame.kind == wire.STEP)
        with contextlib.ExitStack() as others:
            for place in (1, 2):
                other = others.enter_context(running_fill(slow, body))
                assert upto(other, lambda frame: frame.kind == wire.WAIT).head["position"] == place
            status, _, reply = slow.call("POST", "/v1/fill", body)
            check_report(status, reply, 503, "TooBusy")
            facts = slow.json("GET", "/v1/health")
            assert (facts["running"], facts["waiting"]) == (1, 2)
        start = time.monotonic()
        while slow.json("GET", "/v1/health")["waiting"]:
            assert time.monotonic() - start < 1
        done = upto(first, lambda frame: frame.kind in (wire.DONE, wire.FAIL))
        assert done.kind == wire.DONE
    slow.until_idle()


def test_those_who_wait_move_up(slow: Any) -> None:
    body = fill_body(slow, photo())
    with running_fill(slow, body) as first:
        upto(first, lambda frame: frame.kind == wire.STEP)
        with running_fill(slow, body) as second:
            upto(second, lambda frame: frame.kind == wire.WAIT)
            with running_fill(slow, body) as third:
                assert upto(third, lambda frame: frame.kind == wire.WAIT).head["position"] == 2
                assert upto(first, lambda frame: frame.kind in (wire.DONE, wire.FAIL)).kind == wire.DONE
                assert upto(third, lambda frame: frame.kind == wire.WAIT).head["position"] == 1
    slow.until_idle()


def test_a_form_whose_sender_goes_away_is_cancelled_too(slow: Any) -> None:
    form, headers = multipart({"image": ("a.png", encoded(photo())), "mask": ("m.png", encoded(mask_image()))})
    with running_fill(slow, form, "/v1/erase", headers):
        start = time.monotonic()
        while not slow.json("GET", "/v1/health")["running"]:
            assert time.monotonic() - start < 10
    assert slow.until_idle() < 1


def test_there_is_a_sign_of_life_every_second(start_toy: Callable[..., Any], tmp_path: Path) -> None:
    served = start_toy(tmp_path, "--steps", "2", "--step-seconds", "2.5")
    last, longest, beats = time.monotonic(), 0.0, 0
    with running_fill(served, fill_body(served, photo())) as frames:
        for frame in frames:
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            beats += frame.kind == wire.BEAT
    assert beats >= 2
    assert longest < 2.4, "a step takes 2.5 s"


def test_time_is_limited(start_toy: Callable[..., Any], tmp_path: Path) -> None:
    served = start_toy(tmp_path, "--steps", "50", "--step-seconds", "0.1", "--most-seconds", "0.5")
    failed = frames_of(served.call("POST", "/v1/fill", fill_body(served, photo()))[2])[-1]
    assert (failed.kind, failed.head["error"]) == (wire.FAIL, "TimeLimit")
    form, headers = multipart({"image": ("a.png", encoded(photo())), "mask": ("m.png", encoded(mask_image()))})
    status, _, body = served.call("POST", "/v1/erase", form, headers)
    check_report(status, body, 504, "TimeLimit")


def test_a_defect_in_an_engine_is_a_report_and_not_the_end(start_toy: Callable[..., Any], tmp_path: Path) -> None:
    served = start_toy(tmp_path, "--fail-at", "1")
    failed = frames_of(served.call("POST", "/v1/fill", fill_body(served, photo()))[2])[-1]
    assert failed.head["error"] == "ServiceError"
    assert "a toy breaks" in failed.head["message"]
    form, headers = multipart({"image": ("a.png", encoded(photo())), "mask": ("m.png", encoded(mask_image()))})
    status, _, body = served.call("POST", "/v1/erase", form, headers)
    check_report(status, body, 500, "ServiceError")
    assert "ZeroDivisionError" in (tmp_path / "engine.log").read_text()
    served.until_idle()


# -- beginning and end -------------------------------------------------------------------------------------------------


def test_it_ends_when_idle_but_not_while_it_works(start_toy: Callable[..., Any], tmp_path: Path) -> None:
    served = start_toy(tmp_path, "--steps", "15", "--step-seconds", "0.2", "--idle", "0.025")  # 1.5 s
    assert frames_of(served.call("POST", "/v1/fill", fill_body(served, photo()))[2])[-1].kind == wire.DONE
    assert served.process.wait(30) == 0
    assert not served.path.exists()


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly_even_while_it_works(
    start_toy: Callable[..., Any], tmp_path: Path, number: signal.Signals
) -> None:
    served = start_toy(tmp_path, "--steps", "100", "--step-seconds", "0.1")
    with running_fill(served, fill_body(served, photo())) as frames:
        upto(frames, lambda frame: frame.kind == wire.STEP)
        served.process.send_signal(number)
        last = list(frames)[-1]
    assert (last.kind, last.head["error"]) == (wire.FAIL, "TooBusy")
    assert served.process.wait(30) == 0
    assert not served.path.exists()


def test_it_stops_when_told_over_http(start_toy: Callable[..., Any], tmp_path: Path) -> None:
    served = start_toy(tmp_path)
    assert served.json("POST", "/v1/stop") == {"stopping": True}
    assert served.process.wait(30) == 0
    assert not served.path.exists()


def test_a_door_has_one_engine_and_a_stale_one_is_replaced(start_toy: Callable[..., Any], tmp_path: Path) -> None:
    first = start_toy(tmp_path)
    with pytest.raises(EngineRunning, match=str(first.door.pid)):
        serve(door_path=first.path)
    again = subprocess.run([*first.process.args], capture_output=True, text=True, timeout=120)
    assert again.returncode == doors.RUNNING
    assert "running already" in again.stderr
    first.process.kill()
    first.process.wait()
    assert doors.read(first.path) == first.door, "who is killed cannot take the door away"
    first.path.rename(tmp_path / "stale.json")
    (tmp_path / "stale.json").rename(first.path)
    second = start_toy_again(start_toy, tmp_path, first.door.token)
    assert second.json("GET", "/v1/health")["pid"] == second.door.pid


def start_toy_again(start_toy: Callable[..., Any], folder: Path, old_token: str) -> Any:
    served = start_toy(folder)
    start = time.monotonic()
    while served.door.token == old_token:
        assert time.monotonic() - start < 60
        served.door = doors.read(served.path) or served.door
    return served


@posix
def test_a_full_disk_is_one_sentence(tmp_path: Path, start_toy: Callable[..., Any]) -> None:
    import resource

    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("toy_serve.py")), "--door", str(tmp_path / "door.json")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "door.json").exists()
    assert os.listdir(tmp_path) == ["door.json.lock"]  # noqa: PTH208


@posix
@pytest.mark.parametrize("sides", [(300, 330), (700, 800)], ids=["while it is stored", "while it is received"])
def test_a_disk_that_is_full_in_the_middle_is_said(
    start_toy: Callable[..., Any], tmp_path: Path, sides: tuple[int, int]
) -> None:
    import resource

    served = start_toy(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    noise = np.random.default_rng(0).integers(0, 256, (*sides, 3), dtype=np.uint8)
    form, headers = multipart({"image": ("a.png", encoded(noise)), "box": "20,15,6,5"})
    status, _, body = served.call("POST", "/v1/erase", form, headers)
    check_report(status, body, 507, "DiskFull")
    form, headers = multipart({"image": ("a.png", encoded(photo())), "box": "20,15,6,5"})
    assert served.call("POST", "/v1/erase", form, headers)[0] == 200, "what fits is done"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "this machine alone"),
        (["--engine", "nobody"], 2, "no engine"),
        (["--port", "70000"], 2, "65535"),
        (["--stop"], 2, "no engine answers"),
        (["--door", "/no/such/folder/door.json"], 2, "cannot be written"),
    ],
)
def test_what_the_command_refuses(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main(["serve", *words]) == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_command_ends_the_engine_behind_a_door(
    start_toy: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = start_toy(tmp_path)
    assert main(["serve", "--stop", "--door", str(served.path)]) == 0
    assert str(served.door.pid) in capsys.readouterr().out
    assert served.process.wait(30) == 0
    assert main(["serve", "--stop", "--door", str(served.path)]) == 2
