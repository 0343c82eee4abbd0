"""Jobs in one line: threads work on them, by itself one, and the event loop hears how far they are."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from eraser.engines.base import Progress
from eraser.errors import Cancelled, EraserError, OutOfMemory, ServiceError, TimeLimit, TooBusy

Steps = Generator[Progress, None, Any]


class Job:
    """Work that was asked for. `work(job)` is a generator of Progress that returns the result.

    Made in the event loop's thread; `changed` is set there whenever there is something new to tell.
    """

    def __init__(self, work: Callable[[Job], Steps], *, most_seconds: float, wants_previews: bool = False) -> None:
        self.changed = asyncio.Event()
        self.done = False
        self.result: Any = None
        self.error: EraserError | None = None
        self.step: Progress | None = None
        self.preview: Any = None
        self.warnings: list[str] = []
        self.seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._work: Callable[[Job], Steps] | None = work
        self._most_seconds = most_seconds
        self._wants_previews = wants_previews
        self._stop = threading.Event()
        self._why: EraserError | None = None
        self._next_preview = 0.0

    def cancel(self, why: EraserError | None = None) -> None:
        """Stop at the next step. From any thread, and at any time."""
        self._why = self._why or why or Cancelled("cancelled", hint="nothing was changed")
        self._stop.set()

    def run(self) -> None:
        """In the working thread: to the end, however it ends."""
        start = time.monotonic()
        try:
            self.result = self._drive(start)
        except EraserError as error:
            self.error = error
        except MemoryError:
            self.error = OutOfMemory("memory ran out while painting", hint="close other programs, or select less")
        except Exception as error:  # a defect must not end the process, which others use too
            traceback.print_exc()
            self.error = ServiceError(
                f"the engine failed with {type(error).__name__}: {error}", hint="this is a defect, please report it"
            )
        if self.error is not None:
            self.error.__traceback__ = None  # it holds the frames, and they the pictures
            self.error.__cause__ = self.error.__context__ = None
        self.seconds = time.monotonic() - start
        self._work = None
        self.step = None
        self.done = True
        self._tell()

    def _drive(self, start: float) -> Any:
        assert self._work is not None
        self._check(start)
        steps = self._work(self)
        try:
            while True:
                progress = next(steps)
                self._check(start)
                self._look(progress)
                self.step = Progress(progress.fraction, progress.note, None, progress.box)
                self._tell()
        except StopIteration as finished:
            return finished.value
        finally:
            steps.close()

    def _check(self, start: float) -> None:
        if self._stop.is_set():
            assert self._why is not None
            raise self._why
        if time.monotonic() - start > self._most_seconds:
            raise TimeLimit(
                f"the work took longer than the {self._most_seconds:.0f} s that are allowed",
                hint="select less, or start the engine with a larger --most-seconds",
            )

    def _look(self, progress: Progress) -> None:
        if not self._wants_previews or progress.preview is None or time.monotonic() < self._next_preview:
            return
        start = time.monotonic()
        try:
            self.preview = (progress.preview(), progress.box)
        except (Cancelled, ServiceError):
            raise
        except Exception:  # a look is not worth the work, which goes on without being seen
            traceback.print_exc()
            self._wants_previews = False
        # previews may take a twentieth of the time
        self._next_preview = time.monotonic() + max(0.3, 20 * (time.monotonic() - start))

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self.changed.set)


class Worker:
    """Threads, by itself one, that work on jobs in the order in which they came."""

    def __init__(self, prepare: Callable[[], None], *, most_waiting: int, at_once: int = 1) -> None:
        """prepare: called in a thread before the first job, as loading an engine takes a while."""
        self._most_waiting = most_waiting
        self._prepare: Callable[[], None] | None = prepare
        self._preparing = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._closed = False
        self._ready = threading.Condition()
        self._last_used = time.monotonic()
        self._threads = [threading.Thread(target=self._work, name="engine", daemon=True) for _ in range(at_once)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Job:
        """Raises TooBusy."""
        with self._ready:
            if self._closed:
                raise TooBusy("the engine is stopping", hint="try again; the next call starts it afresh")
            if len(self._waiting) >= self._most_waiting:
                raise TooBusy(f"{len(self._waiting)} jobs wait already", hint="try again when some are done")
            self._waiting.append(job)
            self._ready.notify()
        return job

    def cancel(self, job: Job, why: EraserError | None = None) -> None:
        """Take it out of the queue, or stop it at its next step. Nothing happens to one that is done."""
        job.cancel(why)
        with self._ready:
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
        if waits:
            job.run()  # says that it is cancelled, without starting

    def before(self, job: Job) -> int:
        """How many jobs must end before its turn comes."""
        with self._ready:
            if job not in self._waiting:
                return 0
            return max(0, self._waiting.index(job) + 1 + len(self._running) - len(self._threads))

    @property
    def counts(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        with self._ready:
            return len(self._running), len(self._waiting)

    def touch(self) -> None:
        self._last_used = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Since the last job or call; 0 while there is work."""
        return 0.0 if any(self.counts) else time.monotonic() - self._last_used

    def close(self) -> None:
        """Cancel everything and take no more."""
        with self._ready:
            self._closed = True
            jobs = [*self._waiting, *self._running]
            self._ready.notify_all()
        for job in jobs:
            self.cancel(job, TooBusy("the engine was told to stop", hint="try again; the next call starts it afresh"))

    def join(self, timeout: float) -> bool:
        """Wait for the threads, `timeout` seconds in all. Whether they have ended."""
        latest = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, latest - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        with self._preparing:  # the others wait for the first one
            prepare, self._prepare = self._prepare, None
            if prepare is not None:
                try:
                    prepare()
                except Exception:  # each job then says why
                    traceback.print_exc()
        while (job := self._next()) is not None:
            job.run()
            with self._ready:
                self._running.remove(job)
                self.touch()
            del job

    def _next(self) -> Job | None:
        """The job whose turn it is, waited for; None when the worker is closed."""
        with self._ready:
            self.touch()
            while not self._waiting and not self._closed:
                self._ready.wait()
            if self._closed:
                return None
            job = self._waiting.popleft()
            self._running.append(job)
            return job
