"""Several fillings side by side, on an engine that has a device for each (`lanes`), or one after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from eraser.engines.base import Progress

Steps = Generator[Progress, None, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    result: Any


def lanes_of(engine: object) -> int:
    """How many fillings an engine can have under way without one waiting for the other."""
    return int(getattr(engine, "lanes", 1))


def side_by_side(makers: Sequence[Callable[[], Steps]], lanes: int) -> Generator[tuple[int, Progress | Finished]]:
    """Run every generator that `makers` make, at most `lanes` at a time: yields (its number, a step or its end).

    In one lane they run here, in order. In several, each runs in a thread that waits until its step is taken, so that
    stopping to iterate ends all of them within a step. The first failure ends them too, and is raised.
    """
    if lanes <= 1 or len(makers) <= 1:
        for number, make in enumerate(makers):
            yield from ((number, told) for told in _told(make()))
        return
    # one place: whoever has told a step waits until it is taken
    told: queue.Queue[tuple[int, Progress | Finished | BaseException | None]] = queue.Queue(1)
    waiting = iter(enumerate(makers))
    lock, stop = threading.Lock(), threading.Event()

    def put(number: int, what: Progress | Finished | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                told.put((number, what), timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        while not stop.is_set():
            with lock:
                number, make = next(waiting, (-1, None))
            if make is None:
                break
            steps = _told(make())
            try:
                for step in steps:
                    if not put(number, step):
                        return
            except BaseException as error:  # handed to whoever iterates
                put(number, error)
                return
            finally:
                steps.close()
        put(-1, None)

    threads = [threading.Thread(target=work, name=f"lane {n}", daemon=True) for n in range(min(lanes, len(makers)))]
    for thread in threads:
        thread.start()
    try:
        ended = 0
        while ended < len(threads):
            number, what = told.get()
            if what is None:
                ended += 1
            elif isinstance(what, BaseException):
                raise what
            else:
                yield number, what
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _told(steps: Steps) -> Generator[Progress | Finished]:
    try:
        while True:
            yield next(steps)
    except StopIteration as finished:
        yield Finished(finished.value)
    finally:
        steps.close()
