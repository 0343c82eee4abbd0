"""What every request passes first: the right address, the token, the protocol, a bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from eraser import __version__, wire
from eraser.errors import (
    BadRequest,
    DiskFull,
    EngineError,
    EraserError,
    InputError,
    OutOfMemory,
    TimeLimit,
    TooBusy,
    TooLarge,
    UnknownEngine,
    WrongToken,
    WrongVersion,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

SILENCE_SECONDS = 60.0  # a client that sends half a request and then nothing is not waited for longer
LINGER_SECONDS = 10.0  # the rest of a request that was answered before its end is taken in for so long, and thrown away

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

STATUS: list[tuple[type[EraserError], int]] = [
    (BadRequest, 400),
    (WrongToken, 401),
    (WrongVersion, 426),
    (TooLarge, 413),
    (TooBusy, 503),
    (TimeLimit, 504),
    (DiskFull, 507),
    (OutOfMemory, 507),
    (UnknownEngine, 422),
    (InputError, 422),
    (EngineError, 503),
]


def status_of(error: EraserError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def report(error: EraserError, kind: str = "") -> dict[str, str]:
    return {"error": kind or type(error).__name__, "message": error.message, "hint": error.hint}


def disk_full(error: OSError) -> DiskFull:
    return DiskFull(f"the disk is full ({error.strerror})", hint="make room where temporary files are kept")


async def answer(send: Send, status: int, body: dict[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """A whole JSON answer."""
    text = json.dumps(body).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": text})


class Guard:
    """ASGI middleware. Answers itself where a request may not pass, and turns what is raised into a report."""

    def __init__(self, app: App, *, token: str, most_bytes: int) -> None:
        self._app = app
        self._token = token.encode()
        self._most_bytes = most_bytes

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False
        headers = dict(scope["headers"])
        request = Incoming(receive, headers, self._most_bytes)

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                marks = [(wire.PROTOCOL_HEADER, str(wire.PROTOCOL)), (wire.VERSION_HEADER, __version__)]
                message["headers"] = [*message["headers"], *((k.lower().encode(), v.encode()) for k, v in marks)]
            elif request.is_coming and not message.get("more_body", False):
                # closed now, the connection would break under who still sends, and the answer be lost
                await send({**message, "more_body": True})
                await request.take_rest()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            self._check(headers)
            await self._app(scope, request.receive, send_marked)
        except EraserError as error:
            if not started:
                # what is left of the request is not read: no further request can follow on this connection
                closing = [(b"connection", b"close")]
                if isinstance(error, WrongToken):
                    closing.append((b"www-authenticate", b"Bearer"))
                await answer(send_marked, status_of(error), report(error), closing)

    def _check(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_loopback_name(host):
            # a web page whose name was pointed at this machine would get here with its own name
            raise WrongToken(f'"{host[:100]}" is no address of this engine', hint="use 127.0.0.1 and the door's port")
        given = headers.get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        if not hmac.compare_digest(token.strip(), self._token) or scheme.lower() != b"bearer":
            raise WrongToken("the token is missing or wrong", hint="send the one in the door file, as a Bearer token")
        protocol = headers.get(wire.PROTOCOL_HEADER.lower().encode(), str(wire.PROTOCOL).encode())
        if protocol != str(wire.PROTOCOL).encode():
            theirs = headers.get(wire.VERSION_HEADER.lower().encode(), b"unknown").decode("latin-1")
            raise WrongVersion(
                f"this engine speaks protocol {wire.PROTOCOL} (magic-eraser {__version__}), the client protocol "
                f"{protocol.decode('latin-1')[:20]} (magic-eraser {theirs[:40]})",
                hint="install the plug-in again with this engine's Python: eraser gimp install",
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most_bytes:
            raise too_large(int(length), self._most_bytes)


class Incoming:
    """A request's body: refused where it is longer than allowed, or does not go on."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes], most_bytes: int) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._count = 0
        self._complete = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers
        # who asks first sends nothing before it is asked for
        self._begun = headers.get(b"expect", b"").lower() != b"100-continue"

    @property
    def is_coming(self) -> bool:
        """Whether the client is still sending, as far as can be known."""
        return self._begun and not self._complete

    async def receive(self) -> Message:
        """Raises BadRequest and TooLarge."""
        if self._complete:
            return await self._receive()
        self._begun = True
        try:
            message = await asyncio.wait_for(self._receive(), SILENCE_SECONDS)
        except TimeoutError:
            raise BadRequest(
                f"the request stopped for {SILENCE_SECONDS:.0f} s in the middle", hint="send all of it"
            ) from None
        self._count += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._count > self._most_bytes:
            raise too_large(self._count, self._most_bytes)
        return message

    async def take_rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._complete:
                    self._complete = not (await self._receive()).get("more_body", False)


def too_large(count: int, most: int) -> TooLarge:
    return TooLarge(
        f"the request has {count} bytes or more, {most} are allowed",
        hint="start the engine with a larger --most-megabytes",
    )


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine itself, with or without a port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower() in ("localhost", "[::1]") or (name.startswith("127.") and name.replace(".", "").isdigit())
