"""A file comes to its place whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from eraser.errors import OutputError, OutputExists


def check_folder(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder", hint="give the name of a file in it")


def check_place(path: Path, force: bool) -> None:
    if path.exists() or path.is_symlink():
        if not force:
            raise OutputExists(
                f"{path} exists", hint="choose another name, or allow overwriting (--force, or force=True)"
            )
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is no ordinary file", hint="choose another name")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder}", hint="make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be written to", hint="choose another folder")


@contextlib.contextmanager
def replacing(path: Path, force: bool) -> Iterator[Path]:
    """A new empty file beside `path` to write to, which takes its place when all went well and vanishes otherwise."""
    target = path.resolve()  # a link stays a link
    part: Path | None = None
    try:
        part = target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}.part")
        part.touch(exist_ok=False)
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        yield part
        _sync(part)
        _put(part, target, path, force)
        _sync(target.parent)
    except OutputError:
        raise
    except Exception as error:
        if not isinstance(error, (OSError, ValueError, TypeError, KeyError, struct.error, OverflowError)) and (
            not type(error).__module__.startswith("pyvips")
        ):
            raise
        detail = getattr(error, "strerror", None) or getattr(error, "detail", None) or error
        reason = " ".join(str(detail).split())
        raise OutputError(
            f"{path} cannot be written ({reason})", hint="is there room on the disk, and can this format hold it?"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _put(part: Path, target: Path, path: Path, force: bool) -> None:
    if not force:
        # a link fails where a file has appeared meanwhile, which a check cannot promise
        link: Callable[[Path, Path], None] = os.link
        try:
            link(part, target)
            return
        except FileExistsError as error:
            raise OutputExists(f"{path} exists by now", hint="choose another name") from error
        except OSError:
            if target.exists():
                raise OutputExists(f"{path} exists by now", hint="choose another name") from None
    part.replace(target)


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
