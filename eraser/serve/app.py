"""The engine's HTTP interface, as docs/engine-process.md and its own /openapi.json describe it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import eraser
from eraser import __version__, wire
from eraser.errors import BadRequest, EraserError
from eraser.geometry import Box
from eraser.serve import fills
from eraser.serve.file_calls import add_file_calls
from eraser.serve.guard import DISK_ERRORS, App, Guard, Receive, Send, disk_full, report, status_of
from eraser.serve.jobs import Job, Worker
from eraser.serve.service import Health, Service


class ErrorReport(BaseModel):
    """What went wrong, in one sentence, and what to do."""

    error: str
    message: str
    hint: str


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
    add_file_calls(api, service)
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
            return JSONResponse(report(disk_full(cause)), 507)
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
