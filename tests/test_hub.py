"""Repositories of checkpoints are found, fetched from a server that answers as the hub does, checked and removed."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from eraser import hub, shipments, weights
from eraser.cli import run as run_command
from eraser.engines.latent_records import RECORDS
from eraser.errors import DamagedWeights, FetchFailed, MissingExtra, MissingWeights
from eraser.hub import Repository

COMMIT = "1234567890" * 4
NAME = "somebody/something"
REPOSITORY = Repository(NAME, COMMIT, "MIT", "none", gigabytes=0.1, variant="fp16")


def tensor_file(*values: float, name: str = "weight") -> bytes:
    """A safetensors file of one tensor."""
    data = struct.pack(f"<{len(values)}f", *values)
    header = {name: {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


INDEX = {
    "_class_name": "StableDiffusionInpaintPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
}
FILES = {
    "model_index.json": json.dumps(INDEX).encode(),
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": tensor_file(*range(400_000)),
    "unet/diffusion_pytorch_model.fp16.safetensors": tensor_file(*range(200_000)),
    "unet/diffusion_pytorch_model.bin": b"a pickle",
    "vae/config.json": b"{}",
    "vae/diffusion_pytorch_model.safetensors": tensor_file(1, 2),
    "scheduler/scheduler_config.json": b'{"clip_sample": false}',
    "all-in-one.safetensors": tensor_file(*range(900)),
    "text_encoders/t5xxl_fp16.safetensors": tensor_file(*range(500)),  # for another program: no part
    "README.md": b"words",
}
WANTED = {
    "model_index.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
    "README.md",
}


@dataclass
class Shelf:
    """What the server below answers, and what it was asked."""

    files: dict[str, bytes]
    url: str = ""
    claimed: dict[str, bytes] = field(default_factory=dict)  # what the sums are of, where others are sent
    status: int = 200
    code: str = ""  # the hub's own name of an error
    breaks_after: int = 0  # bytes of a weights file, once; then the connection is gone
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # (method, path, range)

    def sums(self, name: str) -> tuple[str, bool]:
        """(the sum that the hub names a file by, whether it is kept as a large one)."""
        data = self.claimed.get(name, self.files[name])
        if name.endswith((".safetensors", ".bin")):
            return hashlib.sha256(data).hexdigest(), True
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), False

    def listing(self) -> list[dict[str, object]]:
        entries = []
        for name, data in self.files.items():
            found, large = self.sums(name)
            entry = {"type": "file", "path": name, "size": len(data), "oid": "a" * 40 if large else found}
            if large:
                entry["lfs"] = {"oid": found, "size": len(data), "pointerSize": 130}
            entries.append(entry)
        return entries


@pytest.fixture
def shelf(monkeypatch, tmp_path) -> Iterator[Shelf]:
    """The hub, on loopback."""
    pytest.importorskip("huggingface_hub", reason="the diffusion extra is not installed")
    shelf = Shelf(dict(FILES))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            shelf.asked.append((self.command, path, self.headers.get("Range", "")))
            if shelf.status != 200:
                self.answer(shelf.status, b"{}", {"X-Error-Code": shelf.code} if shelf.code else {})
            elif path == f"/api/models/{NAME}/tree/{COMMIT}":
                self.answer(200, json.dumps(shelf.listing()).encode())
            elif path == f"/api/models/{NAME}/revision/main":
                said = {"id": NAME, "sha": COMMIT, "siblings": []}
                self.answer(200, json.dumps(said).encode())
            elif (name := path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")) in shelf.files:
                self.send(name)
            else:
                self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})

        def send(self, name: str) -> None:
            data, (found, large) = shelf.files[name], shelf.sums(name)
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{found}"', "Accept-Ranges": "bytes"}
            if large:
                headers |= {"X-Linked-Etag": f'"{found}"', "X-Linked-Size": str(len(data))}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            most = None
            if self.command == "GET" and 0 < shelf.breaks_after < len(data):
                most, shelf.breaks_after = shelf.breaks_after, 0
            self.answer(206 if start else 200, data[start:], headers, most)

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, most: int | None = None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[:most])
            if most is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shelf.url = f"http://127.0.0.1:{server.server_port}"
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for name in weights.OFFLINE:
            monkeypatch.delenv(name, raising=False)
        yield shelf
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(weights.FOLDER, str(tmp_path / "weights"))
    return tmp_path


def fetched(shelf: Shelf, repository: Repository = REPOSITORY) -> Path:
    return shipments.fetch(shipments.offered(repository, endpoint=shelf.url), endpoint=shelf.url, quiet=True)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- fetching ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_told_then_fetched_without_pickles_and_second_copies(shelf):
    shipment = shipments.offered(REPOSITORY, endpoint=shelf.url)
    assert set(shipment.names) == WANTED
    assert shipment.size == shipment.missing == sum(len(FILES[name]) for name in WANTED)
    travelled = {path for method, path, _ in shelf.asked if method == "GET" and "/resolve/" in path}
    assert travelled == {f"/{NAME}/resolve/{COMMIT}/model_index.json"}
    assert hub.find("something", REPOSITORY) is None  # which leaves nothing that looks like a beginning
    folder = shipments.fetch(shipment, endpoint=shelf.url, quiet=True)
    assert names(folder) == WANTED
    assert folder.name == COMMIT
    for name in WANTED:
        assert (folder / name).read_bytes() == FILES[name]
    assert hub.find("something", REPOSITORY) == folder
    assert shipments.offered(REPOSITORY, endpoint=shelf.url).missing == 0
    assert sum(hub.verify(folder)) == len(WANTED)


def test_without_a_pinned_commit_the_newest_is_fetched(shelf):
    folder = fetched(shelf, replace(REPOSITORY, revision="", variant=""))
    assert folder.name == COMMIT
    assert "unet/diffusion_pytorch_model.safetensors" in names(folder)
    assert "unet/diffusion_pytorch_model.fp16.safetensors" not in names(folder)


def test_what_was_broken_off_is_taken_up_where_it_ended(shelf, monkeypatch):
    # what the client keeps at a time, ten megabytes, is more than this whole checkpoint
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    large = "unet/diffusion_pytorch_model.fp16.safetensors"
    shelf.files = {name: data for name, data in FILES.items() if name in WANTED}
    shelf.breaks_after = 300_000
    try:
        folder = fetched(shelf)
    except FetchFailed as told:
        assert "what has come is kept" in told.hint  # noqa: PT017  # the client may try again by itself
        folder = fetched(shelf)
    assert (folder / large).read_bytes() == FILES[large]
    ranges = [wanted for method, path, wanted in shelf.asked if path.endswith(large) and method == "GET"]
    assert any(wanted.startswith("bytes=") and wanted != "bytes=0-" for wanted in ranges)


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.fp16.safetensors", "scheduler/scheduler_config.json", "model_index.json"]
)
def test_a_byte_that_is_not_what_the_hub_lists_is_thrown_away_and_nothing_counts(shelf, name):
    right = FILES[name]
    wrong = right[:-2] + bytes([right[-2] ^ 1]) + right[-1:]
    shipment = shipments.offered(REPOSITORY, endpoint=shelf.url)
    shelf.claimed, shelf.files = {name: right}, FILES | {name: wrong}
    with pytest.raises(DamagedWeights, match=f"{name} came with the sum") as told:
        shipments.fetch(shipment, endpoint=shelf.url, quiet=True)
    assert hashlib.sha256(wrong).hexdigest()[:12] in str(told.value) or not name.endswith(".safetensors")
    assert "fetch it again" in told.value.hint
    assert hub.find("something", REPOSITORY) is None
    assert not [path for path in hub.cache().rglob("*") if path.is_file() and path.read_bytes() == wrong]
    shelf.files = dict(FILES)
    shelf.asked.clear()
    assert (shipments.fetch(shipment, endpoint=shelf.url, quiet=True) / name).read_bytes() == right
    assert sum(hub.verify(hub.snapshot(NAME, COMMIT))) == len(WANTED)
    others = [path for method, path, _ in shelf.asked if method == "GET" and "/resolve/" in path]
    assert {path.partition(COMMIT + "/")[2] for path in others} <= {name, "model_index.json"}  # the rest was kept


def test_a_sum_that_is_pinned_here_is_held_against_whatever_the_hub_lists(shelf):
    name = "unet/diffusion_pytorch_model.fp16.safetensors"
    right = hashlib.sha256(FILES[name]).hexdigest()
    assert fetched(shelf, replace(REPOSITORY, sums=((name, right),))).name == COMMIT
    hub.remove("something", REPOSITORY)
    with pytest.raises(DamagedWeights, match=f"instead of {'f' * 12}"):
        fetched(shelf, replace(REPOSITORY, sums=((name, "f" * 64),)))
    assert hub.find("something", REPOSITORY) is None


def test_what_was_broken_off_does_not_count_as_a_checkpoint(shelf, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    shipment = shipments.offered(REPOSITORY, endpoint=shelf.url)
    del shelf.files["vae/diffusion_pytorch_model.safetensors"]
    with pytest.raises(FetchFailed, match=r"vae/.* did not come"):
        shipments.fetch(shipment, endpoint=shelf.url, quiet=True)
    assert hub.find("something", REPOSITORY) is None


def test_a_repository_that_changes_while_it_is_fetched_is_told(shelf):
    shipment = shipments.offered(replace(REPOSITORY, revision=""), endpoint=shelf.url)
    with pytest.raises(FetchFailed, match="was changed while it was fetched"):
        shipments.fetch(replace(shipment, commit="0" * 40), endpoint=shelf.url, quiet=True)


@pytest.mark.parametrize(
    ("status", "code", "words", "hint"),
    [
        (404, "RepoNotFound", "404", "look at the name"),
        (403, "GatedRepo", "only to accounts that accept its terms", "hf auth login"),
        (401, "GatedRepo", "only to accounts that accept its terms", "hf auth login"),
        (404, "RevisionNotFound", f"has no commit {COMMIT}", "look at the address"),
        (500, "", "could not be fetched", "try again"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_with_a_way_out(shelf, monkeypatch, status, code, words, hint):
    monkeypatch.setattr("time.sleep", lambda _: None)
    shelf.status, shelf.code = status, code
    with pytest.raises(FetchFailed, match=words) as told:
        shipments.offered(REPOSITORY, endpoint=shelf.url)
    assert hint in told.value.hint
    assert "\n" not in str(told.value)


def test_a_hub_that_cannot_be_reached_is_told(shelf, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(FetchFailed, match="could not be fetched") as told:
        shipments.offered(REPOSITORY, endpoint="http://127.0.0.1:9")
    assert "network" in told.value.hint


def test_nothing_is_fetched_when_the_user_forbids_it(shelf, monkeypatch):
    monkeypatch.setenv("ERASER_OFFLINE", "1")
    with pytest.raises(FetchFailed, match="ERASER_OFFLINE"):
        shipments.offered(REPOSITORY, endpoint=shelf.url)
    assert shelf.asked == []


def test_a_disk_without_room_is_told_before_and_while_fetching(shelf, monkeypatch):
    shipment = shipments.offered(REPOSITORY, endpoint=shelf.url)
    monkeypatch.setattr(shipments.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(FetchFailed, match=r"has room for 0.0 GB") as told:
        shipments.fetch(shipment, endpoint=shelf.url)
    assert "HF_HOME" in told.value.hint
    monkeypatch.undo()

    def full(*_: object, **__: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("a download failed") from error

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(FetchFailed, match="no room is left"):
        shipments.fetch(shipment, endpoint=shelf.url)


def test_what_is_no_diffusers_checkpoint_is_not_fetched(shelf):
    del shelf.files["model_index.json"]
    with pytest.raises(FetchFailed, match="no diffusers checkpoint"):
        shipments.offered(REPOSITORY, endpoint=shelf.url)


def test_the_extra_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    for name in weights.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingExtra) as told:
        shipments.offered(REPOSITORY)
    assert told.value.hint == "pip install -e '.[diffusion]' in the clone"


# --- what is here -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(places) -> Path:
    """A checkpoint that came on a disk."""
    for name, data in FILES.items():
        path = places / "brought" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return places / "brought"


def test_the_cache_is_where_the_hubs_own_tools_have_it(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants", reason="the diffusion extra is not installed")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub.cache() == Path(constants.default_cache_path)
    monkeypatch.setenv("HF_HOME", "/there")
    assert hub.cache() == Path("/there/hub")


def test_a_changed_byte_of_a_fetched_file_is_found(shelf):
    folder = fetched(shelf)
    path = (folder / "vae/diffusion_pytorch_model.safetensors").resolve()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DamagedWeights, match="is not what was released"):
        list(hub.verify(folder))


def test_a_folder_is_brought_along_without_its_pickles(folder, places):
    place = hub.add("sd15", folder)
    assert place == places / "weights" / "sd15"
    assert names(place) == set(FILES) - {
        "unet/diffusion_pytorch_model.bin",
        "all-in-one.safetensors",
        "text_encoders/t5xxl_fp16.safetensors",
    }
    assert hub.find("sd15", REPOSITORY) == place
    assert sum(hub.verify(place)) == 0  # nothing tells what they should be
    assert [path.name for path in place.parent.iterdir()] == ["sd15"]
    shutil.rmtree(folder / "vae")
    with pytest.raises(MissingWeights, match="lacks its part vae"):
        hub.add("sd15", folder)
    assert hub.find("sd15", REPOSITORY) == place


def test_weights_are_counted_once_and_in_the_width_they_are_loaded_in(folder):
    assert hub.needed(folder, 4) == 4 * 400_000 + 4 * 2
    assert hub.needed(folder, 2) == 2 * 400_000 + 2 * 2
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    assert hub.needed(folder, 2) == 2 * 200_000 + 2 * 2


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(capsys) -> Callable[..., SimpleNamespace]:
    def run(*words: str) -> SimpleNamespace:
        code = run_command(["models", *words])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture
def known(monkeypatch) -> None:
    monkeypatch.setitem(RECORDS, "toy", replace(RECORDS["sd15"], repository=REPOSITORY))


def test_checkpoints_are_listed_told_fetched_verified_and_removed(shelf, known, command):
    assert f"latent:toy: {NAME}, 0.1 GB, licence MIT; not here" in command("list").out
    told = command("info", "toy").out
    for words in (NAME, COMMIT, "0.1 GB", "MIT", "512 pixels, 30 steps", "eraser models fetch toy"):
        assert words in told
    assert command("verify", "toy").code == 3
    done = command("fetch", "toy", "--from", shelf.url)
    assert done.code == 0, done.err
    assert f"{NAME}: 0.0 GB, 0.0 GB of them to fetch, licence MIT (none)" in done.err
    place = Path(done.out.strip())
    assert place.name == COMMIT
    assert json.loads(command("list", "--json").out)["checkpoints"]["toy"]["path"] == str(place)
    assert json.loads(command("info", "toy", "--json").out)["path"] == str(place)
    assert "7 files are what was released" in command("verify", "toy").out
    assert str(hub.cache()) in command("where").out
    assert command("remove", "toy").out == f"removed {hub.shelf(NAME)}\n"
    assert command("remove", "toy").out == "there was nothing to remove\n"


def test_a_folder_is_added_by_the_command(folder, known, places, command):
    done = command("add", "toy", str(folder), "--json")
    assert json.loads(done.out) == {"ok": True, "paths": [str(places / "weights" / "toy")]}
    assert "all files are there, and whole" in command("verify", "toy").out
    assert command("add", "toy", str(places / "none")).code == 3
    assert command("remove", "toy").out == f"removed {places / 'weights' / 'toy'}\n"


def test_every_record_is_told_in_full(command):
    for name in RECORDS:
        done = command("info", name)
        assert done.code == 0
        assert RECORDS[name].repository.limits in done.out
