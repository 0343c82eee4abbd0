"""The plug-in's client against real engine processes: found, started, asked, cancelled, killed, hung, impersonated."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import eraser
from eraser import door as doors
from eraser import wire

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")
SIZE = (80, 60)
BOX = (30, 20, 12, 10)
MASK = bytes([255]) * 120


def photo(bands: int = 3, dtype: str = "u1") -> np.ndarray:
    values = np.random.default_rng(2).random((SIZE[1], SIZE[0], bands))
    kind = np.dtype(dtype)
    return (values * 1.5 - 0.2 if kind.kind == "f" else values * np.iinfo(kind).max).astype(kind)


def reader(image: np.ndarray) -> Callable[[Any], bytes]:
    return lambda box: image[box[1] : box[1] + box[3], box[0] : box[0] + box[2]].tobytes()


def fill(process: Any, image: np.ndarray | None = None, **more: Any) -> Any:
    plan = process.plan(SIZE, BOX, MASK, grow=0)
    pixels = photo() if image is None else image
    return process.fill(plan, reader(pixels), **({"bands": pixels.shape[2], "depth": "u8"} | more))


@contextmanager
def impostor(client: ModuleType, reply: bytes, *, hold: float = 0.0) -> Iterator[None]:
    """Something at the door's port that takes a request's first bytes and answers with these."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                line.recv(65536)
                line.sendall(reply)
                time.sleep(hold)

    path = client.doors.default_path()
    client.doors.make_folder(path.parent)
    door = client.doors.Door("127.0.0.1", listener.getsockname()[1], "abc", os.getpid(), "0.0.1", 1)
    client.doors.write(path, door)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        path.unlink(missing_ok=True)


def test_an_editors_python_has_all_that_the_client_needs(client: ModuleType) -> None:
    folder = Path(client.__file__).parent
    names = [path.name for path in folder.glob("*.py")]
    assert set(client.SHARED) < set(names)
    for name in names:
        tree = ast.parse((folder / name).read_text(encoding="utf-8"), feature_version=(3, 10))
        modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        foreign = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
        foreign -= {name.removesuffix(".py") for name in names}
        assert not foreign, f"{name} imports {foreign}"


# -- as it should be ---------------------------------------------------------------------------------------------------


def test_it_starts_an_engine_and_finds_it_again(client: ModuleType, settings: Callable[..., Any]) -> None:
    told: list[Any] = []
    engine = client.connect(settings("--load-seconds", "0.3"), told.append)
    assert {progress.note for progress in told} == {"starting the engine"}
    assert client.find(settings()).pid == engine.pid
    assert client.connect(settings()).pid == engine.pid, "a second call uses the same engine"
    assert engine.health()["engine"] == "toy"
    assert "toy" in [info["name"] for info in engine.engines()]
    assert (engine.version, engine.protocol) == (eraser.__version__, wire.PROTOCOL)
    engine.stop()
    start = time.monotonic()
    while client.find(settings()) is not None:
        assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("bands", "dtype", "depth"), [(1, "u1", "u8"), (4, "u2", "u16"), (3, "f2", "half"), (2, "f4", "float")]
)
def test_a_fill_is_the_librarys_for_every_depth(
    client: ModuleType, settings: Callable[..., Any], bands: int, dtype: str, depth: str
) -> None:
    image = photo(bands, dtype)
    if bands in (2, 4):
        image[:, :, -1] = np.iinfo(dtype).max if dtype[0] == "u" else 1
        image[:25, :35, -1] = 0
    told: list[Any] = []
    views: list[Any] = []
    engine = client.connect(settings())
    result = fill(
        engine, image, depth=depth, engine="patch", seed=9, on_progress=told.append,
        on_preview=lambda *view: views.append(view),
    )  # fmt: skip
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[20:30, 30:42] = 255
    whole = eraser.erase(image, mask, seed=9, grow=0)
    layer = np.frombuffer(result.pixels, dtype).reshape(10, 12, result.bands)
    assert (result.box, result.bands, result.depth, result.seed) == (BOX, bands + bands % 2, depth, 9)
    assert np.array_equal(layer[:, :, :-1], whole[20:30, 30:42, : layer.shape[2] - 1])
    assert bytes(result.mask) == MASK
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert views
    width, height, pixels, box = views[0]
    assert max(width, height) <= 256
    assert len(pixels) == width * height * 3
    assert box[0] >= 0
    assert box[0] + box[2] <= SIZE[0]


def test_extending_reads_the_old_picture_only(client: ModuleType, settings: Callable[..., Any]) -> None:
    image = photo()
    keep = (10, 0, *SIZE)
    engine = client.connect(settings())
    plan = engine.plan_extend((SIZE[0] + 10, SIZE[1] + 6), keep)
    asked: list[Any] = []

    def read(box: Any) -> bytes:
        asked.append(box)
        x, y, width, height = box
        assert x >= 10
        assert y + height <= SIZE[1]
        return image[y : y + height, x - 10 : x - 10 + width].tobytes()

    result = engine.fill(plan, read, bands=3, depth="u8", engine="patch", seed=1)
    assert tuple(asked) == plan.boxes
    x, y, width, height = result.box
    layer = np.frombuffer(result.pixels, np.uint8).reshape(height, width, 4)
    whole = eraser.outpaint(image, left=10, bottom=6, seed=1)[y : y + height, x : x + width]
    inside = layer[:, :, 3] > 0
    assert np.array_equal(layer[inside][:, :3], whole[inside])
    assert inside.sum() == 90 * 66 - 80 * 60


@contextmanager
def counted(client: ModuleType, path: Path) -> Iterator[dict[str, int]]:
    """The bytes that go to the engine of the default door and come back; `path` becomes a door that is counted."""
    door = client.doors.read(client.doors.default_path())
    listener = socket.create_server(("127.0.0.1", 0))
    count = {"there": 0, "back": 0}
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):  # who has its answer hangs up
            while data := source.recv(1 << 18):
                count[way] += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def relay(line: socket.socket) -> None:
        with line, socket.create_connection((door.host, door.port)) as onward:
            there = threading.Thread(target=pump, args=(line, onward, "there"))
            there.start()
            pump(onward, line, "back")
            for end in (line, onward):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            there.join()

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=relay, args=(line,)))
            threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    client.doors.write(path, dataclasses.replace(door, port=listener.getsockname()[1]))
    try:
        yield count
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join()


@posix
def test_of_twelve_megapixels_with_a_small_hole_only_the_window_travels(
    client: ModuleType, settings: Callable[..., Any], tmp_path: Path
) -> None:
    client.connect(settings())
    hole = 400 * 300  # one percent
    with counted(client, tmp_path / "counted.json") as count:
        engine = client.connect(settings(door=str(tmp_path / "counted.json")))
        plan = engine.plan((4000, 3000), (1700, 1300, 400, 300), bytes([255]) * hole, grow=0)
        looked_at = sum(width * height for _, _, width, height in plan.boxes)
        result = engine.fill(plan, lambda box: bytes(box[2] * box[3] * 3), bands=3, depth="u8")
    assert len(result.pixels) == 4 * hole
    assert looked_at < 1_500_000
    # the mask goes there with the plan and with the fill
    assert 0 <= count["there"] - (3 * looked_at + 2 * hole) < 5_000
    assert 0 <= count["back"] - 5 * hole < 10_000
    assert count["there"] + count["back"] < 36_000_000 / 6


def test_soft_rims_come_back_as_alpha(client: ModuleType, settings: Callable[..., Any]) -> None:
    soft = bytes(range(1, 241, 2))
    engine = client.connect(settings())
    plan = engine.plan(SIZE, BOX, soft, grow=0)
    result = engine.fill(plan, reader(photo(3, "u2")), bands=3, depth="u16")
    layer = np.frombuffer(result.pixels, np.uint16).reshape(10, 12, 4)
    assert bytes(result.mask) == soft
    assert layer[:, :, 3].ravel().tolist() == [257 * value for value in soft]


def test_another_release_of_the_same_protocol_works_and_is_mentioned(
    client: ModuleType, settings: Callable[..., Any]
) -> None:
    heard: list[str] = []
    result = fill(client.connect(settings()), on_warning=heard.append)
    assert result.warnings == tuple(heard)
    assert len(heard) == 1
    assert "9.9" in heard[0]
    assert eraser.__version__ in heard[0]
    assert not fill(client.connect(settings(version=eraser.__version__))).warnings


def test_settings_are_kept(client: ModuleType, tmp_path: Path) -> None:
    settings = client.Settings(python="/a/python", version="1.2", idle_minutes=3, door="~/x")
    client.save_settings(tmp_path / "settings.json", settings)
    assert client.load_settings(tmp_path / "settings.json") == settings
    (tmp_path / "settings.json").write_text('{"python": "/b", "of a later version": 1}')
    assert client.load_settings(tmp_path / "settings.json") == client.Settings(python="/b")


def test_an_engine_started_elsewhere_is_used_through_its_door(
    client: ModuleType, settings: Callable[..., Any], start_toy: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "elsewhere").mkdir()
    outside = start_toy(tmp_path / "elsewhere")
    for given in (settings(door=str(outside.path)), settings()):
        engine = client.connect(given)
        assert engine.pid == outside.door.pid
        monkeypatch.setenv("MAGIC_ERASER_DOOR", str(outside.path))
    outside.process.kill()
    outside.process.wait()
    with pytest.raises(client.NoEngine, match=r"eraser serve --door"):
        client.connect(settings())
    outside.path.chmod(0o644)
    with pytest.raises(client.NoEngine, match="chmod 600"):
        client.connect(settings())


@posix
def test_the_engine_gets_nothing_of_the_editors_environment(
    client: ModuleType, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    foreign = ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "GI_TYPELIB_PATH", "GIMP3_DIRECTORY"]
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    for name in foreign:
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("KEPT", "yes")
    engine = client.connect(settings())
    names = Path(f"/proc/{engine.pid}/environ")
    kept = client.clean_environment()
    if names.exists():
        kept = dict(line.split("=", 1) for line in names.read_text().split("\0") if "=" in line)
    assert not set(foreign) & set(kept)
    assert kept["KEPT"] == "yes"


@posix
def test_the_engine_outlives_the_process_that_started_it(client: ModuleType, settings: Callable[..., Any]) -> None:
    given = settings()
    code = (
        f"import sys; sys.path.insert(0, {str(Path(client.__file__).parent)!r}); import client; "
        f"e = client.connect(client.Settings(python={given.python!r}, arguments={given.arguments!r})); "
        "print(e.pid, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        os.killpg(child.pid, signal.SIGKILL)
    assert client.find(given).pid == pid


# -- cancelling --------------------------------------------------------------------------------------------------------


def until_idle(engine: Any) -> float:
    start = time.monotonic()
    while (facts := engine.health())["running"] or facts["waiting"]:
        assert time.monotonic() - start < 60
        time.sleep(0.01)
    return time.monotonic() - start


@pytest.mark.parametrize("moment", [0.0, 0.7])
def test_a_callback_that_says_no_cancels(client: ModuleType, settings: Callable[..., Any], moment: float) -> None:
    engine = client.connect(settings("--steps", "20", "--step-seconds", "0.1"))
    with pytest.raises(client.Cancelled):
        fill(engine, on_progress=lambda p: not (p.note.startswith("step") and p.fraction >= moment))
    assert until_idle(engine) < 1


def test_cancelling_while_waiting(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings("--steps", "20", "--step-seconds", "0.2"))
    outcomes: list[Any] = []
    stop = threading.Event()
    running = threading.Event()

    def other() -> None:
        def look(progress: Any) -> bool:
            if progress.note.startswith("step"):
                running.set()
            return not stop.is_set()

        try:
            fill(engine, on_progress=look)
        except client.Cancelled as error:
            outcomes.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    assert running.wait(60)
    notes: list[str] = []

    def refuse(progress: Any) -> bool:
        notes.append(progress.note)
        return progress.position == 0

    with pytest.raises(client.Cancelled):
        fill(engine, on_progress=refuse)
    assert notes[-1] == "waiting behind 1 other"
    facts = engine.health()
    assert (facts["running"], facts["waiting"]) == (1, 0), "the job before it goes on"
    stop.set()
    thread.join()
    assert len(outcomes) == 1
    assert until_idle(engine) < 1


@posix
@pytest.mark.parametrize("moment", ["first", "late"])
def test_a_client_that_is_killed_stops_the_engine(
    client: ModuleType, settings: Callable[..., Any], moment: str
) -> None:
    given = settings("--steps", "30", "--step-seconds", "0.1")
    engine = client.connect(given)
    wanted = 0.0 if moment == "first" else 0.6
    code = (
        f"import sys; sys.path.insert(0, {str(Path(client.__file__).parent)!r}); import client; "
        f"e = client.find(client.Settings()); plan = e.plan({SIZE}, {BOX}, b'\\xff' * 120, grow=0); "
        "e.fill(plan, lambda b: bytes(b[2] * b[3] * 3), bands=3, depth='u8', on_progress=lambda p: "
        f"(p.note.startswith('step') and p.fraction >= {wanted} and print('now', flush=True)) or True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"now\n"
        assert engine.health()["running"] == 1
        child.kill()
        seconds = until_idle(engine)
    print(f"killed: idle after {seconds:.2f} s")
    assert seconds < 1


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def check_sentence(caught: Any, *parts: str) -> None:
    error = caught.value
    assert error.hint
    assert "\n" not in str(error)
    assert all(part in str(error) for part in parts), str(error)


@pytest.mark.parametrize("python", ["", "/no/such/python", str(Path(__file__).parent)])
def test_without_an_interpreter(client: ModuleType, settings: Callable[..., Any], python: str) -> None:
    with pytest.raises(client.NoInterpreter) as caught:
        client.connect(settings(python=python))
    check_sentence(caught, "Set up", python)


def test_without_settings(client: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(client.NoInterpreter):
        client.load_settings(tmp_path / "none.json")
    for text in ("nonsense", "[1]", '{"arguments": 3}'):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(client.NoInterpreter, match="cannot be read"):
            client.load_settings(tmp_path / "settings.json")


def test_an_interpreter_without_the_package(client: ModuleType, settings: Callable[..., Any], tmp_path: Path) -> None:
    arguments = ("-I", "-S", *client.DEFAULT_ARGUMENTS[2:])  # -S: as an interpreter with nothing installed
    with pytest.raises(client.NoEraser) as caught:
        client.connect(settings(arguments=arguments))
    check_sentence(caught, "has no magic-eraser", "-m pip install CLONE")


def test_a_package_that_does_not_load(client: ModuleType, settings: Callable[..., Any]) -> None:
    with pytest.raises(client.NoEraser) as caught:
        client.connect(settings(arguments=("-c", "import a_part_that_is_missing")))
    check_sentence(caught, "a_part_that_is_missing")


def test_an_engine_that_ends_while_it_starts(client: ModuleType, settings: Callable[..., Any]) -> None:
    with pytest.raises(client.NotStarted) as caught:
        client.connect(settings(arguments=("-c", "import sys; sys.exit('the stars are wrong')")))
    check_sentence(caught, "the stars are wrong", "engine.log")


def test_an_engine_that_never_opens_its_door(client: ModuleType, settings: Callable[..., Any]) -> None:
    with pytest.raises(client.NotStarted) as caught:
        client.connect(settings(arguments=("-c", "import time; time.sleep(600)"), start_seconds=0.5))
    check_sentence(caught, "within")


@posix
def test_an_engine_that_is_killed_while_it_works(client: ModuleType, settings: Callable[..., Any]) -> None:
    given = settings("--crash-at", "2")
    engine = client.connect(given)
    with pytest.raises(client.EngineStopped) as caught:
        fill(engine)
    check_sentence(caught, "stopped while it was working")
    assert client.connect(settings()).pid != engine.pid, "the door it left behind keeps nobody out"


@posix
def test_an_engine_that_stands_still(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings("--hang-at", "1", silence_seconds=2))
    with pytest.raises(client.TooSlow) as caught:
        fill(engine)
    check_sentence(caught, str(engine.pid))
    with pytest.raises(client.TooSlow):
        client.find(settings(silence_seconds=0.5))


def test_a_slow_step_is_not_taken_for_standing_still(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings("--steps", "1", "--step-seconds", "4", silence_seconds=2.5))
    assert fill(engine).engine == "toy"


def test_a_wrong_token(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings())
    path = client.doors.default_path()
    right = client.doors.read(path)
    wrong = client.doors.Door(right.host, right.port, "0" * 64, right.pid, right.version, right.protocol)
    client.doors.write(path, wrong)
    with pytest.raises(client.WrongToken) as caught:
        client.connect(settings())
    check_sentence(caught, str(right.port), "door.json")
    client.doors.write(path, right)
    assert client.find(settings()).pid == engine.pid


def test_another_protocol_and_the_engine_started_in_vain_is_ended(
    client: ModuleType, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    launch = client._launch
    monkeypatch.setattr(client, "_launch", lambda *more: started.append(launch(*more)) or started[-1])
    with pytest.raises(client.WrongVersion) as caught:
        client.connect(settings("--protocol", "99"))
    check_sentence(caught, "protocol 1 ", "protocol 99", "9.9", eraser.__version__, "eraser gimp install")
    assert [child.returncode for child in started] == [0], "told to end, and waited for"
    assert not client.doors.default_path().exists(), "it took its door away"


@posix
@pytest.mark.parametrize("whose", ["client", "engine"])
def test_a_full_disk(
    client: ModuleType, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    if whose == "client":

        def full(folder: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(client.doors, "make_folder", full)
        given = settings()
    else:
        given = settings(arguments=("-c", "import os; raise OSError(28, os.strerror(28))"))
    with pytest.raises(client.DiskFull) as caught:
        client.connect(given)
    monkeypatch.undo()
    check_sentence(caught, "full", "make room")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX-Magic-Eraser-Protocol: 1\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nX-Magic-Eraser-Protocol: 1\r\nContent-Length: 3\r\n\r\n\xff\xfe{",
        b"HTTP/1.1 500 X\r\nX-Magic-Eraser-Protocol: 1\r\nContent-Length: 4\r\n\r\nnull",
        b"HTTP/1.1 401 X\r\nX-Magic-Eraser-Protocol: 1\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_who_else_listens_at_an_old_doors_port_is_no_engine(
    client: ModuleType, settings: Callable[..., Any], reply: bytes
) -> None:
    with impostor(client, reply):
        assert client.find(settings()) is None


GREETING = b"HTTP/1.1 200 OK\r\nX-Magic-Eraser-Protocol: 1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", "EngineStopped"),
        (GREETING, "EngineStopped"),
        (GREETING + wire.pack("STEP", {"fraction": 0.5, "note": "half"}), "EngineStopped"),
        (GREETING + wire.pack("DONE", {"box": [0, 0, 1, 1]}, b"1234")[:-1], "EngineStopped"),
        (GREETING + b"nonsense" * 9, "Damaged"),
        (GREETING + wire.pack("STEP", {}), "Damaged"),
        (GREETING + wire.pack("STEP", {"fraction": "x", "note": 1}), "Damaged"),
        (GREETING + wire.pack("DONE", {"box": [0, 0, 1]}, b"1234"), "Damaged"),
        (GREETING + wire.opening("DONE", {"box": [0, 0, 1, 1]}, 1 << 39), "Damaged"),
        (GREETING + wire.pack("FAIL", {"error": "OutOfMemory", "message": "a", "hint": "b"}), "Refused"),
        (GREETING + wire.pack("FAIL", {"error": "DiskFull", "message": "a", "hint": "b"}), "DiskFull"),
        (GREETING + wire.pack("FAIL", {}), "Damaged"),
    ],
)
def test_replies_that_are_cut_or_damaged(
    client: ModuleType, settings: Callable[..., Any], reply: bytes, error: str
) -> None:
    plan = client.Plan(SIZE, BOX, (BOX,), 120, {"size": list(SIZE), "box": list(BOX), "grow": 0}, MASK)
    with impostor(client, reply):
        engine = client.Engine(settings(), client.doors.read(client.doors.default_path()))
        with pytest.raises(getattr(client, error)) as caught:
            engine.fill(plan, reader(photo()), bands=3, depth="u8")
    check_sentence(caught)


def test_the_engines_own_errors_keep_their_class(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings())
    with pytest.raises(client.Refused) as caught:
        engine.plan(SIZE, BOX, bytes(120))
    assert caught.value.kind == "EmptyHole"
    check_sentence(caught, "nothing is selected")
    with pytest.raises(client.Refused) as caught:
        fill(engine, engine="nobody")
    assert caught.value.kind == "UnknownEngine"
    image = photo(3, "f4")
    image[0, 0] = np.nan
    with pytest.raises(client.Refused) as caught:
        fill(engine, image, depth="float")
    assert caught.value.kind == "UnsupportedImage"


def test_pixels_of_another_length_are_a_mistake_of_the_caller(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings())
    plan = engine.plan(SIZE, BOX, MASK, grow=0)
    with pytest.raises(ValueError, match="are needed"):
        engine.fill(plan, lambda box: b"123", bands=3, depth="u8")
    assert until_idle(engine) < 1


def test_doors_that_others_could_have_written_are_not_trusted(client: ModuleType, settings: Callable[..., Any]) -> None:
    engine = client.connect(settings())
    path = client.doors.default_path()
    path.chmod(0o666)
    assert client.find(settings()) is None
    path.chmod(0o600)
    assert client.find(settings()).pid == engine.pid
    assert doors.read(path).pid == engine.pid


@posix
def test_who_is_silent_at_a_dead_engines_port_does_not_hold_anybody_up(
    client: ModuleType, settings: Callable[..., Any]
) -> None:
    with impostor(client, b"", hold=2.0):
        with pytest.raises(client.TooSlow):
            client.find(settings(silence_seconds=0.3))  # that process, this one, is there
        path = client.doors.default_path()
        door = client.doors.read(path)
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        client.doors.write(path, client.doors.Door(door.host, door.port, "abc", ended.pid, "0.0.1", 1))
        assert client.find(settings(silence_seconds=0.3)) is None


def test_a_refusal_is_heard_although_most_of_the_picture_is_still_to_be_sent(
    client: ModuleType, settings: Callable[..., Any]
) -> None:
    engine = client.connect(settings())
    size = (4000, 3000)
    plan = client.Plan(size, BOX, ((0, 0, *size),), 120, {"size": list(size), "box": list(BOX), "grow": 0}, MASK)
    with pytest.raises(client.Refused) as caught:
        engine.fill(plan, lambda box: bytes(36_000_000), bands=3, depth="u8")
    assert caught.value.kind == "BadRequest"
    check_sentence(caught, "/v1/plan")
