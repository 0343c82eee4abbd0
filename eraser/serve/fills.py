"""/v1/plan and /v1/fill: the pixels that matter in, what is painted out, in frames."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eraser import wire
from eraser.canvas import Canvas
from eraser.errors import BadRequest, TooLarge
from eraser.fillings import MOST_SEED, MOST_TRIES
from eraser.geometry import Box, Size
from eraser.layouts import Layout, split
from eraser.plans import Plan, plan_erase, plan_extend
from eraser.report import Report
from eraser.serve.guard import Receive, Send, report
from eraser.serve.jobs import Job, Steps, Worker
from eraser.session import Eraser

DTYPES = {"u8": "u1", "u16": "<u2", "half": "<f2", "float": "<f4", "double": "<f8"}
LAYOUTS = {1: Layout(1), 2: Layout(1, has_alpha=True), 3: Layout(3), 4: Layout(3, has_alpha=True)}
PREVIEW_SIDE = 256


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a FILL frame, checked."""

    bands: int
    depth: str
    engine: str
    seed: int
    tries: int
    prompt: str | None
    preview: bool

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(DTYPES[self.depth])


# -- heads of frames, from anybody -------------------------------------------------------------------------------------


def read_plan(head: dict[str, Any], mask: bytearray) -> Plan:
    """Raises BadRequest, and what planning raises."""
    size = Size(*_whole_numbers(head, "size", 2))
    if "keep" in head:
        return plan_extend(size, Box(*_whole_numbers(head, "keep", 4)))
    box = Box(*_whole_numbers(head, "box", 4))
    grow: Any = head.get("grow", "auto")
    if isinstance(grow, bool) or not (isinstance(grow, (int, float)) or grow == "auto"):
        raise BadRequest(f"grow is {grow!r:.50}", hint='send "auto" or a number of pixels')
    return plan_erase(np.frombuffer(mask, np.uint8).reshape(box.height, box.width), box, size, grow)


def read_request(head: dict[str, Any]) -> Request:
    """Raises BadRequest."""
    bands, depth = head.get("bands"), head.get("depth")
    engine, prompt = head.get("engine", "auto"), head.get("prompt")
    if type(bands) is not int or bands not in LAYOUTS:
        raise BadRequest(f"bands is {bands!r:.50}", hint="send 1, 2, 3 or 4")
    if not isinstance(depth, str) or depth not in DTYPES:
        raise BadRequest(f"depth is {depth!r:.50}", hint=f"send one of {', '.join(DTYPES)}")
    seed, tries = _number(head, "seed", 0, 0, MOST_SEED), _number(head, "tries", 1, 1, MOST_TRIES)
    if not isinstance(engine, str) or not (prompt is None or isinstance(prompt, str)):
        raise BadRequest("engine and prompt are not texts", hint="send texts, or leave them out")
    return Request(bands, depth, engine, seed, tries, prompt, head.get("preview") is True)


def _number(head: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = head.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise BadRequest(f"{name} is {value!r:.50}", hint=f"send a whole number from {least} to {most}")
    return value


def check_start(kind: str, most_pixels: int) -> wire.Check:
    """Lets the first frame pass if it is of this kind, and its size and mask fit each other and the limits."""

    def check(got: str, head: dict[str, Any], body_length: int) -> None:
        if got != kind:
            raise BadRequest(f"the request starts with a {got} frame", hint=f"send {kind} first")
        size = Size(*_whole_numbers(head, "size", 2))
        if size.area > most_pixels:
            raise TooLarge(
                f"the picture is {size}, {most_pixels / 1e6:.0f} megapixels are allowed",
                hint="start the engine with a larger --most-megapixels",
            )
        wanted = 0
        if "keep" not in head:
            box = Box(*_whole_numbers(head, "box", 4))
            wanted = box.width * box.height
            if not size.box.contains(box) or wanted < 1:
                raise BadRequest(f"the box {box} is not inside the {size} picture", hint="cut it to the picture first")
        if body_length != wanted:
            raise BadRequest(f"a mask of {body_length} bytes was sent, {wanted} are needed", hint="one byte a pixel")

    return check


def _whole_numbers(head: dict[str, Any], name: str, count: int) -> list[int]:
    values = head.get(name)
    if not isinstance(values, list) or len(values) != count or not all(type(value) is int for value in values):
        raise BadRequest(f"{name} is {values!r:.80}", hint=f"send {count} whole numbers")
    return values


# -- a request's frames ------------------------------------------------------------------------------------------------


class Body:
    """A request's body as frames. Not for several readers."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.check: wire.Check | None = None
        self._more = True
        self._decoder = wire.Decoder(lambda kind, head, length: self.check(kind, head, length) if self.check else None)
        self._frames = self._read()

    async def next(self, check: wire.Check) -> wire.Frame:
        """Raises BadRequest where there is none or it is damaged, and what `check` raises."""
        self.check = check
        try:
            return await anext(self._frames)
        except StopAsyncIteration:
            raise BadRequest("the request ends before its last frame", hint="send all frames that are needed") from None
        except wire.Malformed as error:
            raise BadRequest(str(error), hint="send the frames that eraser/wire.py describes") from None

    async def end(self) -> None:
        """Raises BadRequest where more comes."""

        def nothing(kind: str, *_: object) -> None:
            raise BadRequest(f"a {kind} frame follows the last one", hint="send as many as were announced")

        self.check = nothing
        try:
            async for _ in self._frames:
                pass
        except wire.Malformed:
            raise BadRequest("bytes follow the last frame", hint="send as many as were announced") from None

    async def _read(self) -> AsyncIterator[wire.Frame]:
        while self._more:
            for frame in self._decoder.feed(await self._receive_some()):
                yield frame
        if not self._decoder.between_frames:
            raise BadRequest("the request ends in the middle of a frame", hint="send all of it")

    async def _receive_some(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        self._more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data


class Gone(Exception):
    """The client is not there any more."""


async def take_plan(receive: Receive, most_pixels: int) -> dict[str, Any]:
    """The answer of /v1/plan."""
    body = Body(receive)
    frame = await body.next(check_start(wire.PLAN, most_pixels))
    await body.end()
    plan = await asyncio.to_thread(read_plan, frame.head, frame.body)
    return {
        "hole": _box(plan.target),
        "boxes": [_box(box) for box in plan.boxes],
        "hole_pixels": plan.hole_pixels,
        "windows": len(plan.parts),
    }


async def take_fill(receive: Receive, most_pixels: int) -> tuple[Request, Plan, Canvas]:
    """What /v1/fill was sent."""
    body = Body(receive)
    frame = await body.next(check_start(wire.FILL, most_pixels))
    request = read_request(frame.head)
    plan = await asyncio.to_thread(read_plan, frame.head, frame.body)
    if frame.head.get("boxes") != [_box(box) for box in plan.boxes]:
        raise BadRequest(
            "the boxes are not those that /v1/plan answered", hint="ask for a plan first and send its boxes"
        )
    pixels = np.zeros((plan.area.height, plan.area.width, request.bands), request.dtype)
    for box in plan.boxes:
        wanted = box.area * request.bands * request.dtype.itemsize
        sent = await body.next(_check_pixels(box, wanted))
        part = np.frombuffer(sent.body, request.dtype).reshape(box.height, box.width, request.bands)
        pixels[box.relative_to(plan.area).slices] = part
        del part, sent
    await body.end()
    colour, alpha = split(pixels, LAYOUTS[request.bands])
    return request, plan, await asyncio.to_thread(plan.canvas, colour, alpha)


def _check_pixels(box: Box, wanted: int) -> wire.Check:
    def check(kind: str, head: dict[str, Any], body_length: int) -> None:
        if kind != wire.PIXELS or head.get("box") != _box(box) or body_length != wanted:
            raise BadRequest(
                f"a {kind} frame with {body_length} bytes was sent, the box {box} needs {wire.PIXELS} with {wanted}",
                hint="send the pixels of each box in the plan's order",
            )

    return check


def _box(box: Box) -> list[int]:
    return [box.x, box.y, box.width, box.height]


# -- the reply ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    pixels: np.ndarray  # (H, W, C + 1)
    mask: np.ndarray
    head: dict[str, Any]


def work_on(request: Request, plan: Plan, canvas: Canvas, engine_of: Callable[[str], Eraser]) -> Callable[[Job], Steps]:
    """The job's work; what it returns is a Filled."""

    def steps(job: Job) -> Steps:
        engine = engine_of(request.engine)
        start = time.monotonic()
        reports: list[Report] = []
        colour = yield from engine.paint_steps(
            canvas,
            plan.parts,
            seed=request.seed,
            tries=request.tries,
            prompt=request.prompt,
            on_report=reports.append,
        )
        seconds = time.monotonic() - start
        pixels = plan.layer(colour)
        head = {
            "box": _box(plan.target),
            "bands": pixels.shape[2],
            "depth": request.depth,
            "engine": engine.info.name,
            "seed": request.seed,
            "hole_pixels": plan.hole_pixels,
            "seconds": round(seconds, 4),
            "report": reports[0].summary(),
        }
        return Filled(pixels, plan.mask, head)

    return steps


async def stream(job: Job, worker: Worker, origin: Box, receive: Receive, send: Send) -> None:
    """Tell a job's progress and result; a client that goes away cancels it."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", wire.CONTENT_TYPE.encode()), (b"x-accel-buffering", b"no")],
        }
    )
    gone = asyncio.ensure_future(until_gone(receive))
    told = asyncio.ensure_future(_tell(job, worker, origin, send))
    try:
        await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            told.result()
    except OSError:
        pass  # gone while something was sent
    finally:
        worker.cancel(job)
        for task in (gone, told):
            task.cancel()
        await asyncio.gather(gone, told, return_exceptions=True)


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _tell(job: Job, worker: Worker, origin: Box, send: Send) -> None:
    async def body(data: Any, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    async def frame(kind: str, head: dict[str, Any], content: Any = b"") -> None:
        await body(wire.pack(kind, head, content))

    position, step = -1, None
    while not job.done:
        changed = job.changed.is_set()
        job.changed.clear()
        before = worker.before(job)
        if before != position and job.step is None:
            position = before
            await frame(wire.WAIT, {"position": position})
        elif job.step is not None and job.step is not step:
            step = job.step
            await frame(wire.STEP, {"fraction": round(step.fraction, 5), "note": step.note})
        elif not changed:
            await frame(wire.BEAT, {})
        if job.preview is not None:
            (picture, box), job.preview = job.preview, None
            await frame(wire.VIEW, *await asyncio.to_thread(_small, picture, box, origin))
        while job.warnings:
            await frame(wire.WARN, {"message": job.warnings.pop(0)})
        try:
            await asyncio.wait_for(job.changed.wait(), wire.BEAT_SECONDS)
        except TimeoutError:
            continue
    if job.error is not None:
        await frame(wire.FAIL, report(job.error))
    else:
        filled: Filled = job.result
        job.result = None
        await body(wire.opening(wire.MASK, {"box": filled.head["box"]}, filled.mask.nbytes))
        await _send_array(body, filled.mask)
        await body(wire.opening(wire.DONE, filled.head, filled.pixels.nbytes))
        await _send_array(body, filled.pixels)
    await body(b"", more=False)


async def _send_array(body: Callable[[Any], Any], array: np.ndarray) -> None:
    values = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for start in range(0, len(values), 1 << 18):
        await body(values[start : start + (1 << 18)].tobytes())


def _small(picture: np.ndarray, box: Box | None, origin: Box) -> tuple[dict[str, Any], bytes]:
    """The head and body of a VIEW frame for a picture (H, W, C) in [-1, 1] of a box relative to the origin."""
    height, width, channels = picture.shape
    every = math.ceil(max(height, width) / PREVIEW_SIDE)
    small = np.nan_to_num(picture[::every, ::every])
    rgb = np.broadcast_to(small, (*small.shape[:2], 3)) if channels == 1 else small
    values = (np.clip(rgb, -1, 1) * 127.5 + 127.5).astype(np.uint8)
    box = box or Box(0, 0, width, height)
    shown = [box.x + origin.x, box.y + origin.y, box.width, box.height]
    return {"width": values.shape[1], "height": values.shape[0], "box": shown}, values.tobytes()
