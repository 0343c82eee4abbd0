"""The calls of programs: a file comes in, waits in the same line as everybody's work, and a file goes out."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from eraser import files, masks
from eraser.engines.base import Progress
from eraser.errors import InputError, OutOfRange
from eraser.files import Photo
from eraser.geometry import Box, Size
from eraser.margins import margins
from eraser.serve.jobs import Job
from eraser.session import Eraser
from web_demo.desk import clean_name
from web_demo.studio import Studio
from web_demo.tasks import check_result, read_grow, read_seed
from web_demo.words import disk_full

Make = Callable[[Eraser, Photo], Generator[Progress, None, Photo]]
Tell = Callable[[float, str], None]


class Calls:
    """Who calls, and what is being done for them."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._jobs: dict[str, set[Job]] = defaultdict(set)
        self._lock = threading.Lock()

    async def erase(
        self, caller: str | None, tell: Tell, *, image: Any, mask: Any, engine: str, seed: Any, grow: Any, prompt: str
    ) -> str:
        """The path of the result. Raises EraserError."""
        number, widen = read_seed(seed), read_grow(grow)
        photo_path, mask_path = self._upload(image, "photo", "image"), self._upload(mask, "mask", "mask")

        def make(session: Eraser, photo: Photo) -> Generator[Progress, None, Photo]:
            self._check_size(mask_path)
            hole = masks.to_hole(mask_path, photo.size)
            return session.erase_steps(photo, hole, seed=number, grow=widen, prompt=prompt or None)

        return await self._answer(caller, (photo_path, mask_path), make, engine, "erased", tell)

    async def extend(
        self, caller: str | None, tell: Tell, *, image: Any, sides: dict[str, Any], aspect: str, engine: str, seed: Any,
        prompt: str,
    ) -> str:  # fmt: skip
        """The path of the result. Raises EraserError."""
        number = read_seed(seed)
        asked: dict[str, Any] = {name: amount or 0 for name, amount in sides.items()}

        def make(session: Eraser, photo: Photo) -> Generator[Progress, None, Photo]:
            more = margins(photo.size, **asked, aspect=aspect or None)
            if not any(more.values()):
                raise OutOfRange(
                    "nothing is to be added", hint='give a side, like left="20%", or an aspect like "16:9"'
                )
            check_result(_extended(photo.size, more), self.studio.limits.megapixels)
            return session.outpaint_steps(
                photo, left=more["left"], top=more["top"], right=more["right"], bottom=more["bottom"], seed=number,
                prompt=prompt or None,
            )  # fmt: skip

        return await self._answer(caller, (self._upload(image, "photo", "image"),), make, engine, "extended", tell)

    def left(self, caller: str | None) -> None:
        """Nobody waits for these any more."""
        with self._lock:
            jobs = list(self._jobs.get(caller or "", ()))
        for job in jobs:
            self.studio.line.stop(job)

    def explain(self, error: Exception, *given: Any) -> str:
        return self.studio.explain(error, *((str(path), clean_name(str(path))) for path in given if path))

    def _upload(self, path: Any, what: str, argument: str) -> Path:
        if not path:
            raise InputError(f"there is no {what}", hint=f"send one as {argument}")
        if not self.studio.folders.is_upload(Path(str(path))):
            raise InputError(f"the {what} is no file that was sent", hint=f"send the file itself as {argument}")
        return Path(str(path))

    def _check_size(self, path: Path) -> None:
        megapixels, most = files.probe(path).megapixels, self.studio.limits.megapixels
        if megapixels > most:
            raise OutOfRange(f"{clean_name(path.name)} has {megapixels:.0f} megapixels, the limit is {most:g}")

    async def _answer(
        self, caller: str | None, sources: tuple[Path, ...], make: Make, engine: str, ending: str, tell: Tell
    ) -> str:
        folders = self.studio.folders
        source = sources[0]
        name = Path(clean_name(source.name))

        def work(job: Job) -> Generator[Progress, None, str]:
            self._check_size(source)
            photo = files.read(source)
            result = yield from make(Eraser(self.studio.engine_of(engine)), photo)
            suffix = name.suffix if name.suffix.lower() in files.FORMATS else ".png"
            folders.check_room(result.pixels.nbytes)
            try:
                out = folders.new_answer() / f"{name.stem}-{ending}{suffix}"
            except OSError as error:
                raise disk_full(error) from error
            files.write(result, out)
            return str(out)

        self.studio.need_engine()
        job = self.studio.line.job(work)
        with self._lock:
            self._jobs[caller or ""].add(job)
        try:
            async with contextlib.aclosing(self.studio.line.follow(job)) as all_news:
                async for news in all_news:
                    for path in sources:  # they must not be swept while they wait
                        _touch(path)
                    tell(news.fraction, f"{news.ahead} ahead in the queue" if news.ahead else news.note)
        finally:
            with self._lock:
                self._jobs[caller or ""].discard(job)
                if not self._jobs[caller or ""]:
                    del self._jobs[caller or ""]
        answer: str = job.result
        return answer


def _extended(size: Size, more: dict[str, int]) -> Box:
    width, height = size.width + more["left"] + more["right"], size.height + more["top"] + more["bottom"]
    return Box(-more["left"], -more["top"], width, height)


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)
