"""What stands before Gradio: pictures by their desk's secret name, how work stands, and no way to files of others."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from eraser.errors import OutputError
from web_demo.studio import Studio
from web_demo.views import PICTURES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

API = "/gradio_api/"
FILE = "file="
NEWS = (f"{API}queue/data", f"{API}call/")  # answers that last as long as the work of which they tell
UNUSED = ("proxy=", "process_recording", "vibe-", "undo-vibe-", "deep_link", "stream/")
MOST_CALL = 16 << 20  # bytes of anything that is no file
PART = "part"  # instead of a file's name: what the query's box says of the step's own pixels
SHOWN = {"screen", "thumb"}  # the others are downloads
HEADERS = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}


class Gate:
    """ASGI middleware. Gradio itself would hand out any file in its folder, fetch any address as a file, and take
    uploads until the disk is full."""

    def __init__(self, app: ASGIApp, studio: Studio) -> None:
        self.app = app
        self.studio = studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer: Any = await self._answer(Request(scope, receive)) or self.app
        with self.studio.listening() if scope["path"].startswith(NEWS) else contextlib.nullcontext():
            await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        path: str = request.scope["path"]
        asked = request.query_params
        if path.startswith(PICTURES):
            parts = path.removeprefix(PICTURES).split("/")
            if len(parts) == 3 and parts[2] == PART:
                return self._part(await self.studio.part(parts[0], parts[1], asked.get("box", "")))
            return self._picture(parts)
        if path == "/look":
            view = await self.studio.look(asked.get("key", ""), asked.get("ticket", ""))
            return JSONResponse(view, 200 if view else 404, {"Cache-Control": "no-store"})
        if path == "/stop" and request.method == "POST":
            await self.studio.stop(asked.get("key", ""), asked.get("ticket", ""))
            return Response(status_code=204)
        if path == "/leave" and request.method == "POST":
            await self.studio.leave(asked.get("key", ""))
            return Response(status_code=204)
        if path.startswith(f"{API}file"):
            return self._file(path.removeprefix(API))
        if path.startswith(tuple(f"{API}{name}" for name in UNUSED)):
            return PlainTextResponse("There is no such thing here.", 404)
        if request.method == "POST":
            return await self._room(path, request.headers.get("content-length", ""))
        return None

    def _part(self, made: tuple[bytes, str] | None) -> Response:
        if made is None:
            return PlainTextResponse("That picture is no longer here.", 404)
        return Response(made[0], headers=HEADERS, media_type="image/png" if made[1] == ".png" else "image/jpeg")

    def _picture(self, parts: list[str]) -> Response:
        path = self.studio.folders.picture(*parts) if len(parts) == 3 else None
        if path is None:
            return PlainTextResponse("That picture is no longer here.", 404)
        shown = path.stem in SHOWN and parts[1].isdigit()
        return FileResponse(path, headers=HEADERS, filename=None if shown else path.name)

    def _file(self, rest: str) -> Response | None:
        """Gradio's way to files: what somebody sent, or what a program's call gave."""
        if rest.startswith(FILE) and self.studio.folders.is_upload(Path(rest.removeprefix(FILE))):
            return None
        return PlainTextResponse("That file is no longer here, or never was.", 403)

    async def _room(self, path: str, length: str) -> Response | None:
        if not length.isdigit():
            return PlainTextResponse("Say how long it is.", 411)
        if not path.startswith(f"{API}upload"):
            return PlainTextResponse("That is too much at once.", 413) if int(length) > MOST_CALL else None
        try:
            await asyncio.to_thread(self.studio.folders.check_room, int(length))
        except OutputError as error:
            return PlainTextResponse(str(error), 507)
        return None
