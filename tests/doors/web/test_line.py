"""The line in which everybody's work waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Any

import pytest

from eraser.engines.base import Progress
from eraser.serve.jobs import Job
from tests.doors.web.studios import last

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo.work import Line


@pytest.mark.parametrize("at_once", [1, 2])
def test_as_many_jobs_run_at_once_as_the_option_says(at_once: int) -> None:
    line = Line(at_once=at_once, most_waiting=2, prepare=lambda: None)
    line.start()

    def work(job: Job) -> Generator[Progress, None, str]:
        while True:
            yield Progress(0.5, "at it")
            time.sleep(0.01)

    async def act() -> list[int]:
        views = [line.follow(line.job(work)) for _ in range(2)]
        first = [await anext(view) for view in views]
        for view in views:
            await view.aclose()
        return [news.ahead for news in first]

    ahead = asyncio.run(act())
    assert ahead == ([0, 1] if at_once == 1 else [0, 0])
    line.close()
    assert line.counts == (0, 0)


def test_a_short_job_does_not_wait_behind_a_long_one_while_an_engine_is_idle() -> None:
    line = Line(at_once=2, most_waiting=9, prepare=lambda: None)
    line.start()

    def lasting(seconds: float) -> Any:
        def work(job: Job) -> Generator[Progress, None, str]:
            start = time.monotonic()
            while time.monotonic() - start < seconds:
                yield Progress(0.5, "at it")
                time.sleep(0.01)
            return "done"

        return work

    async def act() -> None:
        long = line.follow(line.job(lasting(60)))
        await anext(long)
        for _ in range(3):  # whichever engine they were given to, one of them is busy for a minute
            jobs = [line.job(lasting(0.02)) for _ in range(3)]
            await asyncio.wait_for(asyncio.gather(*(last(line.follow(job)) for job in jobs)), 30)
        await long.aclose()

    asyncio.run(act())
    line.close()
