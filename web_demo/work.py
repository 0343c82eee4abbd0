"""Work for the page: jobs wait in line for an engine, and whoever asked hears how far they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from eraser.errors import EraserError
from eraser.geometry import Box
from eraser.serve.jobs import Job, Steps, Worker

LEAST_SECONDS = 0.15  # between two words about one job
MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class News:
    """How far a job is. ahead: jobs that come first, 0 once it is its turn."""

    ahead: int
    fraction: float
    note: str
    preview: tuple[Any, Box | None] | None = None


class Line:
    """Engines at work, each on one job at a time; a new job goes where the fewest wait."""

    def __init__(self, *, at_once: int, most_waiting: int, prepare: Callable[[], None]) -> None:
        self.closed = False
        self._workers = [Worker(prepare, most_waiting=most_waiting) for _ in range(at_once)]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def close(self) -> None:
        self.closed = True
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.join(10)

    @property
    def counts(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        pairs = [worker.counts for worker in self._workers]
        return sum(running for running, _ in pairs), sum(waiting for _, waiting in pairs)

    def job(self, work: Callable[[Job], Steps]) -> Job:
        """To be called in the event loop."""
        return Job(work, most_seconds=MOST_SECONDS, wants_previews=True)

    async def follow(self, job: Job) -> AsyncGenerator[News, None]:
        """Put the job in line and tell how far it is until it is done; stop listening, and it is cancelled.

        Raises TooBusy, and what the job ended with.
        """
        worker = min(self._workers, key=lambda each: sum(each.counts))
        try:
            worker.submit(job)
            while not job.done:
                job.changed.clear()
                step, preview, job.preview = job.step, job.preview, None
                fraction, note = (step.fraction, step.note) if step else (0.0, "")
                yield News(worker.before(job), fraction, note, preview)
                await _until_news(job)
        finally:
            worker.cancel(job)
        if job.error is not None:
            raise job.error

    def stop(self, job: Job) -> None:
        """From any thread; whoever follows the job hears Cancelled."""
        for worker in self._workers:
            worker.cancel(job)


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


def sentence(error: EraserError, *secrets: tuple[str, str]) -> str:
    """What happened and what to do, for people: the server's paths are replaced by names."""
    message, hint = error.message, error.hint
    for secret, name in secrets:
        message, hint = message.replace(secret, name), hint.replace(secret, name)
    # a file's name stays as it is
    named = any(name and message.startswith(name) for _, name in secrets)
    text = f"{message}." if named else f"{message[:1].upper()}{message[1:]}."
    return f"{text} {hint[:1].upper()}{hint[1:]}." if hint else text
