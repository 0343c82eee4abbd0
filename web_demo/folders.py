"""Where the pictures of the people on the page lie: one private folder, swept, and gone when the server ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from eraser import door
from eraser.errors import OutputError

PREFIX = "magic-eraser-web-"
LOCK = "in-use"
UPLOADS = "uploads"  # Gradio's: what the browser sent, and what the API answered
DESKS = "desks"  # which Gradio knows nothing of
FILE = ".file"  # ends the name of the folder with a step's download
SPARE = 200_000_000  # bytes of the disk that are left to others


class Folders:
    """A temporary folder that only this user can read. Files that nobody has touched for `keep_seconds` are removed.

    most_bytes: of everybody's pictures together.
    """

    def __init__(self, *, keep_seconds: float = 3600, most_bytes: float = 20e9, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        remove_abandoned(parent)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        self._lock = door.lock(self.root / LOCK)
        self.uploads = self.root / UPLOADS
        self.desks = self.root / DESKS
        self.uploads.mkdir()
        self.desks.mkdir()
        self.keep_seconds = keep_seconds
        self.most_bytes = most_bytes
        self._ended = threading.Event()

    def new_desk(self) -> Path:
        """A folder whose name nobody can guess; the pictures in it can be fetched by those who know the name."""
        folder = self.desks / secrets.token_urlsafe(24)
        folder.mkdir(mode=0o700)
        return folder

    def new_answer(self) -> Path:
        """The same for one file that goes to a program, through Gradio."""
        folder = self.uploads / secrets.token_urlsafe(24)
        folder.mkdir(mode=0o700)
        return folder

    def is_upload(self, path: Path) -> bool:
        """Whether this is a file that somebody sent, and no link."""
        try:
            return path.resolve().is_relative_to(self.uploads) and path.resolve().is_file()
        except (OSError, ValueError):  # too long, a zero byte
            return False

    def picture(self, desk: str, number: str, name: str) -> Path | None:
        """A file on a desk that a browser may fetch."""
        if not number.removesuffix(FILE).isdigit() or any(
            part in ("", ".", "..") or set(part) & set("/\\\0") for part in (desk, name)
        ):
            return None
        path = self.desks / desk / number / name
        return path if path.suffix != ".npy" and path.is_file() and not path.is_symlink() else None

    @property
    def used(self) -> int:
        """Bytes of all pictures."""
        total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(folder) / name).lstat().st_size
        return total

    def check_room(self, more: float) -> None:
        """Raises OutputError where so many bytes more are too many."""
        if self.used + more > self.most_bytes:
            raise OutputError(
                f"the server keeps as many pictures as it may ({self.most_bytes / 1e9:.3g} GB)",
                hint="try again in an hour, when older ones are gone",
            )
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.root).free < more + SPARE:
                raise OutputError("the server's disk is full", hint="try again later")

    def sweep(self, now: float | None = None) -> None:
        """Remove uploads that are too old. Desks are removed by those who own them."""
        oldest = (time.time() if now is None else now) - self.keep_seconds
        for folder, _, names in os.walk(self.uploads, topdown=False):
            for path in (*(Path(folder) / name for name in names), Path(folder)):
                with contextlib.suppress(OSError):  # somebody else removed it, or it is not empty
                    if path != self.uploads and path.lstat().st_mtime < oldest:
                        path.rmdir() if path.is_dir() else path.unlink()

    def keep_swept(self, also: Callable[[], None]) -> None:
        """Sweep from time to time until `close`, and call `also` each time."""

        def work() -> None:
            while not self._ended.wait(min(60.0, self.keep_seconds / 4)):
                self.sweep()
                also()

        threading.Thread(target=work, name="sweep", daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        for _ in range(20):  # a thread may just be writing into it
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                break
            time.sleep(0.05)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of this user's servers that were killed: their lock is free.

    Other users' are theirs to remove: their next server does. In a shared temporary folder anybody can lay a folder or
    a link of such a name, so nothing is touched, nor locked, that is not this user's own and closed to all others.
    """
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            # a server that is just starting has made its folder, and not yet its lock
            if not _is_ours(folder) or time.time() - folder.lstat().st_mtime < 60:
                continue
            lock = door.lock(folder / LOCK)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()


def _is_ours(folder: Path) -> bool:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return False
    return not hasattr(os, "getuid") or (facts.st_uid == os.getuid() and not facts.st_mode & 0o077)
