"""Where the pictures of the people on the page lie: one private folder, swept, and gone when the server ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from eraser import door

PREFIX = "magic-eraser-web-"
LOCK = "in-use"
UPLOADS = "uploads"  # what the browser sent, and copies of what the API answered
DESKS = "desks"


class Folders:
    """A temporary folder that only this user can read. Files that nobody has touched for `keep_seconds` are removed."""

    def __init__(self, *, keep_seconds: float = 3600, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        remove_abandoned(parent)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        self._lock = door.lock(self.root / LOCK)
        self.uploads = self.root / UPLOADS
        self.uploads.mkdir()
        (self.uploads / DESKS).mkdir()
        self.keep_seconds = keep_seconds
        self._ended = threading.Event()

    def new_desk(self) -> Path:
        """A folder whose name nobody can guess; what is in it can be fetched by those who know the name."""
        folder = self.uploads / DESKS / secrets.token_urlsafe(24)
        folder.mkdir(mode=0o700)
        return folder

    def is_upload(self, path: Path) -> bool:
        """Whether this is a file that a browser sent, and not something on another person's desk."""
        path = path.resolve()
        return path.is_file() and path.is_relative_to(self.uploads) and not path.is_relative_to(self.uploads / DESKS)

    def sweep(self, now: float | None = None) -> None:
        """Remove uploads that are too old. Desks are removed by those who own them."""
        oldest = (time.time() if now is None else now) - self.keep_seconds
        for folder, _, names in os.walk(self.uploads):
            if Path(folder).is_relative_to(self.uploads / DESKS):
                continue
            for name in names:
                path = Path(folder) / name
                with contextlib.suppress(OSError):  # somebody else removed it
                    if path.stat().st_mtime < oldest:
                        path.unlink()

    def keep_swept(self, also: Callable[[], None]) -> None:
        """Sweep from time to time until `close`, and call `also` each time."""

        def work() -> None:
            while not self._ended.wait(min(60.0, self.keep_seconds / 4)):
                self.sweep()
                also()

        threading.Thread(target=work, name="sweep", daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        shutil.rmtree(self.root, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def remove_abandoned(parent: Path) -> None:
    """Remove the folders of servers that were killed: their lock is free."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            # a server that is just starting has made its folder, and not yet its lock
            if folder.is_symlink() or time.time() - folder.stat().st_mtime < 60:
                continue
            lock = door.lock(folder / LOCK)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()
