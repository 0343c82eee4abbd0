"""What happens on the server when somebody does something on the page."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

import eraser
from eraser import files
from eraser.engines.base import Progress
from eraser.errors import Cancelled, EraserError, InputError, OutOfRange, TooBusy
from eraser.geometry import Box, Size
from eraser.serve.jobs import Job
from eraser.session import MOST_SEED, Eraser
from web_demo import screen
from web_demo.desk import Desk, Erasing, Settings, Step, Task, clean_name, extending
from web_demo.folders import Folders
from web_demo.work import Line, News, sentence

View = dict[str, Any]
VARIATIONS = 4
FILES = "/gradio_api/file="


@dataclass(frozen=True, slots=True)
class Limits:
    megabytes: float = 200  # of an upload
    megapixels: float = 100  # of a photograph
    at_once: int = 1  # engine jobs at a time
    waiting: int = 16  # jobs in line
    keep_minutes: float = 60  # pictures that nobody touches


@dataclass(frozen=True, slots=True)
class Example:
    file: str  # in eraser/data
    title: str
    credit: str


EXAMPLES = (
    Example("rocket.jpg", "Rocket", "SpaceX, public domain"),
    Example("astronaut.webp", "Astronaut", "NASA, public domain"),
    Example("coffee.jpg", "Espresso", "Rachel Michetti, CC0"),
)


class Studio:
    """Everybody's desks, and the line in which their work waits."""

    def __init__(self, limits: Limits | None = None, *, engine: str = "auto", folders: Folders | None = None) -> None:
        self.limits = limits or Limits()
        self.engine = engine
        self.folders = folders or Folders(keep_seconds=self.limits.keep_minutes * 60)
        self.desks: dict[str, Desk] = {}
        self._lock = threading.Lock()
        self.line = Line(at_once=self.limits.at_once, most_waiting=self.limits.waiting, prepare=self._warm_up)

    def start(self) -> None:
        self.line.start()
        self.folders.keep_swept(self.sweep)

    def close(self) -> None:
        self.line.close()
        self.folders.close()

    def _warm_up(self) -> None:
        """Load and compile before the first person waits for it."""
        image = np.zeros((32, 32, 3), np.uint8)
        Eraser(self.engine).erase(image, Box(12, 12, 6, 6))

    # -- desks

    def desk(self, session: str | None) -> Desk:
        """The desk of this browser tab. Raises InputError where the caller has none and cannot have one."""
        if not session:
            raise InputError("this page has no session", hint="reload it")
        with self._lock:
            if session not in self.desks:
                self.desks[session] = Desk(self.folders.new_desk())
            desk = self.desks[session]
            desk.last_used = time.time()
            return desk

    def left(self, session: str | None) -> None:
        """A tab was closed, or lost its connection: its work stops; its pictures stay until they are too old."""
        desk = self.desks.get(session or "")
        if desk is not None and desk.job is not None:
            self.line.stop(desk.job)

    def sweep(self, now: float | None = None) -> None:
        """Remove the desks that nobody has used for too long."""
        oldest = (time.time() if now is None else now) - self.folders.keep_seconds
        with self._lock:
            old = [name for name, desk in self.desks.items() if desk.last_used < oldest and desk.job is None]
            removed = [self.desks.pop(name) for name in old]
        for desk in removed:
            desk.remove()

    # -- what people do

    async def open(self, session: str | None, path: Any, name: Any) -> View:
        """A photograph that the browser has sent."""
        desk = self.desk(session)
        sent = Path(str(path))
        if not self.folders.is_upload(sent):
            return self.view(desk, error="The photo did not arrive. Please choose it again.")
        view = await self._open(desk, sent, clean_name(str(name)))
        with contextlib.suppress(OSError):
            sent.unlink()
        return view

    async def example(self, session: str | None, number: Any) -> View:
        desk = self.desk(session)
        example = EXAMPLES[number if isinstance(number, int) and 0 <= number < len(EXAMPLES) else 0]
        with resources.as_file(resources.files("eraser") / "data" / example.file) as path:
            return await self._open(desk, path, example.file)

    async def _open(self, desk: Desk, path: Path, name: str) -> View:
        if desk.job is not None:
            self.line.stop(desk.job)
        while desk.job is not None:  # at most a step; what it makes must not land among the new photograph's
            await asyncio.sleep(0.02)
        try:
            await asyncio.to_thread(desk.open, path, name, most_megapixels=self.limits.megapixels)
        except (EraserError, OSError) as error:
            return self.view(desk, error=_say(error, (str(path), name), (str(path.resolve()), name)))
        return self.view(desk, text="Paint over what is to vanish.", opened=True)

    def go_to(self, session: str | None, number: Any) -> View:
        """Back, or forth, to a step."""
        desk = self.desk(session)
        if number not in desk.steps:
            return self.view(desk, error="That step is no longer here.")
        desk.current = number
        return self.view(desk)

    def take(self, session: str | None, number: Any) -> View:
        desk = self.desk(session)
        desk.take(number)
        return self.view(desk)

    async def download(self, session: str | None, number: Any) -> View:
        desk = self.desk(session)
        if number not in desk.steps:
            return self.view(desk, error="That step is no longer here.")
        try:
            path, losses = await asyncio.to_thread(desk.download, number)
        except (EraserError, OSError) as error:
            return self.view(desk, error=_say(error, (str(desk.folder), "")))
        text = f"{path.name}, {path.stat().st_size / 1e6:.1f} MB" + "".join(f". Note: {loss}" for loss in losses)
        return self.view(desk, text=text, download={"url": url(path), "name": path.name})

    def stop(self, session: str | None) -> None:
        desk = self.desk(session)
        if desk.job is not None:
            self.line.stop(desk.job)

    def erase(
        self, session: str | None, told: dict[str, Any], choose: Callable[[], Settings]
    ) -> AsyncGenerator[View, None]:
        def task_of(step: Step) -> Task:
            return Erasing(screen.read_mask(told.get("mask"), screen.screen_size(step.size)))

        return self._ask(session, told, choose, task_of)

    def extend(
        self, session: str | None, told: dict[str, Any], choose: Callable[[], Settings]
    ) -> AsyncGenerator[View, None]:
        def task_of(step: Step) -> Task:
            return extending(step.size, aspect=told.get("aspect"), sides=told.get("sides"))

        return self._ask(session, told, choose, task_of)

    async def _ask(
        self,
        session: str | None,
        told: dict[str, Any],
        choose: Callable[[], Settings],
        task_of: Callable[[Step], Task],
    ) -> AsyncGenerator[View, None]:
        desk = self.desk(session)
        step = desk.step
        if step is None:
            yield self.view(desk, error="There is no photo yet. Choose one, drop it here or paste it.")
            return
        try:
            settings = choose()
            task = task_of(step)
        except EraserError as error:
            yield self.view(desk, error=_say(error))
            return
        async with contextlib.aclosing(
            self._run(desk, step, task, settings, again=bool(told.get("variations")))
        ) as views:
            async for view in views:
                yield view

    async def _run(
        self, desk: Desk, base: Step, task: Task, settings: Settings, *, again: bool
    ) -> AsyncGenerator[View, None]:
        """Once, or with `again` several times with other seeds; then what was last done is done again if nothing new is
        asked for."""
        if desk.job is not None:
            yield self.view(desk, error="Something is being painted already. Wait for it, or press Stop.")
            return
        seeds = [settings.seed]
        if again:
            empty = not (task.mask.any() if isinstance(task, Erasing) else any(task.sides.values()))
            parent = desk.steps.get(base.parent or 0)
            done = base.task
            if empty and done is not None and parent is not None:
                seeds = [base.seed + 1 + i for i in range(VARIATIONS)]
                base, task = parent, done
            else:
                seeds = [settings.seed + i for i in range(VARIATIONS)]
        try:
            task.check()
            desk.drop_variations()
            for i, seed in enumerate(seeds):
                words = f"Variation {i + 1} of {len(seeds)}" if again else ""
                chosen = replace(settings, seed=seed % MOST_SEED)
                async with contextlib.aclosing(self._paint(desk, base, task, chosen, words, again)) as views:
                    async for view in views:
                        yield view
        except (EraserError, OSError) as error:
            if isinstance(error, Cancelled):
                yield self.view(desk, text="Stopped. Nothing was changed.")
            elif self.line.closed:
                yield self.view(desk, error="The server is stopping. When it runs again, reload this page.")
            else:
                yield self.view(desk, error=_say(error, (str(desk.folder), "")))
            return
        if again:
            yield self.view(desk, text="Choose the one you like best.")

    async def _paint(
        self, desk: Desk, base: Step, task: Task, settings: Settings, words: str, as_variation: bool
    ) -> AsyncGenerator[View, None]:
        target = task.target(base.size)

        def work(job: Job) -> Generator[Progress, None, tuple[Step, str]]:
            start = time.monotonic()
            yield Progress(0.0, "reading the photo")
            session = Eraser(settings.engine)
            photo = yield from task.steps(session, desk.photo(base), settings)
            return desk.result(photo, base, task, settings.seed, time.monotonic() - start), session.info.name

        desk.job = job = self.line.job(work)
        try:
            async with contextlib.aclosing(self.line.follow(job)) as all_news:
                async for news in all_news:
                    desk.last_used = time.time()
                    yield self.view(desk, busy=await asyncio.to_thread(_busy, news, target, words))
        finally:
            desk.job = None
        step, engine = job.result
        if as_variation:
            desk.variations.append(step)
            yield self.view(desk, busy={"text": words, "fraction": 1.0})
        else:
            desk.add(step)
            text = f"{task.label} in {step.seconds:.1f} s on the processor, engine {engine}, seed {step.seed}."
            yield self.view(desk, text=text, painted=True)

    # -- the API

    async def answer(
        self,
        path: str | None,
        make: Callable[[Eraser, files.Photo], Generator[Progress, None, files.Photo]],
        *,
        engine: str,
        ending: str,
        tell: Callable[[float, str], None],
    ) -> str:
        """One call of the API: the path of the result. Raises EraserError."""
        if not path:
            raise InputError("there is no photo", hint="send one as image")
        source = Path(path)
        name = clean_name(source.name)
        folder = self.desk(f"call {secrets.token_hex(16)}").folder  # swept like those of tabs

        def work(job: Job) -> Generator[Progress, None, str]:
            facts = files.probe(source)
            if facts.megapixels > self.limits.megapixels:
                raise OutOfRange(
                    f"{name} has {facts.megapixels:.0f} megapixels, the limit is {self.limits.megapixels:g}"
                )
            photo = files.read(source)
            suffix = Path(name).suffix
            if suffix.lower() not in files.FORMATS:
                suffix = ".png"
            result = yield from make(Eraser(engine), photo)
            out = folder / f"{Path(name).stem}-{ending}{suffix}"
            files.write(result, out)
            return str(out)

        job = self.line.job(work)
        async with contextlib.aclosing(self.line.follow(job)) as all_news:
            async for news in all_news:
                tell(news.fraction, f"{news.ahead} ahead in the queue" if news.ahead else news.note)
        answer: str = job.result
        return answer

    # -- what the page shows

    def view(
        self,
        desk: Desk,
        *,
        text: str = "",
        error: str = "",
        busy: View | None = None,
        download: View | None = None,
        opened: bool = False,
        painted: bool = False,
    ) -> View:
        """Everything that the page draws, as JSON."""
        step = desk.step
        view: View = {
            "serial": time.monotonic_ns(),
            "text": text,
            "error": error,
            "busy": busy,
            "download": download,
            "opened": opened,
            "painted": painted,
            "photo": None,
            "steps": [_thumb(each) for each in sorted(desk.steps.values(), key=lambda each: each.number)],
            "variations": [_thumb(each) for each in desk.variations],
            "current": desk.current,
        }
        if step is not None:
            parent = desk.steps.get(step.parent or 0)
            copy = screen.screen_size(step.size)
            view["photo"] = {
                "url": url(step.copy),
                "before": url(parent.copy) if parent is not None and parent.size == step.size else "",
                "width": step.size.width,
                "height": step.size.height,
                "copyWidth": copy.width,
                "copyHeight": copy.height,
                "name": desk.name,
                "facts": desk.facts,
            }
        return view


def url(path: Path) -> str:
    return f"{FILES}{path.as_posix()}"


def _thumb(step: Step) -> View:
    label = step.label if not step.seconds else f"{step.label}, seed {step.seed}, {step.seconds:.1f} s"
    return {"number": step.number, "label": label, "title": step.label, "thumb": url(step.thumb), "url": url(step.copy)}


def _busy(news: News, target: dict[str, float], words: str) -> View:
    text = news.note or "starting"
    if news.ahead:
        text = f"waiting, {news.ahead} {'job comes' if news.ahead == 1 else 'jobs come'} first"
    busy: View = {
        "text": f"{words}: {text}" if words else f"{text[:1].upper()}{text[1:]}",
        "fraction": news.fraction,
        "ahead": news.ahead,
    }
    if news.preview is not None:
        values, box = news.preview
        whole = Size(int(target["width"]), int(target["height"])).box
        box = box or whole
        busy["preview"] = {
            "url": screen.preview_url(values),
            # in shares of the whole result
            "x": box.x / whole.width, "y": box.y / whole.height,
            "width": box.width / whole.width, "height": box.height / whole.height,
        }  # fmt: skip
    return busy


def _say(error: Exception, *hidden: tuple[str, str]) -> str:
    if isinstance(error, TooBusy):
        return "Many people are waiting just now. Try again in a minute."
    if isinstance(error, EraserError):
        return sentence(error, *hidden)
    traceback.print_exception(error)
    return "The server's disk would not take it. Try again later."


def engine_choices(infos: Iterable[eraser.EngineInfo]) -> list[tuple[str, str]]:
    return [("choose for me", "auto"), *((f"{info.name}: {info.summary}", info.name) for info in infos)]
