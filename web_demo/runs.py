"""Work that a desk asked for: it goes on without a listener, for a while, and remembers how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eraser.engines.base import Progress
from eraser.errors import Cancelled, InputError, ServiceError
from eraser.fillings import MOST_SEED
from eraser.geometry import Box
from eraser.serve.jobs import Job
from eraser.session import Eraser
from web_demo.desk import Desk, Step
from web_demo.tasks import Settings, Task
from web_demo.work import Line, News

VARIATIONS = 4
PATIENCE = 15.0  # seconds that work goes on while nobody hears of it: a phone may sleep, a train pass a tunnel


# How something ended, as the page is told: "text" or "error" in words for people; "painted": what was marked is done
End = dict[str, Any]

STOPPED: End = {"text": "Stopped. Nothing was changed."}
LOST: End = {"error": "The connection was lost for a while, so the work was stopped. Nothing was changed: try again."}


@dataclass(slots=True)
class Tab:
    """One open page: its desk, and what it asked for. `lock` is held while its pictures are replaced or written."""

    desk: Desk
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_used: float = field(default_factory=time.time)
    gone: bool = False  # its connection ended
    until: float = 0.0  # when that is for good
    run: Run | None = None
    ends: dict[str, End] = field(default_factory=dict)  # by ticket, the newest few
    stopped: deque[str] = field(default_factory=lambda: deque(maxlen=16))  # tickets; some may still be on their way

    def hear(self) -> None:
        """The page has asked for something."""
        self.last_used, self.gone = time.time(), False

    def leave(self, patience: float | None = None) -> None:
        """The page's connection ended; it may come again, within these seconds."""
        if not self.gone:
            self.gone, self.until = True, time.monotonic() + (PATIENCE if patience is None else patience)

    def end(self, ticket: str, end: End) -> None:
        self.ends[ticket] = end
        while len(self.ends) > 8:
            del self.ends[next(iter(self.ends))]


class Run:
    """One press of Erase or Extend. Started by `start`; `news` is what the engine's job tells, None before and after.

    ticket: the page's name for it
    """

    def __init__(self, tab: Tab, line: Line, ticket: str, explain: Callable[[BaseException], str]) -> None:
        self.ticket = ticket
        self.words = ""
        self.news = News(0, 0.0, "")
        self.preview: tuple[np.ndarray, Box | None] | None = None  # the newest
        self.whole = Box(0, 0, 1, 1)  # of the result, in the photograph's pixels
        self.done = False
        self._tab = tab
        self._line = line
        self._explain = explain
        self._changed = asyncio.Event()
        self._job: Job | None = None
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Callable[[Run], Coroutine[Any, Any, End]]) -> None:
        """However `work(self)` ends, the run is over then."""
        self._tab.run = self
        self._task = asyncio.create_task(self._work(work))

    async def _work(self, work: Callable[[Run], Coroutine[Any, Any, End]]) -> None:
        end = STOPPED
        try:
            end = await work(self)
        except Cancelled:
            end = LOST if self._lost else STOPPED
        except Exception as error:  # whatever it was: a page must not wait for ever
            end = {"error": self._explain(error)}
        finally:
            self._tab.end(self.ticket, end)
            self._tab.run = None
            self._tab.last_used = time.time()
            self.done = True
            self._tell()

    def stop(self) -> None:
        """End within a step. In the event loop."""
        self._tab.stopped.append(self.ticket)
        if self._job is not None:
            self._line.stop(self._job)

    async def paint(self, base: Step, task: Task, settings: Settings, words: str) -> tuple[Step, str, str]:
        """The step that an engine makes of another one, that engine's name and where it ran. Raises EraserError."""
        desk = self._tab.desk

        def work(job: Job) -> Generator[Progress, None, tuple[Step, str, str]]:
            start = time.monotonic()
            yield Progress(0.0, "reading the photo")
            session = Eraser(settings.engine)
            photo = yield from task.steps(session, desk.photo(base), settings)
            step = desk.result(photo, base, task, settings.seed, time.monotonic() - start)
            return step, session.info.name.partition(":")[0], session.device

        self.words, self.news, self.preview, self.whole = words, News(0, 0.0, ""), None, task.whole(base.size)
        if self.ticket in self._tab.stopped:  # pressed before the work reached the server
            raise Cancelled("cancelled")
        self._job = job = self._line.job(work)
        try:
            async with contextlib.aclosing(self._line.follow(job)) as all_news:
                async for news in all_news:
                    self._tab.last_used = time.time()
                    self.news, self.preview = news, news.preview or self.preview
                    self._tell()
                    self._leave_if_nobody_listens(job)
        finally:
            self._job = None
        made: tuple[Step, str, str] = job.result
        return made

    def _leave_if_nobody_listens(self, job: Job) -> None:
        if self._tab.gone and time.monotonic() > self._tab.until:
            self._lost = True
            self._line.stop(job)

    def _tell(self) -> None:
        old, self._changed = self._changed, asyncio.Event()
        old.set()

    async def changes(self) -> AsyncGenerator[None, None]:
        """Once now, and whenever there is news, until it is done."""
        try:
            while not self.done:
                changed = self._changed
                yield
                await changed.wait()
        finally:
            if not self.done:
                self._tab.leave()


async def once(run: Run, tab: Tab, base: Step, task: Task, settings: Settings) -> End:
    step, engine, device = await run.paint(base, task, settings, "")
    tab.desk.add(step)
    where = "processor" if device == "CPU" else device
    text = f"{task.label} in {step.seconds:.1f} s on the {where}, engine {engine}, seed {step.seed}."
    return {"text": text, "painted": True}


async def variations(run: Run, tab: Tab, base: Step, task: Task, settings: Settings, first: int) -> End:
    """Several, with seeds from `first` on."""
    for i in range(VARIATIONS):
        seed = (first + i) % (MOST_SEED + 1)
        made = await run.paint(base, task, replace(settings, seed=seed), f"Variation {i + 1} of {VARIATIONS}")
        tab.desk.variations.append(made[0])
    return {"text": "Choose the one you like best."}


def start(
    tab: Tab, task: Task, settings: Settings, make: Callable[[], Run], *, again: bool, most_megapixels: float
) -> Run:
    """Begin to paint. again: several variations, and if nothing new is asked for, of what was done last.

    Raises EraserError, and then nothing has begun. In the event loop.
    """
    desk, base = tab.desk, tab.desk.step
    if base is None:
        raise InputError("there is no photo yet", hint="choose one, drop it here or paste it")
    if tab.run is not None:
        raise ServiceError("something is being painted already", hint="wait for it, or press Stop")
    if tab.lock.locked():
        raise ServiceError("the photo is still being opened or saved", hint="try again when that is done")
    first = settings.seed
    parent, done = desk.steps.get(base.parent or 0), base.task
    if again and task.is_empty and done is not None and parent is not None:
        base, task, first = parent, done, base.seed + 1
    task.check(base.size, most_megapixels)
    desk.drop_variations()
    run = make()
    if again:
        run.start(lambda run: variations(run, tab, base, task, settings, first))
    else:
        run.start(lambda run: once(run, tab, base, task, settings))
    return run
