"""Weights are used only when every byte is the released one's; what is wrong is said."""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from eraser import weights as module
from eraser.errors import DamagedWeights, EngineError, FetchFailed, MissingWeights
from eraser.weights import FOLDER, OFFLINE, Weights, add, fetch, find, folders, home, present, verified

DATA = bytes(range(256)) * 40
RELEASED = Weights("thing.onnx", len(DATA), hashlib.sha256(DATA).hexdigest(), "Apache-2.0")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def test_the_released_file_is_found_in_the_named_folder_first(folder):
    (folder / RELEASED.name).write_bytes(DATA)
    assert find(RELEASED) == folder / RELEASED.name
    assert folders()[0] == folder


def test_a_missing_file_is_told_with_every_place_that_was_looked_into(folder):
    with pytest.raises(MissingWeights) as told:
        find(RELEASED)
    assert all(str(place) in str(told.value) for place in folders())
    assert FOLDER in told.value.hint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[:-1], "10239 of 10240 bytes"),
        (b"", "0 of 10240 bytes"),
        (DATA + b"x", "is not the thing.onnx of this version"),
        (DATA[:100] + b"\xff" + DATA[101:], "is not the thing.onnx of this version"),
    ],
    ids=["truncated", "empty", "longer", "one byte changed"],
)
def test_a_file_that_is_not_the_released_one_is_refused(folder, data, words):
    (folder / RELEASED.name).write_bytes(data)
    with pytest.raises(DamagedWeights, match=words) as told:
        find(RELEASED)
    assert isinstance(told.value, EngineError)
    assert told.value.hint


def test_a_file_that_cannot_be_read_is_missing(tmp_path):
    with pytest.raises(MissingWeights, match="cannot be read"):
        verified(tmp_path / "nothing", RELEASED)


# --- fetching ---------------------------------------------------------------------------------------------------------


@dataclass
class Shelf:
    """What the server below answers, and what it was asked."""

    data: bytes
    url: str = ""
    breaks_after: list[int] = field(default_factory=list)  # bytes of the body, per answer; then it sends everything
    takes_ranges: bool = True
    tells_length: bool = True
    status: int = 200
    asked: list[str] = field(default_factory=list)  # the Range of every request


@pytest.fixture
def shelf(monkeypatch) -> Iterator[Shelf]:
    """A file server on loopback."""
    shelf = Shelf(DATA)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            shelf.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shelf.takes_ranges else 0
            status = 206 if start and shelf.status == 200 else shelf.status
            if start >= len(shelf.data):
                status = 416
            self.send_response(status)
            body = shelf.data[start:] if status < 300 else b""
            if shelf.tells_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: shelf.breaks_after.pop(0)] if shelf.breaks_after and status < 300 else body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shelf.url = f"http://127.0.0.1:{server.server_port}/{RELEASED.name}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for name in OFFLINE:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(module, "CHUNK", 1000)
        yield shelf
        server.shutdown()
        thread.join()


def run(steps) -> tuple[Path, list[int]]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as finished:
            return finished.value, seen


def leftovers(folder: Path) -> list[int]:
    """Sizes of the parts in a folder."""
    return [path.stat().st_size for path in folder.glob(".*.part")]


def test_a_file_is_fetched_checked_and_put_in_its_place(folder, shelf):
    path, seen = run(fetch(replace(RELEASED, url=shelf.url)))
    assert path == home() / RELEASED.name == folder / RELEASED.name
    assert path.read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == len(DATA)
    assert len(seen) > 5
    assert leftovers(folder) == []
    assert find(RELEASED) == present(RELEASED) == path


def test_what_is_there_already_is_not_fetched_again(folder, shelf):
    (folder / RELEASED.name).write_bytes(DATA)
    assert run(fetch(replace(RELEASED, url=shelf.url))) == (folder / RELEASED.name, [])
    assert shelf.asked == []


def test_a_damaged_file_is_replaced(folder, shelf):
    (folder / RELEASED.name).write_bytes(DATA[::-1])
    assert run(fetch(replace(RELEASED, url=shelf.url)))[0].read_bytes() == DATA


def test_whoever_stops_iterating_stops_it_and_the_next_call_resumes(folder, shelf):
    steps = fetch(RELEASED, url=shelf.url)
    while next(steps) < 4000:
        pass
    steps.close()
    assert present(RELEASED) is None
    [have] = leftovers(folder)
    assert 4000 <= have < len(DATA)
    path, seen = run(fetch(RELEASED, url=shelf.url))
    assert path.read_bytes() == DATA
    assert shelf.asked == ["", f"bytes={have}-"]
    assert seen[0] == have


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(folder, shelf, tells_length):
    shelf.breaks_after, shelf.tells_length = [3000, 2500], tells_length
    assert run(fetch(RELEASED, url=shelf.url))[0].read_bytes() == DATA
    assert shelf.asked == ["", "bytes=3000-", "bytes=5500-"]


def test_a_server_that_knows_no_ranges_sends_everything_again(folder, shelf):
    shelf.breaks_after, shelf.takes_ranges = [3000], False
    assert run(fetch(RELEASED, url=shelf.url))[0].read_bytes() == DATA


def test_a_file_that_keeps_being_cut_short_is_told_and_what_came_is_kept(folder, shelf):
    shelf.breaks_after = [3000, 0]
    with pytest.raises(FetchFailed, match="broke after 3000 of 10240 bytes") as told:
        run(fetch(RELEASED, url=shelf.url))
    assert "kept" in told.value.hint
    assert leftovers(folder) == [3000]
    assert present(RELEASED) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[:-1], "has 10239 bytes, thing.onnx has 10240"),
        (DATA + b"x", "has 10241 bytes"),
        (DATA[:100] + b"\xff" + DATA[101:], "thrown away"),
    ],
    ids=["truncated", "longer", "one byte changed"],
)
def test_other_bytes_than_the_released_ones_are_thrown_away(folder, shelf, data, words):
    shelf.data = data
    with pytest.raises(DamagedWeights, match=words):
        run(fetch(RELEASED, url=shelf.url))
    assert list(folder.iterdir()) == []


def test_a_server_that_hides_the_length_and_does_not_stop_is_stopped(folder, shelf):
    shelf.data, shelf.tells_length = DATA * 5, False
    with pytest.raises(DamagedWeights, match="more than the 10240 bytes"):
        run(fetch(RELEASED, url=shelf.url))
    assert list(folder.iterdir()) == []


def test_a_server_that_refuses_is_told(folder, shelf):
    shelf.status = 404
    with pytest.raises(FetchFailed, match="answers 404"):
        run(fetch(RELEASED, url=shelf.url))
    with pytest.raises(FetchFailed, match="cannot be reached"):
        run(fetch(RELEASED, url="http://127.0.0.1:9/nothing"))
    with pytest.raises(FetchFailed, match="cannot be reached"):
        run(fetch(RELEASED, url="no address at all"))
    with pytest.raises(FetchFailed, match="nobody said where"):
        run(fetch(RELEASED))


@pytest.mark.parametrize("name", OFFLINE)
def test_nothing_is_fetched_where_the_network_is_forbidden(folder, shelf, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with pytest.raises(FetchFailed, match=name):
        run(fetch(RELEASED, url=shelf.url))
    assert shelf.asked == []
    (folder / RELEASED.name).write_bytes(DATA)
    assert run(fetch(RELEASED, url=shelf.url))[0].exists()


def test_too_little_room_is_told_before_anything_is_fetched(folder, shelf, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(FetchFailed, match="has room for"):
        run(fetch(RELEASED, url=shelf.url))
    assert shelf.asked == []


def test_a_disk_that_fills_up_midway_is_told_and_freed(folder, shelf, monkeypatch):
    opened = Path.open

    def full(path: Path, mode: str = "r"):
        file = opened(path, mode)
        if "a" not in mode and "w" not in mode:
            return file

        class Full:
            written = 0

            def __enter__(self):
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: bytes) -> None:
                if self.written > 3000:
                    raise OSError(errno.ENOSPC, "No space left on device")
                self.written += file.write(data)

        return Full()

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(FetchFailed, match="No space left"):
        run(fetch(RELEASED, url=shelf.url))
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(folder, shelf):
    (folder / "file").write_bytes(b"")
    with pytest.raises(FetchFailed, match="cannot be written"):
        run(fetch(RELEASED, url=shelf.url, folder=folder / "file" / "below"))


def test_a_file_from_another_machine_is_taken_if_it_is_the_released_one(folder, tmp_path_factory):
    brought = tmp_path_factory.mktemp("stick") / "whatever.bin"
    brought.write_bytes(DATA)
    assert add(RELEASED, brought).read_bytes() == DATA
    assert find(RELEASED) == folder / RELEASED.name
    assert add(RELEASED, folder / RELEASED.name) == folder / RELEASED.name
    brought.write_bytes(DATA[1:])
    with pytest.raises(DamagedWeights):
        add(RELEASED, brought)
    with pytest.raises(MissingWeights):
        add(RELEASED, brought.with_name("none"))
    assert leftovers(folder) == []
