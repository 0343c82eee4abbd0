"""The files that an engine was made from: whether they are others by now, and their sums for whoever asks."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eraser.weights import digest

CHANGED = "changed since it was loaded"
Stamp = tuple[int, int, int]  # nanoseconds, bytes and number of a file, which tell most changes without reading it


@dataclass(frozen=True, slots=True)
class LoadedFiles:
    """paths: by the names that reports have, which stay when a folder moves · stamps: of when they were loaded."""

    paths: Mapping[str, Path]
    stamps: Mapping[str, Stamp | None]

    @classmethod
    def now(cls, paths: Mapping[str, Path]) -> LoadedFiles:
        """Call it before they are loaded."""
        return cls(paths, {name: _stamp(path) for name, path in paths.items()})

    def and_also(self, paths: Mapping[str, Path]) -> LoadedFiles:
        more = LoadedFiles.now(paths)
        return LoadedFiles({**self.paths, **more.paths}, {**self.stamps, **more.stamps})

    @property
    def changed(self) -> bool:
        """Whether loading again would read other files."""
        return any(_stamp(path) != self.stamps[name] for name, path in self.paths.items())

    def sums(self) -> dict[str, str]:
        """SHA-256 by name, `CHANGED` for a file that is another by now. A file is read once while it stays the same."""
        found = {}
        for name, path in self.paths.items():
            stamp = self.stamps[name]
            same = stamp == _stamp(path)
            found[name] = _sum(path.resolve(), stamp) if stamp and same else CHANGED
        return found

    def only(self) -> str:
        """The sum where there is one file."""
        (found,) = self.sums().values()
        return found


def _stamp(path: Path) -> Stamp | None:
    try:
        of = path.stat()
    except OSError:
        return None
    return of.st_mtime_ns, of.st_size, of.st_ino


@functools.lru_cache(maxsize=1024)
def _sum(path: Path, stamp: Stamp) -> str:
    try:
        return digest(path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
