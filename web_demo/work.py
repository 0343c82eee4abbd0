"""Work for the page: jobs wait in line for an engine, and whoever asked hears how far they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from eraser.geometry import Box
from eraser.serve.jobs import Job, Steps, Worker

LEAST_SECONDS = 0.15  # between two words about one job
MOST_SECONDS = 3600.0
PATIENCE = 1.5  # seconds that a step may take to its end when the server stops; no thread can be stopped within one


@dataclass(frozen=True, slots=True)
class News:
    """How far a job is. ahead: jobs that come first, 0 once it is its turn."""

    ahead: int
    fraction: float
    note: str
    preview: tuple[Any, Box | None] | None = None


class Line:
    """Engines at work, `at_once` jobs at a time, in the order in which they came."""

    def __init__(self, *, at_once: int, most_waiting: int, prepare: Callable[[], None]) -> None:
        self.closed = False
        self._worker = Worker(prepare, most_waiting=most_waiting, at_once=at_once)

    def start(self) -> None:
        self._worker.start()

    def close(self) -> bool:
        """Cancel everything. Whether nothing is at work any more."""
        self.closed = True
        self._worker.close()
        return self._worker.join(PATIENCE)

    @property
    def counts(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        return self._worker.counts

    def job(self, work: Callable[[Job], Steps]) -> Job:
        """To be called in the event loop."""
        return Job(work, most_seconds=MOST_SECONDS, wants_previews=True)

    async def follow(self, job: Job) -> AsyncGenerator[News, None]:
        """Put the job in line and tell how far it is until it is done; stop listening, and it is cancelled.

        Raises TooBusy, and what the job ended with.
        """
        try:
            self._worker.submit(job)
            while not job.done:
                job.changed.clear()
                step, preview, job.preview = job.step, job.preview, None
                fraction, note = (step.fraction, step.note) if step else (0.0, "")
                yield News(self._worker.before(job), fraction, note, preview)
                await _until_news(job)
        finally:
            self._worker.cancel(job)
        if job.error is not None:
            raise job.error

    def stop(self, job: Job) -> None:
        """From any thread; whoever follows the job hears Cancelled."""
        self._worker.cancel(job)


async def _until_news(job: Job) -> None:
    """Until the job is done, or made a step (not sooner than people can read), or its place may be another."""
    soonest = time.monotonic() + LEAST_SECONDS
    heard = False
    while not job.done:
        job.changed.clear()
        rest = soonest + (0 if heard else 0.5) - time.monotonic()
        if rest <= 0:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(job.changed.wait(), rest)
            heard = True
