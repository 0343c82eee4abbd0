"""The door file: where a running engine listens and the token it wants, for this user's eyes only.

Standard library only and Python 3.10, because GIMP's plug-in carries a copy of this file.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

NAME = "door.json"
VARIABLE = "MAGIC_ERASER_DOOR"  # environment: the door of an engine that somebody else starts
RUNNING = 4  # exit code of an engine that found another one holding the same door

_MOST_BYTES = 4096


@dataclass(frozen=True)
class Door:
    host: str
    port: int
    token: str
    pid: int
    version: str
    protocol: int


class UnsafeDoor(OSError):
    """A door file or its folder that others could have written or could read."""


def default_path() -> Path:
    """Where the engine's door file lies unless told otherwise: the user's runtime folder, which no other user sees."""
    return _runtime_folder() / NAME


def _runtime_folder() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(local) / "Temp" / "magic-eraser"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "TemporaryItems" / "magic-eraser"
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if candidate and os.access(candidate, os.W_OK | os.X_OK):
            return Path(candidate) / "magic-eraser"
    return Path(tempfile.gettempdir()) / f"magic-eraser-{os.getuid()}"


def make_folder(folder: Path) -> None:
    """The folder, for this user alone. Raises OSError; UnsafeDoor where it belongs to somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        facts = folder.lstat()
        # the shared temporary folder is anybody's: a link or a folder laid there beforehand is not ours
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
            raise UnsafeDoor(f"{folder} is not a folder that only this user can write")


def write(path: Path, door: Door) -> None:
    """Written beside its place and moved there, so that nobody reads half of it. Raises OSError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(part, flags, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(door), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        part.unlink()
        raise


def read(path: Path) -> Door | None:
    """The door, or None where there is no readable one. Raises UnsafeDoor where others can read or wrote it."""
    try:
        # O_NONBLOCK: a pipe of that name must not make anybody wait
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
    except OSError:
        return None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o077):
            raise UnsafeDoor(f"{path} can be read by others, or belongs to another user")
        text = file.read(_MOST_BYTES + 1)
    return _parse(text)


def remove(path: Path, token: str) -> None:
    """Take the door away if it is still the one with this token."""
    try:
        door = read(path)
        if door is not None and door.token == token:
            path.unlink()
    except OSError:
        pass  # somebody else's by now, or gone


def lock(path: Path) -> IO[bytes] | None:
    """Held by the one engine of this door until it ends, however it ends; None where another one holds it.

    Raises OSError where the file cannot be made.
    """
    flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path.with_name(path.name + ".lock"), flags, 0o600), "r+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _parse(text: bytes) -> Door | None:
    try:
        stored: Any = json.loads(text.decode("utf-8"))
        door = Door(**{name: stored[name] for name in Door.__dataclass_fields__})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = all(isinstance(value, str) for value in (door.host, door.token, door.version))
    numbers = all(isinstance(value, int) for value in (door.port, door.pid, door.protocol))
    # a token goes into a header: nothing but letters and digits
    return door if texts and numbers and 0 < door.port < 65536 and door.token.isalnum() else None
