"""One engine process as its client sees it: asked for a plan and a fill, stopped. Standard library only.

Boxes are (x, y, width, height) and sizes (width, height), in pixels of the canvas: the whole picture that is worked on.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import door as doors
import wire
from settings import Settings
from troubles import Cancelled, Damaged, DiskFull, EngineStopped, Refused, TooSlow, WrongToken, WrongVersion

_HELLO_SECONDS = 5.0
_CHUNK = 1 << 20

Box = tuple[int, int, int, int]
Bytes = bytes | bytearray | memoryview


# -- values ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    fraction: float  # of the whole call, 0 while waiting
    note: str
    position: int = 0  # how many jobs come first


OnProgress = Callable[[Progress], object] | None  # returning False cancels


@dataclass(frozen=True)
class Plan:
    size: tuple[int, int]
    hole: Box  # around everything that will be painted
    boxes: tuple[Box, ...]  # the pixels that the engine looks at; they do not overlap
    hole_pixels: int
    request: dict[str, Any] = field(repr=False)  # what the plan was asked with
    mask: Bytes = field(repr=False)


@dataclass(frozen=True)
class Result:
    box: Box  # the plan's hole
    bands: int  # 2 (grey and alpha) or 4 (RGBA)
    depth: str
    pixels: Bytes = field(repr=False)  # box height x width x bands, interleaved; black where alpha is 0
    mask: Bytes = field(repr=False)  # the same alpha with 8 bits, box height x width
    engine: str
    seed: int
    seconds: float  # that the engine itself needed
    warnings: tuple[str, ...]


# -- the engine --------------------------------------------------------------------------------------------------------


class Engine:
    """An engine process that answers. Holds no connection: every call makes its own, and its end cancels the call."""

    def __init__(self, settings: Settings, door: doors.Door) -> None:
        self._settings = settings
        self._door = door
        self.version = door.version
        self.protocol = door.protocol
        self.pid = door.pid

    def greet(self) -> None:
        """Raises unless it is an engine of ours, takes the token and speaks this protocol."""
        self.health(timeout=min(_HELLO_SECONDS, self._settings.silence_seconds))

    def health(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Versions, the engine that is loaded, the jobs that run and wait."""
        facts = self._ask("GET", "/v1/health", timeout=timeout)
        if not isinstance(facts, dict) or "protocol" not in facts:
            raise Damaged("what answers at the engine's port is no engine", "try again")
        return facts

    def engines(self) -> list[dict[str, Any]]:
        """What there is to choose from, as `eraser.engines()` tells it."""
        return list(self._ask("GET", "/v1/engines"))

    def stop(self) -> None:
        """Ask the process to end; what it is painting is cancelled."""
        self._ask("POST", "/v1/stop")

    def plan(self, size: tuple[int, int], box: Box, mask: Bytes, *, grow: str | float = "auto") -> Plan:
        """What erasing would paint, and which pixels it has to see.

        mask: box height x width bytes, 0 to keep and everything above to erase, values between for soft rims.
        """
        return self._plan({"size": list(size), "box": list(box), "grow": grow}, mask)

    def plan_extend(self, size: tuple[int, int], keep: Box) -> Plan:
        """The same for painting everything of the canvas outside the box `keep`."""
        return self._plan({"size": list(size), "keep": list(keep)}, b"")

    def _plan(self, request: dict[str, Any], mask: Bytes) -> Plan:
        mask = memoryview(mask).cast("B")
        answer = self._ask("POST", "/v1/plan", [wire.opening(wire.PLAN, request, len(mask)), mask])
        with _understood():
            return Plan(
                size=(request["size"][0], request["size"][1]),
                hole=_box(answer["hole"]),
                boxes=tuple(_box(box) for box in answer["boxes"]),
                hole_pixels=int(answer["hole_pixels"]),
                request=request,
                mask=mask,
            )

    def fill(
        self,
        plan: Plan,
        read: Callable[[Box], Bytes],
        *,
        bands: int,
        depth: str,
        engine: str = "auto",
        seed: int = 0,
        tries: int = 1,
        prompt: str | None = None,
        on_progress: OnProgress = None,
        on_preview: Callable[[int, int, Bytes, Box], object] | None = None,
        on_warning: Callable[[str], object] | None = None,
    ) -> Result:
        """Paint what was planned.

        read(box): that part of the canvas, height x width x bands values, interleaved, little endian, perceptual.
        bands 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA · depth one of wire.DEPTHS
        tries: paint with so many seeds, and keep what fits its surroundings best
        on_preview(width, height, RGB bytes, the canvas's box it shows): a small picture of what is being painted
        Returning False from a callback cancels, and so does raising from it.
        """
        head = {
            **plan.request,
            "boxes": [list(box) for box in plan.boxes],
            "bands": bands,
            "depth": depth,
            "engine": engine,
            "seed": seed,
            "tries": tries,
            "prompt": prompt,
            "preview": on_preview is not None,
        }
        lengths = [box[2] * box[3] * bands * wire.DEPTHS[depth] for box in plan.boxes]
        openings = [
            wire.opening(wire.PIXELS, {"box": list(box)}, length)
            for box, length in zip(plan.boxes, lengths, strict=True)
        ]
        first = wire.opening(wire.FILL, head, len(plan.mask))
        total = len(first) + len(plan.mask) + sum(map(len, openings)) + sum(lengths)

        def parts() -> Iterator[Bytes]:
            yield first
            yield plan.mask
            for box, start, length in zip(plan.boxes, openings, lengths, strict=True):
                tell(on_progress, Progress(0.0, "sending the picture"))
                pixels = memoryview(read(box)).cast("B")
                if len(pixels) != length:
                    raise ValueError(f"{len(pixels)} bytes were read for the box {box}, {length} are needed")
                yield start
                yield pixels

        reply = self._request("POST", "/v1/fill", parts(), total)
        try:
            return self._receive(reply, plan, on_progress, on_preview, on_warning)
        finally:
            reply.close()

    def _receive(self, reply: _Reply, plan: Plan, on_progress: OnProgress, on_preview: Any, on_warning: Any) -> Result:
        last = Progress(0.0, "waiting for the engine")
        mask: Bytes = b""
        warnings: list[str] = []
        for frame in reply.frames(_reply_check(plan)):
            if frame.kind == wire.MASK:
                mask = frame.body
            elif frame.kind == wire.FAIL:
                _refuse(frame.head)
            elif frame.kind == wire.DONE:
                with _understood():
                    return _result(frame, mask, warnings)
            elif frame.kind == wire.VIEW and on_preview is not None:
                with _understood():
                    view = int(frame.head["width"]), int(frame.head["height"]), frame.body, _box(frame.head["box"])
                if on_preview(*view) is False:
                    raise Cancelled("cancelled", "nothing was changed")
            elif frame.kind == wire.WARN:
                with _understood():
                    warnings.append(str(frame.head["message"]))
                if on_warning is not None:
                    on_warning(warnings[-1])
            else:
                with _understood():
                    last = _progress(frame, last)
                tell(on_progress, last)
        raise self._stopped("the reply ends in the middle")

    def _ask(self, method: str, path: str, parts: list[Bytes] | None = None, *, timeout: float | None = None) -> Any:
        """A call that is answered with JSON."""
        parts = parts or []
        reply = self._request(method, path, iter(parts), sum(map(len, parts)), timeout=timeout)
        try:
            return reply.json()
        finally:
            reply.close()

    def _request(
        self, method: str, path: str, parts: Iterator[Bytes], length: int, *, timeout: float | None = None
    ) -> _Reply:
        """Send, and take in the reply's head. Raises for every answer that is not a success."""
        timeout = timeout or self._settings.silence_seconds
        connection = http.client.HTTPConnection(self._door.host, self._door.port, timeout=timeout)
        reply = _Reply(self, connection, timeout)
        try:
            with reply.talking():
                connection.connect()
                # many small frames come back, and each should be here at once
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.putrequest(method, path)
                connection.putheader("Authorization", f"Bearer {self._door.token}")
                connection.putheader(wire.PROTOCOL_HEADER, str(wire.PROTOCOL))
                connection.putheader(wire.VERSION_HEADER, self._settings.version or "unknown")
                if method == "POST":
                    connection.putheader("Content-Type", wire.CONTENT_TYPE)
                    connection.putheader("Content-Length", str(length))
                connection.endheaders()
            for part in parts:
                if not reply.send(part):
                    break  # it has answered already, and most likely says why it does not want the rest
            with reply.talking():
                reply.begin()
            self._check_answer(reply)
        except BaseException:
            reply.close()
            raise
        return reply

    def _check_answer(self, reply: _Reply) -> None:
        response = reply.response
        protocol = response.getheader(wire.PROTOCOL_HEADER)
        if protocol is None:
            raise Damaged("what answers at the engine's port is no engine", "try again")
        if protocol != str(wire.PROTOCOL):
            theirs = response.getheader(wire.VERSION_HEADER)
            raise WrongVersion(
                f"this plug-in speaks protocol {wire.PROTOCOL} (magic-eraser {self._settings.version or 'unknown'}), "
                f"the running engine protocol {protocol} (magic-eraser {theirs})",
                "run 'eraser gimp install' with the newer one's Python, and 'eraser serve --stop' to end the old one",
            )
        if response.status == 401:
            raise WrongToken(
                f"the engine at port {self._door.port} does not take the token in {self._settings.door_path}",
                "end the engine (eraser serve --stop, or by its process number), remove that file and try again",
            )
        if response.status >= 400:
            _refuse(reply.json())

    def _stopped(self, what: str) -> EngineStopped:
        last = "" if self._settings.outside_door else self._settings.last_words()
        return EngineStopped(
            f"the engine stopped while it was working, {what}{last}",
            "try again; the next call starts it afresh",
        )

    def _silent(self, seconds: float) -> TooSlow:
        return TooSlow(
            f"the engine (process {self.pid}) has given no sign of life for {seconds:.0f} s",
            f"end process {self.pid} and try again",
        )


class _Reply:
    """One connection: what is sent on it and what comes back, with its failures as this module's errors."""

    response: http.client.HTTPResponse

    def __init__(self, engine: Engine, connection: http.client.HTTPConnection, timeout: float) -> None:
        self._engine = engine
        self._connection = connection
        self._timeout = timeout

    def talking(self) -> _Talking:
        return _Talking(self._engine, self._timeout)

    def send(self, part: Bytes) -> bool:
        """False when the other side takes no more."""
        view = memoryview(part)
        try:
            for start in range(0, len(view), _CHUNK):
                self._connection.send(view[start : start + _CHUNK])
        except TimeoutError:
            raise self._engine._silent(self._timeout) from None
        except OSError:
            return False
        return True

    def begin(self) -> None:
        self.response = self._connection.getresponse()

    def json(self) -> Any:
        with self.talking():
            text = self.response.read()
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Damaged("the engine's answer is no JSON", "try again") from None

    def frames(self, check: wire.Check) -> Iterator[wire.Frame]:
        decoder = wire.Decoder(check)
        while True:
            with self.talking():
                data = self.response.read1(_CHUNK)
            if not data:
                return
            with _understood():
                frames = list(decoder.feed(data))
            yield from frames

    def close(self) -> None:
        self._connection.close()
        if hasattr(self, "response"):
            self.response.close()


class _Talking:
    """Turns what sockets raise into EngineStopped and TooSlow."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, TimeoutError):
            raise self._engine._silent(self._timeout) from None
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise self._engine._stopped(f"the connection broke: {type(error).__name__}") from None


# -- what comes back ---------------------------------------------------------------------------------------------------


def _reply_check(plan: Plan) -> wire.Check:
    """No frame larger than the result can be: a reply never makes this process take memory without end."""
    most = max(plan.hole[2] * plan.hole[3] * 4 * 8, 256 * 256 * 3)

    def check(kind: str, head: dict[str, Any], body_length: int) -> None:
        if body_length > most:
            raise wire.Malformed(f"a {kind} frame of {body_length} bytes is announced, and {most} are the most")

    return check


def _progress(frame: wire.Frame, last: Progress) -> Progress:
    """What a WAIT, STEP or BEAT frame (or one of a later version) tells."""
    if frame.kind == wire.STEP:
        return Progress(float(frame.head["fraction"]), str(frame.head["note"]))
    if frame.kind == wire.WAIT:
        position = int(frame.head["position"])
        others = "1 other" if position == 1 else f"{position} others"
        return Progress(0.0, f"waiting behind {others}" if position else "waiting for the engine", position)
    return last


def _result(frame: wire.Frame, mask: Bytes, warnings: list[str]) -> Result:
    head = frame.head
    result = Result(
        box=_box(head["box"]),
        bands=int(head["bands"]),
        depth=str(head["depth"]),
        pixels=frame.body,
        mask=mask,
        engine=str(head["engine"]),
        seed=int(head["seed"]),
        seconds=float(head["seconds"]),
        warnings=tuple(warnings),
    )
    area = result.box[2] * result.box[3]
    if (len(mask), len(frame.body)) != (area, area * result.bands * wire.DEPTHS[result.depth]):
        raise ValueError(f"{len(mask)} and {len(frame.body)} bytes came for the box {result.box}")
    return result


def _refuse(report: Any) -> NoReturn:
    if not isinstance(report, dict) or not isinstance(report.get("message"), str):
        raise Damaged(f"the engine failed and did not say how ({report!r:.200})", "try again")
    kind, hint = str(report.get("error")), str(report.get("hint", ""))
    if kind == "DiskFull":
        raise DiskFull(report["message"], hint)
    raise Refused(kind, report["message"], hint)


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """What the engine sent is read inside: Damaged where it is not as it should be."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the engine's reply cannot be read ({error!r:.200})", "try again") from None


def _box(values: Any) -> Box:
    x, y, width, height = (int(value) for value in values)
    return x, y, width, height


def tell(on_progress: OnProgress, progress: Progress) -> None:
    if on_progress is not None and on_progress(progress) is False:
        raise Cancelled("cancelled", "nothing was changed")
