"""/v1/erase, /v1/outpaint, /v1/background: image files in, an image file out, with all that the photo carries."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Request, Response, UploadFile

from eraser import files
from eraser.background import MATCH
from eraser.errors import BadRequest, InputError, OutOfRange
from eraser.fillings import MOST_SEED, MOST_TRIES
from eraser.geometry import Box
from eraser.masks import Grow
from eraser.mattes import MOST_REACH
from eraser.report import OnReport, Report
from eraser.serve import fills
from eraser.serve.guard import DISK_ERRORS, disk_full
from eraser.serve.jobs import Job, Steps
from eraser.serve.service import Service
from eraser.session import Eraser

MEDIA_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp", "GIF": "image/gif",
    "BMP": "image/bmp", "PPM": "image/x-portable-pixmap", "TGA": "image/x-tga", "JPEG2000": "image/jp2",
    "AVIF": "image/avif",
}  # fmt: skip
SUFFIXES = {files.FORMATS[suffix]: suffix for suffix in reversed(files.FORMATS)}
MOST_REPORT = 8192  # bytes: clients take no longer headers
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the picture, as a file of the kind that came in",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
    }
}

Picture = Annotated[UploadFile, File(description="an image file; the result keeps its kind and metadata")]
Seed = Annotated[int, Form(ge=0, le=MOST_SEED)]
Tries = Annotated[
    int, Form(ge=1, le=MOST_TRIES, description="paint with so many seeds and keep what fits its surroundings best")
]
EngineName = Annotated[str, Form(description="a name from /v1/engines, or auto")]
Prompt = Annotated[str | None, Form(description="only for engines that take one")]
Provenance = Annotated[bool, Form(description="say in the file's XMP that it was edited, and how")]
Quality = Annotated[int | None, Form(ge=1, le=100, description="of lossy files; the photo's own if left out")]


def add_file_calls(api: FastAPI, service: Service) -> None:
    @api.post("/v1/erase", response_class=Response, responses=_PICTURE)
    async def erase(
        request: Request,
        image: Picture,
        mask: Annotated[UploadFile | None, File(description="white is erased; or give a box")] = None,
        box: Annotated[str | None, Form(description="x,y,width,height in pixels, instead of a mask")] = None,
        grow: Annotated[str, Form(description="auto, or pixels to widen the mask by")] = "auto",
        opaque: Annotated[bool, Form(description="make what is painted opaque")] = False,
        seed: Seed = 0,
        tries: Tries = 1,
        engine: EngineName = "auto",
        prompt: Prompt = None,
        quality: Quality = None,
        provenance: Provenance = True,
    ) -> Response:
        """An image file without what a mask marks."""
        widen = _text_to_grow(grow)
        if (mask is None) == (box is None):
            raise BadRequest("mask and box are both given or both missing", hint="send one of them")
        marked = _text_to_box(box) if box is not None else None

        def steps(session: Eraser, photo: files.Photo, folder: Path, on_report: OnReport) -> Steps:
            area: Any = marked
            if mask is not None:
                area = _stored(mask, folder / "mask", service.limits.megapixels)
            return session.erase_steps(
                photo,
                area,
                seed=seed,
                tries=tries,
                grow=widen,
                prompt=prompt,
                make_opaque=opaque,
                on_report=on_report,
            )

        written = {"quality": quality, "provenance": provenance}
        return await _file_reply(service, request, image, engine, written, steps)

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
        tries: Tries = 1,
        engine: EngineName = "auto",
        prompt: Prompt = None,
        quality: Quality = None,
        provenance: Provenance = True,
    ) -> Response:
        """An image file continued beyond its sides."""

        def steps(session: Eraser, photo: files.Photo, folder: Path, on_report: OnReport) -> Steps:
            return session.outpaint_steps(
                photo,
                left=left,
                top=top,
                right=right,
                bottom=bottom,
                aspect=aspect,
                seed=seed,
                tries=tries,
                prompt=prompt,
                on_report=on_report,
            )

        written = {"quality": quality, "provenance": provenance}
        return await _file_reply(service, request, image, engine, written, steps)

    @api.post("/v1/background", response_class=Response, responses=_PICTURE)
    async def background(
        request: Request,
        image: Picture,
        subject: Annotated[UploadFile, File(description="a mask: white stays bit for bit, grey is its soft edge")],
        prompt: Annotated[str, Form(description="what is to be behind the subject")],
        match: Annotated[float, Form(ge=0, le=1, description="how far light is brought to the photo's")] = MATCH,
        soften: Annotated[float, Form(ge=0, le=MOST_REACH, description="pixels of soft edge in a hard mask")] = 0,
        seed: Seed = 0,
        engine: EngineName = "auto",
        quality: Quality = None,
        provenance: Provenance = True,
    ) -> Response:
        """An image file with another background behind its subject."""

        def steps(session: Eraser, photo: files.Photo, folder: Path, on_report: OnReport) -> Steps:
            marks = _stored(subject, folder / "subject", service.limits.megapixels)
            return session.replace_background_steps(
                photo, marks, prompt=prompt, seed=seed, match=match, soften=soften, on_report=on_report
            )

        written = {"quality": quality, "provenance": provenance}
        return await _file_reply(service, request, image, engine, written, steps)


async def _file_reply(
    service: Service,
    request: Request,
    image: UploadFile,
    engine: str,
    written: dict[str, Any],
    steps: Callable[[Eraser, files.Photo, Path, OnReport], Steps],
) -> Response:
    """Run a job from file to file; its client going away cancels it. written: as `Photo.save` takes it."""
    service.worker.touch()
    reports: list[Report] = []

    def work(job: Job) -> Steps:
        try:
            with tempfile.TemporaryDirectory(prefix="magic-eraser-") as name:
                folder = Path(name)
                photo = _stored(image, folder / "image", service.limits.megapixels)
                result: files.Photo = yield from steps(service.engine_of(engine), photo, folder, reports.append)
                return _written(result, folder, written)
        except OSError as error:
            if error.errno in DISK_ERRORS:
                raise disk_full(error) from None
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
    losses = [*reports[0].fallbacks, *reports[0].warnings, *losses]
    if len(said := json.dumps(reports[0].summary())) <= MOST_REPORT:
        headers["X-Magic-Eraser-Report"] = said
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


def _written(photo: files.Photo, folder: Path, written: dict[str, Any]) -> tuple[bytes, str, list[str]]:
    """A file of the photo's own kind, the kind's name, and what was lost on the way."""
    kind = photo.format if photo.format in SUFFIXES and photo.format in MEDIA_TYPES else "PNG"
    path = folder / f"result{SUFFIXES[kind]}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        photo.save(path, **written)
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
