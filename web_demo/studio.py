"""What happens on the server when somebody does something on the page."""

from __future__ import annotations

import contextlib
import itertools
import logging
import secrets
import threading
import time
from asyncio import sleep, to_thread
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from eraser.engines import registry
from eraser.errors import EraserError, InputError
from eraser.geometry import Box
from eraser.session import Eraser
from web_demo import screen
from web_demo.desk import Desk, Step, clean_name
from web_demo.folders import Folders
from web_demo.runs import Run, Tab, start
from web_demo.tasks import Erasing, Settings, Task, extending
from web_demo.views import View, busy_view, desk_view, picture_url, preview_view
from web_demo.words import explain
from web_demo.work import Line

log = logging.getLogger(__name__)
LOADING = 4.0  # seconds that a page may need to load anew
FAREWELL = 3.0  # seconds at most that the server stays to tell everybody that it stops
FIRST_PAGE = 3.0  # seconds from the start that the first page has the processor to itself, if somebody asks for it


@dataclass(frozen=True, slots=True)
class Limits:
    megabytes: float = 200  # of an upload
    megapixels: float = 100  # of a photograph, and of what extending makes
    at_once: int = 1  # engine jobs at a time
    waiting: int = 16  # jobs in line
    keep_minutes: float = 60  # pictures that nobody touches
    gigabytes: float = 20  # of everybody's pictures on the disk; one person has a quarter of it


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
    """Everybody's desks, and the line in which their work waits. Its coroutines belong to one event loop."""

    def __init__(self, limits: Limits | None = None, *, engine: str = "auto", folders: Folders | None = None) -> None:
        self.limits = limits or Limits()
        self.engine = engine
        self.folders = folders or Folders(
            keep_seconds=self.limits.keep_minutes * 60, most_bytes=self.limits.gigabytes * 1e9
        )
        self.tabs: dict[str, Tab] = {}
        self.server = secrets.token_urlsafe(8)  # a page tells by it that the server is another one
        self.line = Line(at_once=self.limits.at_once, most_waiting=self.limits.waiting, prepare=self._warm_up)
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        self._by_key: dict[str, Tab] = {}
        self._needed = threading.Event()
        self._listeners = 0

    def start(self) -> None:
        self.line.start()
        self.folders.keep_swept(self.sweep)

    def stop_working(self) -> bool:
        """Whether nothing is at work any more."""
        self._needed.set()
        return self.line.close()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While somebody is being told how work goes. In the event loop."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1

    def say_goodbye(self) -> None:
        """Stop working, and let everybody hear it. Not in the event loop, which does the telling."""
        latest = time.monotonic() + FAREWELL
        if self.stop_working():  # else who listens hears nothing before a step ends, which may last
            while self._listeners and time.monotonic() < latest:
                time.sleep(0.02)

    def close(self) -> None:
        if not self.line.closed:
            self.stop_working()
        self.folders.close()

    def _warm_up(self) -> None:
        """Load and compile before the first person waits for it, but not while the first page is being made."""
        self._needed.wait(FIRST_PAGE)
        if not self.line.closed:
            Eraser(self.engine).erase(np.zeros((32, 32, 3), np.uint8), Box(12, 12, 6, 6))

    def engine_of(self, name: Any) -> str:
        """The engine that somebody chose, this page's own where they did not. Raises UnknownEngine."""
        return registry.from_others(str(name), self.engine) if name else self.engine

    def need_engine(self) -> None:
        """Somebody will soon press a button."""
        self._needed.set()

    # -- tabs

    def tab(self, session: str | None, key: Any = None) -> Tab:
        """Of this browser tab. key: the secret name of the desk it had before it was loaded anew. Raises InputError
        where the caller has none and cannot have one."""
        if not session:
            raise InputError("this page has no session", hint="reload it")
        with self._lock:
            known = self._by_key.get(key) if isinstance(key, str) else None
            if known is not None:
                self.tabs[session] = known
            elif session not in self.tabs:
                folder = self.folders.new_desk()
                desk = Desk(folder, room=self.folders.check_room, most_bytes=self.limits.gigabytes * 0.25e9)
                self.tabs[session] = self._by_key[folder.name] = Tab(desk)
            tab = self.tabs[session]
        tab.hear()
        return tab

    def left(self, session: str | None) -> None:
        """A tab was closed, or lost its connection: its work stops unless it is heard of again; its pictures stay until
        they are too old."""
        tab = self.tabs.get(session or "")
        if tab is not None:
            tab.leave()

    def sweep(self, now: float | None = None) -> None:
        """Remove the desks that nobody has used for too long."""
        oldest = (time.time() if now is None else now) - self.folders.keep_seconds
        with self._lock:
            removed = [
                tab
                for tab in self._by_key.values()
                if tab.last_used < oldest and tab.run is None and not tab.lock.locked()
            ]
            for tab in removed:
                del self._by_key[tab.desk.folder.name]
            self.tabs = {name: tab for name, tab in self.tabs.items() if tab.desk.folder.name in self._by_key}
        for tab in removed:
            tab.desk.remove()

    # -- what people do

    async def open(self, session: str | None, told: View) -> View:
        """A photograph that the browser has sent."""
        tab = self.tab(session, told.get("key"))
        sent = Path(str(told.get("path")))
        if not self.folders.is_upload(sent):
            return self._answer(tab, told, error="The photo did not arrive. Please choose it again.")
        view = await self._open(tab, told, sent, clean_name(str(told.get("name"))))
        with contextlib.suppress(OSError):
            sent.unlink()
        return view

    async def example(self, session: str | None, told: View) -> View:
        tab, number = self.tab(session, told.get("key")), told.get("number")
        example = EXAMPLES[number if isinstance(number, int) and 0 <= number < len(EXAMPLES) else 0]
        with resources.as_file(resources.files("eraser") / "data" / example.file) as path:
            return await self._open(tab, told, path, example.file)

    async def _open(self, tab: Tab, told: View, path: Path, name: str) -> View:
        self.need_engine()
        async with tab.lock:
            while tab.run is not None:  # at most a step; what it makes must not land among the new photograph's
                tab.run.stop()
                await sleep(0.02)
            try:
                await to_thread(tab.desk.open, path, name, most_megapixels=self.limits.megapixels)
            except Exception as error:
                return self._answer(tab, told, error=self.explain(error, (str(path), name), (path.name, name)))
            return self._answer(tab, told, text="Paint over what is to vanish.", opened=True)

    async def go_to(self, session: str | None, told: View) -> View:
        """Back, or forth, to a step."""
        tab, number = self.tab(session, told.get("key")), told.get("number")
        if not isinstance(number, int) or number not in tab.desk.steps:
            return self._answer(tab, told, error="That step is no longer here.")
        tab.desk.current = number
        return self._answer(tab, told)

    async def take(self, session: str | None, told: View) -> View:
        """Go on from a variation."""
        tab, number = self.tab(session, told.get("key")), told.get("number")
        if isinstance(number, int):
            tab.desk.take(number)
        return self._answer(tab, told)

    async def download(self, session: str | None, told: View) -> View:
        tab, number = self.tab(session, told.get("key")), told.get("number")
        async with tab.lock:
            if not isinstance(number, int) or number not in tab.desk.steps:
                return self._answer(tab, told, error="That step is no longer here.")
            try:
                path, losses = await to_thread(tab.desk.download, number)
                size = path.stat().st_size
            except Exception as error:
                return self._answer(tab, told, error=self.explain(error))
        text = f"{path.name}, {size / 1e6:.1f} MB" + "".join(f". Note: {loss}" for loss in losses)
        return self._answer(tab, told, text=text, download={"url": picture_url(path), "name": path.name})

    def erase(self, session: str | None, told: View, choose: Callable[[], Settings]) -> AsyncGenerator[View, None]:
        def task_of(step: Step) -> Task:
            return Erasing(screen.read_mask(told.get("mask"), screen.screen_size(step.size)))

        return self._ask(session, told, choose, task_of)

    def extend(self, session: str | None, told: View, choose: Callable[[], Settings]) -> AsyncGenerator[View, None]:
        def task_of(step: Step) -> Task:
            return extending(step.size, aspect=told.get("aspect"), sides=told.get("sides"))

        return self._ask(session, told, choose, task_of)

    async def _ask(
        self,
        session: str | None,
        told: View,
        choose: Callable[[], Settings],
        task_of: Callable[[Step], Task],
    ) -> AsyncGenerator[View, None]:
        """Views until the work is done. Who stops listening does not stop the work at once."""
        self.need_engine()
        tab = self.tab(session, told.get("key"))
        ticket = ticket_of(told) or secrets.token_hex(8)
        try:
            step = tab.desk.step
            if step is None:
                raise InputError("there is no photo yet", hint="choose one, drop it here or paste it")
            run = start(
                tab, task_of(step), choose(), lambda: Run(tab, self.line, ticket, self.explain),
                again=bool(told.get("variations")), most_megapixels=self.limits.megapixels,
            )  # fmt: skip
        except Exception as error:
            yield self._answer(tab, told, error=self.explain(error))
            return
        async with contextlib.aclosing(run.changes()) as changes:
            async for _ in changes:
                yield await self.view_of_work(tab)
        yield await self.view_of_work(tab, ticket)

    # -- what the page asks for beside that, by its desk's secret name

    async def look(self, key: str, ticket: str) -> View | None:
        """How things stand; None for a desk that is no longer here. ticket: of what the page waits for."""
        tab = self._by_key.get(key)
        if tab is None:
            return None
        tab.hear()
        return await self.view_of_work(tab, ticket)

    async def part(self, key: str, number: str, box: str) -> tuple[bytes, str] | None:
        """A part of a step as it is in the file, as an image file, and its ending; None where there is no such thing.

        box: x, y, width, height in the step's pixels
        """
        tab = self._by_key.get(key)
        if tab is None:
            return None
        try:
            x, y, width, height = (int(each) for each in box.split(","))
            return await to_thread(tab.desk.part, int(number), Box(x, y, width, height))
        except (EraserError, ValueError, OSError):  # nonsense, or it is just being replaced
            return None

    async def stop(self, key: str, ticket: str) -> None:
        """End the work with this ticket, also if it has not come yet."""
        tab = self._by_key.get(key)
        if tab is not None:
            tab.hear()
            tab.stopped.append(ticket)
            if tab.run is not None and tab.run.ticket == ticket:
                tab.run.stop()

    async def leave(self, key: str) -> None:
        """The page is closed, or loaded anew: then it is heard of at once."""
        tab = self._by_key.get(key)
        if tab is not None:
            tab.leave(LOADING)

    # -- what the page shows

    async def view_of_work(self, tab: Tab, ticket: str = "") -> View:
        """With what is being done, or how what has this ticket ended."""
        run = tab.run
        if run is not None:
            preview = await preview_view(run)
            if not run.done:
                view = self.view(tab)
                view["busy"]["preview"] = preview
                return view
        end = tab.ends.get(ticket)
        return self.view(tab) if end is None else self.view(tab, answers=ticket, **end)

    def _answer(self, tab: Tab, told: View, **facts: Any) -> View:
        """To something that the page asked; kept in case that it gets lost."""
        if ticket_of(told):
            tab.end(ticket_of(told), {name: value for name, value in facts.items() if name != "download"})
        return self.view(tab, answers=ticket_of(told), **facts)

    def view(self, tab: Tab, **facts: Any) -> View:
        """Everything that the page draws. Each view is newer than those before it."""
        told: View = {"text": "", "error": "", "download": None, "opened": False, "painted": False, "answers": ""}
        told |= {"serial": next(self._serial), "server": self.server, "working": tab.lock.locked()}
        told |= {"busy": busy_view(tab.run) if tab.run is not None else None}
        return told | facts | desk_view(tab.desk)

    def explain(self, error: BaseException, *names: tuple[str, str]) -> str:
        if self.line.closed and isinstance(error, EraserError):
            return "The server is stopping. When it runs again, reload this page."
        return explain(error, self.folders.root, *names)


def ticket_of(told: View) -> str:
    """The page's name for what it asks."""
    return str(told.get("ticket") or "")[:64]
