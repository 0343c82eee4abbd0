"""The engine's HTTP interface, as docs/engine-process.md and its own /openapi.json describe it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import eraser
from eraser import __version__, files, wire
from eraser.engines import registry
from eraser.errors import BadRequest, DiskFull, EraserError, InputError, OutOfRange
from eraser.geometry import Box, Size
from eraser.masks import Grow
from eraser.plans import plan_erase
from eraser.serve import fills
from eraser.serve.guard import App, Guard, Receive, Send, report, status_of
from eraser.serve.jobs import Job, Steps, Worker
from eraser.session import MOST_SEED, Eraser

MEDIA_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp", "GIF": "image/gif",
    "BMP": "image/bmp", "PPM": "image/x-portable-pixmap", "TGA": "image/x-tga", "JPEG2000": "image/jp2",
    "AVIF": "image/avif",
}  # fmt: skip
SUFFIXES = {files.FORMATS[suffix]: suffix for suffix in reversed(files.FORMATS)}
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Limits:
    megabytes: float = 4096  # of a request
    megapixels: float = 500  # of a picture
    seconds: float = 3600  # of a job
    waiting: int = 32  # jobs in the queue


class ErrorReport(BaseModel):
    """What went wrong, in one sentence, and what to do."""

    error: str
    message: str
    hint: str


class Health(BaseModel):
    version: str
    protocol: int
    pid: int
    engine: str
    loaded: bool
    running: int
    waiting: int
    idle_seconds: float
    idle_minutes: float
    most_megabytes: float
    most_megapixels: float
    most_seconds: float


class EngineFacts(BaseModel):
    name: str
    summary: str
    licence: str
    weights: str
    needs: str
    extra: str
    takes_prompt: bool


class PlanAnswer(BaseModel):
    hole: list[int]
    boxes: list[list[int]]
    hole_pixels: int
    windows: int


class Stopping(BaseModel):
    stopping: bool


class Service:
    """What the routes share: the engines that are loaded, the worker, the limits."""

    def __init__(self, *, engine: str, limits: Limits, idle_minutes: float, stop: Callable[[], None]) -> None:
        self.default = next(iter(registry.ENTRIES)) if engine == registry.AUTO else engine
        self.limits = limits
        self.idle_minutes = idle_minutes
        self.stop = stop
        self.loaded = False
        self.worker = Worker(self._load, most_waiting=limits.waiting)

    def engine_of(self, name: str) -> Eraser:
        return Eraser(self.default if name == registry.AUTO else name)

    def submit(self, work: Callable[[Job], Steps], *, wants_previews: bool = False) -> Job:
        return self.worker.submit(Job(work, most_seconds=self.limits.seconds, wants_previews=wants_previews))

    def health(self) -> Health:
        running, waiting = self.worker.counts
        return Health(
            version=__version__,
            protocol=wire.PROTOCOL,
            pid=os.getpid(),
            engine=self.default,
            loaded=self.loaded,
            running=running,
            waiting=waiting,
            idle_seconds=round(self.worker.idle_seconds, 1),
            idle_minutes=self.idle_minutes,
            most_megabytes=self.limits.megabytes,
            most_megapixels=self.limits.megapixels,
            most_seconds=self.limits.seconds,
        )

    def _load(self) -> None:
        # the first plan would wait for the libraries that planning needs
        plan_erase(np.full((1, 1), 255, np.uint8), Box(2, 2, 1, 1), Size(8, 8))
        self.engine_of(registry.AUTO)
        self.loaded = True


class FillReply(Response):
    """Streams a job's frames."""

    def __init__(self, job: Job, worker: Worker, origin: Box) -> None:
        super().__init__()
        self._told = (job, worker, origin)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await fills.stream(*self._told, receive, send)


def _frames(schema: str) -> dict[str, Any]:
    binary = {"type": "string", "format": "binary", "description": schema}
    return {"requestBody": {"required": True, "content": {wire.CONTENT_TYPE: {"schema": binary}}}}


_REASONS = {
    400: "what was sent is not understood",
    401: "the token, or the host's name, is wrong",
    413: "more bytes or pixels than allowed",
    422: "a picture, mask or number that cannot be used",
    426: "another protocol",
    500: "a defect",
    503: "the engine cannot do it, or is busy",
    504: "it took too long",
    507: "memory or disk are full",
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReport, "description": reason} for status, reason in _REASONS.items()
}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the picture, as a file of the kind that came in",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    }
}

Picture = Annotated[UploadFile, File(description="an image file; the result keeps its kind and metadata")]
Seed = Annotated[int, Form(ge=0, le=MOST_SEED)]
EngineName = Annotated[str, Form(description="a name from /v1/engines, or auto")]
Prompt = Annotated[str | None, Form(description="only for engines that take one")]
Quality = Annotated[int | None, Form(ge=1, le=100, description="of lossy files; the photo's own if left out")]


def build(service: Service, token: str) -> App:
    """The whole application, guarded."""
    api = FastAPI(
        title="magic-eraser's engine process",
        version=__version__,
        description=f"Protocol {wire.PROTOCOL}. Every call needs the door file's token.",
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
        separate_input_output_schemas=False,
    )
    _add_errors(api)
    _add_facts(api, service)
    _add_fills(api, service)
    _add_files(api, service)
    _describe_token(api)
    return Guard(api, token=token, most_bytes=int(service.limits.megabytes * 1e6))


# -- routes ------------------------------------------------------------------------------------------------------------


def _add_facts(api: FastAPI, service: Service) -> None:
    @api.get("/v1/health")
    async def health() -> Health:
        """Versions, limits, and how many jobs run and wait."""
        facts = service.health()
        service.worker.touch()
        return facts

    @api.get("/v1/engines")
    async def engines() -> list[EngineFacts]:
        """What there is to choose from."""
        service.worker.touch()
        return [EngineFacts(**asdict(info)) for info in eraser.engines()]

    @api.post("/v1/stop")
    async def stop() -> Stopping:
        """End the process; what runs is cancelled."""
        asyncio.get_running_loop().call_later(0.05, service.stop)
        return Stopping(stopping=True)


def _add_fills(api: FastAPI, service: Service) -> None:
    most_pixels = int(service.limits.megapixels * 1e6)

    @api.post("/v1/plan", openapi_extra=_frames("a PLAN frame"))
    async def plan(request: Request) -> PlanAnswer:
        """Where filling a mask paints, and which pixels the engine needs to see for it."""
        service.worker.touch()
        try:
            return PlanAnswer(**await fills.take_plan(request.receive, most_pixels))
        except fills.Gone:
            raise BadRequest("the client left", hint="") from None

    @api.post(
        "/v1/fill",
        openapi_extra=_frames("a FILL frame, then a PIXL frame for each of the plan's boxes"),
        response_class=Response,
        responses={
            200: {
                "description": "frames: progress, previews, warnings, the painted pixels",
                "content": {wire.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def fill(request: Request) -> Response:
        """Fill what was planned. Closing the connection cancels."""
        service.worker.touch()
        try:
            what, planned, canvas = await fills.take_fill(request.receive, most_pixels)
        except fills.Gone:
            return Response(status_code=400)
        job = service.submit(fills.work_on(what, planned, canvas, service.engine_of), wants_previews=what.preview)
        theirs = request.headers.get(wire.VERSION_HEADER, __version__)
        if theirs not in (__version__, "unknown"):
            job.warnings.append(
                f"the plug-in is of magic-eraser {theirs[:40]}, the engine of {__version__}: "
                "'eraser gimp install' with the engine's Python makes them the same"
            )
        return FillReply(job, service.worker, planned.area)


def _add_files(api: FastAPI, service: Service) -> None:
    @api.post("/v1/erase", response_class=Response, responses=_PICTURE)
    async def erase(
        request: Request,
        image: Picture,
        mask: Annotated[UploadFile | None, File(description="white is erased; or give a box")] = None,
        box: Annotated[str | None, Form(description="x,y,width,height in pixels, instead of a mask")] = None,
        grow: Annotated[str, Form(description="auto, or pixels to widen the mask by")] = "auto",
        opaque: Annotated[bool, Form(description="make what is painted opaque")] = False,
        seed: Seed = 0,
        engine: EngineName = "auto",
        prompt: Prompt = None,
        quality: Quality = None,
    ) -> Response:
        """An image file without what a mask marks."""
        widen = _text_to_grow(grow)
        if (mask is None) == (box is None):
            raise BadRequest("mask and box are both given or both missing", hint="send one of them")
        marked = _text_to_box(box) if box is not None else None

        def steps(session: Eraser, photo: files.Photo, folder: Path) -> Steps:
            area: Any = marked
            if mask is not None:
                area = _stored(mask, folder / "mask", service.limits.megapixels)
            return session.erase_steps(photo, area, seed=seed, grow=widen, prompt=prompt, make_opaque=opaque)

        return await _file_reply(service, request, image, engine, quality, steps)

    @api.post("/v1/outpaint", response_class=Response, responses=_PICTURE)
    async def outpaint(
        request: Request,
        image: Picture,
        left: Annotated[str, Form(description='pixels, or percent like "20%"')] = "0",
        top: Annotated[str, Form()] = "0",
        right: Annotated[str, Form()] = "0",
        bottom: Annotated[str, Form()] = "0",
        aspect: Annotated[str | None, Form(description='like "16:9", instead of sides')] = None,
        seed: Seed = 0,
        engine: EngineName = "auto",
        prompt: Prompt = None,
        quality: Quality = None,
    ) -> Response:
        """An image file continued beyond its sides."""

        def steps(session: Eraser, photo: files.Photo, folder: Path) -> Steps:
            return session.outpaint_steps(
                photo, left=left, top=top, right=right, bottom=bottom, aspect=aspect, seed=seed, prompt=prompt
            )

        return await _file_reply(service, request, image, engine, quality, steps)


async def _file_reply(
    service: Service,
    request: Request,
    image: UploadFile,
    engine: str,
    quality: int | None,
    steps: Callable[[Eraser, files.Photo, Path], Steps],
) -> Response:
    """Run a job from file to file; its client going away cancels it."""
    service.worker.touch()

    def work(job: Job) -> Steps:
        try:
            with tempfile.TemporaryDirectory(prefix="magic-eraser-") as name:
                folder = Path(name)
                photo = _stored(image, folder / "image", service.limits.megapixels)
                result: files.Photo = yield from steps(service.engine_of(engine), photo, folder)
                return _written(result, folder, quality)
        except OSError as error:
            if error.errno in DISK_ERRORS:
                raise _full(error) from None
            raise

    start = time.monotonic()
    job = service.submit(work)
    gone = asyncio.ensure_future(fills.until_gone(request.receive))
    try:
        while not job.done and not gone.done():
            changed = asyncio.ensure_future(job.changed.wait())
            await asyncio.wait({changed, gone}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            job.changed.clear()
    finally:
        service.worker.cancel(job)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    if not job.done:
        return Response(status_code=400)  # to nobody
    if job.error is not None:
        raise job.error
    content, kind, losses = job.result
    headers = {"X-Magic-Eraser-Seconds": f"{time.monotonic() - start:.3f}"}
    if losses:
        headers["X-Magic-Eraser-Warnings"] = "; ".join(losses).encode("ascii", "replace").decode()
    return Response(content, media_type=MEDIA_TYPES[kind], headers=headers)


def _stored(upload: UploadFile, stem: Path, most_megapixels: float) -> files.Photo:
    """What was uploaded, read from a file of its own. Raises what reading raises, with the name it was sent with."""
    name = Path(upload.filename or "the upload").name
    suffix = Path(name).suffix.lower()
    path = stem.with_suffix(suffix if suffix in files.FORMATS else ".bin")
    with path.open("wb") as file:
        upload.file.seek(0)
        shutil.copyfileobj(upload.file, file, 1 << 20)
    try:
        return files.read(path, most_megapixels=most_megapixels)
    except InputError as error:
        raise type(error)(error.message.replace(str(path), name), hint=error.hint) from None


def _written(photo: files.Photo, folder: Path, quality: int | None) -> tuple[bytes, str, list[str]]:
    """A file of the photo's own kind, the kind's name, and what was lost on the way."""
    kind = photo.format if photo.format in SUFFIXES and photo.format in MEDIA_TYPES else "PNG"
    path = folder / f"result{SUFFIXES[kind]}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        photo.save(path, quality=quality)
    return path.read_bytes(), kind, [str(warning.message) for warning in caught]


def _text_to_grow(text: str) -> Grow:
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise OutOfRange(f"grow is {text[:50]!r}", hint='send "auto" or a number of pixels') from None


def _text_to_box(text: str) -> Box:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise OutOfRange(f"{text[:50]!r} is no box", hint="send x,y,width,height in whole pixels") from None
    return Box(x, y, width, height)


def _full(error: OSError) -> DiskFull:
    return DiskFull(f"the disk is full ({error.strerror})", hint="make room where temporary files are kept")


# -- errors and the document -------------------------------------------------------------------------------------------


def _add_errors(api: FastAPI) -> None:
    @api.exception_handler(EraserError)
    async def ours(_: Request, error: EraserError) -> JSONResponse:
        return JSONResponse(report(error), status_of(error))

    @api.exception_handler(RequestValidationError)
    async def unfit(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"][1:]) or "the request"
        message = f"{where}: {first['msg']}".encode("utf-8", "replace").decode()
        return JSONResponse({"error": "BadRequest", "message": message, "hint": "see /openapi.json"}, 422)

    @api.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        cause = error.__cause__
        if isinstance(cause, EraserError):  # raised while a form was read
            return JSONResponse(report(cause), status_of(cause))
        if isinstance(cause, OSError) and cause.errno in DISK_ERRORS:
            return JSONResponse(report(_full(cause)), 507)
        body = {"error": "BadRequest", "message": str(error.detail), "hint": "see /openapi.json"}
        return JSONResponse(body, error.status_code, headers=error.headers)

    @api.exception_handler(Exception)
    async def defect(_: Request, error: Exception) -> JSONResponse:
        message = f"the engine failed with {type(error).__name__}: {error}"
        body = {"error": "ServiceError", "message": message, "hint": "this is a defect, please report it"}
        return JSONResponse(body, 500)


def _describe_token(api: FastAPI) -> None:
    """Say in the document that every call needs the token."""
    make = api.openapi

    def described() -> dict[str, Any]:
        document = make()
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for schema in ("HTTPValidationError", "ValidationError"):  # not what is answered here
            with contextlib.suppress(KeyError):
                del document["components"]["schemas"][schema]
        return document

    api.openapi = described  # type: ignore[method-assign]
