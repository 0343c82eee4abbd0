"""The engine process, found or started: what the plug-in's other files import.

Standard library only and Python 3.10. `eraser gimp install` lays the shared modules (SHARED) beside this file.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import door as doors
from settings import DEFAULT_ARGUMENTS, SETUP, Settings, load_settings, save_settings
from talk import Engine, OnProgress, Plan, Progress, Result, tell
from troubles import (
    Cancelled,
    ClientError,
    Damaged,
    DiskFull,
    EngineStopped,
    NoEngine,
    NoEraser,
    NoInterpreter,
    NotStarted,
    Refused,
    TooSlow,
    WrongToken,
    WrongVersion,
)

__all__ = [
    "DEFAULT_ARGUMENTS", "SHARED", "Cancelled", "ClientError", "Damaged", "DiskFull", "Engine", "EngineStopped",
    "NoEngine", "NoEraser", "NoInterpreter", "NotStarted", "OnProgress", "Plan", "Progress", "Refused", "Result",
    "Settings", "TooSlow", "WrongToken", "WrongVersion", "clean_environment", "connect", "find", "load_settings",
    "save_settings",
]  # fmt: skip

SHARED = ("wire.py", "door.py")

# what a bundled editor sets for itself, and what would break another Python
_FOREIGN_NAMES = frozenset({"GSETTINGS_SCHEMA_DIR", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "MAGICK_CONFIGURE_PATH"})
_FOREIGN_STARTS = ("PYTHON", "LD_", "DYLD_", "GI_", "GIMP", "GEGL_", "BABL_", "GTK_", "GDK_", "GIO_", "_MEI")
_END_SECONDS = 5.0  # for an engine that was started in vain to end by itself


def find(settings: Settings, *, strict: bool = False) -> Engine | None:
    """The engine that is running, or None. Starts nothing.

    Raises WrongVersion, TooSlow (it is there and does not answer), and for an engine that was started elsewhere (or
    with strict) NoEngine and WrongToken.
    """
    outside = strict or bool(settings.outside_door)
    try:
        door = doors.read(settings.door_path)
    except doors.UnsafeDoor as error:
        if outside:
            raise NoEngine(str(error), "make it readable for yourself alone: chmod 600") from None
        return None
    if door is None:
        return None
    engine = Engine(settings, door)
    try:
        engine.greet()
    except WrongToken:
        if outside:
            raise
        return None  # somebody else listens where an engine did once
    except TooSlow:
        if outside or _is_alive(door.pid):
            raise
        return None
    except (EngineStopped, Damaged):
        return None
    return engine


def connect(settings: Settings, on_progress: OnProgress = None) -> Engine:
    """The engine that is running, or a fresh one, whose protocol and version are known to fit."""
    engine = find(settings)
    if engine is not None:
        return engine
    if settings.outside_door:
        raise NoEngine(
            f"no engine answers at the door {settings.door_path}",
            f"start one where magic-eraser is installed: eraser serve --door {settings.door_path}",
        )
    return _start(settings, on_progress)


def _start(settings: Settings, on_progress: OnProgress) -> Engine:
    log, door_path = settings.log_path, settings.door_path
    try:
        doors.make_folder(door_path.parent)
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    except OSError as error:
        _disk(error, log)
    with os.fdopen(descriptor, "wb") as output:
        child = _launch(settings, output)
    # it is meant to outlive this process; should it end earlier, this leaves no zombie
    threading.Thread(target=child.wait, daemon=True).start()
    try:
        return _await_door(settings, child, on_progress)
    except Cancelled:
        raise  # it goes on starting, and is warm for the next call
    except ClientError:
        _end(child)  # of no use to anybody
        raise


def _await_door(settings: Settings, child: subprocess.Popen[bytes], on_progress: OnProgress) -> Engine:
    deadline = time.monotonic() + settings.start_seconds
    while True:
        tell(on_progress, Progress(0.0, "starting the engine"))
        ended = child.poll()
        try:
            engine = find(settings)
        except TooSlow:  # libraries are loading on a busy machine
            engine = None
        if engine is not None:
            return engine
        if ended == doors.RUNNING:
            find(settings, strict=True)  # another call has just started one, which has no door yet
        elif ended is not None:
            _explain(settings, ended)
        if time.monotonic() > deadline:
            raise NotStarted(
                f"the engine did not start within {settings.start_seconds:.0f} s{settings.last_words()}",
                f"try again, and look into {settings.log_path}",
            )
        time.sleep(0.05)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()  # lets it take its door file away
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _launch(settings: Settings, output: Any) -> subprocess.Popen[bytes]:
    if not settings.python:
        raise NoInterpreter("the engine's Python has not been chosen yet", SETUP)
    command = [settings.python, *settings.arguments, "--door", str(settings.door_path)]
    command += ["--idle", str(settings.idle_minutes)]
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        detached = {"creationflags": flags}
    try:
        return subprocess.Popen(
            command,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=str(Path.home()) if Path.home().is_dir() else None,
            **detached,
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _disk(error, settings.log_path)
        raise NoInterpreter(f"the engine's Python {settings.python} cannot be run ({error.strerror})", SETUP) from None


def _explain(settings: Settings, code: int) -> NoReturn:
    """Why a fresh engine ended at once."""
    text, last = settings.log_tail(), settings.last_words()
    if "No module named eraser" in text or "No module named 'eraser'" in text:
        raise NoEraser(
            f"the Python {settings.python} has no magic-eraser",
            f"install it there, from its clone ({settings.python} -m pip install CLONE), or {SETUP}",
        )
    if "No module named" in text or "ImportError" in text:
        raise NoEraser(
            f"magic-eraser does not load in the Python {settings.python}{last}",
            f"install it again, from its clone: {settings.python} -m pip install --force-reinstall CLONE",
        )
    if "nknown option: -P" in text:
        raise NoEraser(f"the Python {settings.python} is older than 3.11", SETUP)
    if os.strerror(errno.ENOSPC) in text:
        raise DiskFull(f"the engine could not start because the disk is full{last}", "make room, and try again")
    raise NotStarted(
        f"the engine ended with {code} while it started{last}",
        f"look into {settings.log_path}, or run '{settings.python} -m eraser doctor'",
    )


def clean_environment() -> dict[str, str]:
    """This process's environment without what belongs to the editor and its own Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in _FOREIGN_NAMES and not name.upper().startswith(_FOREIGN_STARTS)
    }
    if sys.platform == "win32":
        # libraries are looked for along PATH, and the editor's own are not the engine's
        own = os.path.normcase(sys.prefix)
        places = kept.get("PATH", "").split(os.pathsep)
        kept["PATH"] = os.pathsep.join(place for place in places if not os.path.normcase(place).startswith(own))
    return kept


def _is_alive(pid: int) -> bool:
    """Whether this user has such a process. Where that cannot be asked without harm, yes."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _disk(error: OSError, path: Path) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise DiskFull(f"the disk is full, {path} cannot be written", "make room, and try again") from error
    raise NotStarted(
        f"{path} cannot be written ({error.strerror or error})", "make that folder writable for yourself"
    ) from error
