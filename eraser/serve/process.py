"""The engine's process: one per door, on loopback, until it is idle or told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eraser import __version__, wire
from eraser import door as doors
from eraser.errors import DiskFull, EngineRunning, OutOfRange, OutputError
from eraser.serve.app import build
from eraser.serve.guard import DISK_ERRORS
from eraser.serve.service import Limits, Service

GRACE_SECONDS = 3  # for streams to end after their jobs are cancelled
PATIENCE_SECONDS = 20  # for an engine that is just starting or ending behind the same door


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    engine: str = "auto",
    idle_minutes: float = 10,
    door_path: Path | None = None,
    limits: Limits | None = None,
    announce: Callable[[doors.Door, Path], None] = lambda door, path: None,
) -> None:
    """Serve until stopped. The door file is there while it does, and `announce` is called when it is.

    Raises OutOfRange (a host that others reach), EngineRunning, OutputError, DiskFull.
    """
    path = door_path or doors.default_path()
    listener = listen(host, port)
    with listener, _hold(path, own_folder=door_path is None):
        door = doors.Door(
            host=listener.getsockname()[0],
            port=listener.getsockname()[1],
            token=secrets.token_hex(32),
            pid=os.getpid(),
            version=__version__,
            protocol=wire.PROTOCOL,
        )
        asyncio.run(_serve(listener, door, path, engine, idle_minutes, limits or Limits(), announce))


def listen(host: str, port: int) -> socket.socket:
    """A socket that this machine alone reaches; port 0 takes a free one. Raises OutOfRange, OutputError."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        if not ipaddress.ip_address(address).is_loopback:
            raise ValueError
    except ValueError:
        raise OutOfRange(
            f'"{host}" is not an address of this machine alone',
            hint="use 127.0.0.1; to reach it from elsewhere, forward the port (ssh -L)",
        ) from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two processes share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OutputError(
            f"port {port} cannot be opened ({error})", hint="leave out --port to take a free one"
        ) from None
    return listener


def _hold(path: Path, *, own_folder: bool) -> Any:
    """The door's lock. Who holds it is the only engine here, so a door file that lies there is a stale one."""
    try:
        if own_folder:
            doors.make_folder(path.parent)
        lock = doors.lock(path)
        patience = time.monotonic() + PATIENCE_SECONDS
        while lock is None and _peek(path) is None and time.monotonic() < patience:
            time.sleep(0.05)  # the other one has no door yet, or none any more
            lock = doors.lock(path)
    except OSError as error:
        raise _cannot_write(path, error) from None
    if lock is None:
        door = _peek(path)
        who = f" (process {door.pid}, port {door.port})" if door else ""
        raise EngineRunning(
            f"an engine is running already{who} behind the door {path}",
            hint="use it, end it with 'eraser serve --stop', or choose another --door",
        )
    return lock


def _peek(path: Path) -> doors.Door | None:
    try:
        return doors.read(path)
    except doors.UnsafeDoor:
        return None


def _cannot_write(path: Path, error: OSError) -> OutputError | DiskFull:
    if error.errno in DISK_ERRORS:
        reason = os.strerror(errno.ENOSPC)
        return DiskFull(
            f"the door file {path} cannot be written ({reason})", hint="make room, or choose another --door"
        )
    return OutputError(
        f"the door file {path} cannot be written ({error.strerror or error})", hint="choose a place with --door"
    )


async def _serve(
    listener: socket.socket,
    door: doors.Door,
    path: Path,
    engine: str,
    idle_minutes: float,
    limits: Limits,
    announce: Callable[[doors.Door, Path], None],
) -> None:
    import uvicorn

    stopping = asyncio.Event()
    service = Service(engine=engine, limits=limits, idle_minutes=idle_minutes, stop=stopping.set)
    config = uvicorn.Config(
        build(service, door.token),
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=128,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    # it would end the process by the signal itself, before the door is taken away
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopping.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    service.worker.start()
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        doors.write(path, door)
    except OSError as error:
        stopping.set()
        raise _cannot_write(path, error) from None
    else:
        announce(door, path)
        await _until_idle(service, stopping, serving, idle_minutes * 60)
    finally:
        doors.remove(path, door.token)  # first of all: nobody is to find what is ending
        service.worker.close()
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        await asyncio.to_thread(service.worker.join, GRACE_SECONDS)


async def _until_idle(
    service: Service, stopping: asyncio.Event, serving: asyncio.Future[Any], idle_seconds: float
) -> None:
    waiting: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    pause = min(5.0, max(0.05, idle_seconds / 10)) if idle_seconds else 5.0
    while True:
        await asyncio.wait({waiting, serving}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        idle = bool(idle_seconds) and service.worker.idle_seconds >= idle_seconds
        if waiting.done() or serving.done() or idle:
            waiting.cancel()
            return
