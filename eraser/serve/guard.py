"""What every request passes first: the right address, the token, the protocol, a bounded size."""

from __future__ import annotations

import asyncio
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

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                marks = [(wire.PROTOCOL_HEADER, str(wire.PROTOCOL)), (wire.VERSION_HEADER, __version__)]
                message["headers"] = [*message["headers"], *((k.lower().encode(), v.encode()) for k, v in marks)]
            await send(message)

        try:
            self._check(dict(scope["headers"]))
            await self._app(scope, self._counted(receive), send_marked)
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
            raise self._too_large(int(length))

    def _counted(self, receive: Receive) -> Receive:
        """Stops a body that is longer than allowed, and one that does not go on."""
        count = 0
        complete = False

        async def counted() -> Message:
            nonlocal count, complete
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), SILENCE_SECONDS)
            except TimeoutError:
                raise BadRequest(
                    f"the request stopped for {SILENCE_SECONDS:.0f} s in the middle", hint="send all of it"
                ) from None
            count += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if count > self._most_bytes:
                raise self._too_large(count)
            return message

        return counted

    def _too_large(self, count: int) -> TooLarge:
        return TooLarge(
            f"the request has {count} bytes or more, {self._most_bytes} are allowed",
            hint="start the engine with a larger --most-megabytes",
        )


def is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine itself, with or without a port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower() in ("localhost", "[::1]") or (name.startswith("127.") and name.replace(".", "").isdigit())
