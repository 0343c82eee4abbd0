"""Jobs and the thread that works on them."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from eraser.engines.base import Progress
from eraser.errors import Cancelled, OutOfMemory, ServiceError, TimeLimit, TooBusy
from eraser.serve.jobs import Job, Steps, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(lambda: None, most_waiting=3)
    worker.start()
    yield worker
    worker.close()
    worker.join(30)


async def finish(job: Job) -> Job:
    while not job.done:
        await asyncio.wait_for(job.changed.wait(), 30)
        job.changed.clear()
    return job


def counting(steps: int, seconds: float = 0.0) -> Any:
    def work(job: Job) -> Steps:
        for step in range(steps):
            yield Progress(step / steps, f"step {step}")
            time.sleep(seconds)
        return steps

    return work


def test_jobs_are_done_in_the_order_in_which_they_came(worker: Worker) -> None:
    async def run() -> list[Any]:
        order: list[int] = []

        def noting(number: int) -> Any:
            def work(job: Job) -> Steps:
                order.append(number)
                yield Progress(0, "")
                return number

            return work

        jobs = [worker.submit(Job(noting(number), most_seconds=60)) for number in range(3)]
        results = [(await finish(job)).result for job in jobs]
        assert order == results
        return results

    assert asyncio.run(run()) == [0, 1, 2]


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_that_is_over_keeps_nothing(worker: Worker, fails: bool) -> None:
    async def run() -> None:
        held = np.zeros(1000)
        gone = weakref.ref(held)
        entered = threading.Event()

        def work(job: Job, picture: np.ndarray = held) -> Steps:
            own = picture
            entered.set()
            for _ in range(1000):
                yield Progress(0, "", lambda: own)
                time.sleep(0.01)
                if fails:
                    raise ValueError(own)

        job = worker.submit(Job(work, most_seconds=60, wants_previews=True))
        del work, held
        await asyncio.to_thread(entered.wait, 30)
        if not fails:
            worker.cancel(job)
        await finish(job)
        job.preview = None  # the stream's to take
        assert isinstance(job.error, ServiceError if fails else Cancelled)
        assert gone() is None

    asyncio.run(run())


def test_what_waits_and_is_cancelled_never_starts(worker: Worker) -> None:
    async def run() -> None:
        started: list[int] = []
        first = worker.submit(Job(counting(50, 0.01), most_seconds=60))

        def work(job: Job) -> Steps:
            started.append(1)
            yield Progress(0, "")

        second = worker.submit(Job(work, most_seconds=60))
        worker.cancel(second)
        assert (await finish(second)).error.__class__ is Cancelled
        assert not first.done
        assert (await finish(first)).result == 50
        worker.cancel(first)
        assert (first.result, first.error) == (50, None), "what is done stays done"
        assert not started

    asyncio.run(run())


def test_places_in_the_queue(worker: Worker) -> None:
    async def run() -> None:
        first = worker.submit(Job(counting(1000, 0.01), most_seconds=60))
        while worker.counts[0] == 0:
            await asyncio.sleep(0.01)
        others = [worker.submit(Job(counting(1), most_seconds=60)) for _ in range(3)]
        assert [worker.before(job) for job in [first, *others]] == [0, 1, 2, 3]
        assert worker.idle_seconds == 0
        with pytest.raises(TooBusy, match="3 jobs"):
            worker.submit(Job(counting(1), most_seconds=60))
        worker.cancel(others[0])
        assert worker.before(others[2]) == 2
        worker.cancel(first)
        for job in [first, *others]:
            await finish(job)

    asyncio.run(run())


def test_closing_cancels_everything_and_takes_no_more() -> None:
    async def run() -> None:
        worker = Worker(lambda: None, most_waiting=3)
        worker.start()
        jobs = [worker.submit(Job(counting(1000, 0.01), most_seconds=60)) for _ in range(3)]
        worker.close()
        for job in jobs:
            assert isinstance((await finish(job)).error, TooBusy)
        with pytest.raises(TooBusy):
            worker.submit(Job(counting(1), most_seconds=60))
        worker.join(30)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("raised", "told"), [(MemoryError(), OutOfMemory), (ZeroDivisionError("by 0"), ServiceError), (None, TimeLimit)]
)
def test_how_a_job_can_fail(worker: Worker, raised: Exception | None, told: type, capfd: Any) -> None:
    async def run() -> Job:
        def work(job: Job) -> Steps:
            yield Progress(0, "")
            if raised is not None:
                raise raised
            while True:
                time.sleep(0.01)
                yield Progress(0.5, "")

        return await finish(worker.submit(Job(work, most_seconds=0.1)))

    error = asyncio.run(run()).error
    assert type(error) is told
    assert error.hint


@pytest.mark.parametrize("raised", [MemoryError(), RuntimeError("CUDA out of memory"), OutOfMemory("full")])
def test_a_preview_that_fails_is_none_and_the_work_goes_on(worker: Worker, raised: Exception, capfd: Any) -> None:
    looks: list[int] = []

    def preview() -> np.ndarray:
        looks.append(1)
        raise raised

    def work(job: Job) -> Steps:
        for step in range(3):
            job._next_preview = 0.0
            yield Progress(step / 3, "", preview)
        return "done"

    async def run() -> Job:
        return await finish(worker.submit(Job(work, most_seconds=60, wants_previews=True)))

    job = asyncio.run(run())
    assert (job.result, job.error, job.preview) == ("done", None, None)
    assert looks == [1]  # what fails once is not asked again


def test_a_preview_that_is_cancelled_is_not_a_failed_one(worker: Worker) -> None:
    def preview() -> np.ndarray:
        raise Cancelled("cancelled")

    def work(job: Job) -> Steps:
        yield Progress(0.5, "", preview)
        return "done"

    async def run() -> Job:
        return await finish(worker.submit(Job(work, most_seconds=60, wants_previews=True)))

    assert isinstance(asyncio.run(run()).error, Cancelled)


def test_an_engine_that_does_not_load_does_not_end_the_thread(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise OSError("no such weights")

    async def run() -> Any:
        worker = Worker(broken, most_waiting=3)
        worker.start()
        job = await finish(worker.submit(Job(counting(3), most_seconds=60)))
        worker.close()
        worker.join(30)
        return job.result

    assert asyncio.run(run()) == 3
    assert "no such weights" in capfd.readouterr().err
