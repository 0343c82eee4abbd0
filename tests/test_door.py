"""The door file: for one user's eyes, whole or not there, and never somebody else's."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from platformdirs import user_runtime_dir

from eraser import door
from eraser.door import Door, UnsafeDoor

ONE = Door("127.0.0.1", 40123, "a1b2", 77, "0.1.0", 1)
posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    door.write(tmp_path / "door.json", ONE)
    assert door.read(tmp_path / "door.json") == ONE
    assert os.listdir(tmp_path) == ["door.json"]  # noqa: PTH208


@posix
def test_others_cannot_read_it_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        door.write(tmp_path / "door.json", ONE)
        door.make_folder(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "door.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@posix
def test_a_door_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "door.json"
    door.write(path, ONE)
    path.chmod(0o640)
    with pytest.raises(UnsafeDoor):
        door.read(path)


@posix
def test_links_and_pipes_are_no_doors(tmp_path: Path) -> None:
    door.write(tmp_path / "real.json", ONE)
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    os.mkfifo(tmp_path / "pipe.json", 0o600)
    assert door.read(tmp_path / "link.json") is None
    assert door.read(tmp_path / "pipe.json") is None
    assert door.read(tmp_path) is None


@posix
def test_a_folder_that_others_can_write_or_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    door.make_folder(tmp_path / "own")
    for name in ("open", "link"):
        with pytest.raises(UnsafeDoor):
            door.make_folder(tmp_path / name)


@posix
def test_writing_replaces_a_link_rather_than_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("keep me")
    (tmp_path / "door.json").symlink_to(tmp_path / "victim")
    door.write(tmp_path / "door.json", ONE)
    assert (tmp_path / "victim").read_text() == "keep me"
    assert door.read(tmp_path / "door.json") == ONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "nonsense",
        "[" * 3000,
        '{"host": "127.0.0.1", "port": "80", "token": "a", "pid": 1, "version": "1", "protocol": 1}',
        '{"host": "127.0.0.1", "port": 0, "token": "a", "pid": 1, "version": "1", "protocol": 1}',
        '{"host": "127.0.0.1", "port": 80, "token": "a\\r\\nX: y", "pid": 1, "version": "1", "protocol": 1}',
        '{"host": "127.0.0.1", "port": 80, "token": "", "pid": 1, "version": "1", "protocol": 1}',
        '{"host": "127.0.0.1", "port": 80, "token": "a", "pid": 1, "version": "1"}',
    ],
)
def test_damaged_doors_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "door.json"
    path.write_text(text)
    path.chmod(0o600)
    assert door.read(path) is None


def test_only_ones_own_door_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "door.json"
    door.write(path, ONE)
    door.remove(path, "another")
    assert path.exists()
    door.remove(path, ONE.token)
    assert not path.exists()
    door.remove(path, ONE.token)


@posix
def test_a_door_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        door.write(tmp_path / "door.json", ONE)
    assert not list(tmp_path.iterdir())


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "door.json"
    code = "import sys; from pathlib import Path; from eraser import door; held = door.lock(Path(sys.argv[1]))"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print(held is not None, flush=True); input()", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(door.__file__).parents[1],
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline().split() == [b"True"]
        assert door.lock(path) is None
        child.kill()
    held = door.lock(path)
    assert held is not None
    held.close()


@posix
def test_the_place_is_the_platforms_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "darwin":
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert door.default_path().parent == Path(user_runtime_dir("magic-eraser", appauthor=False))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="other platforms have no such variable")
def test_without_a_runtime_folder_the_place_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere/at/all")
    assert str(os.getuid()) in str(door.default_path())
