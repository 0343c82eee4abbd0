"""Several painters of one checkpoint, one per device: drawings that run at once are dealt out among them."""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Hashable
from typing import Any

from eraser.engines import devices, heap
from eraser.engines.loaded_files import LoadedFiles
from eraser.engines.painter import Painter
from eraser.engines.placement import persistent


class Crew:
    """One painter is loaded at once, the others when they are first needed.

    Which of them draws is decided when a drawing starts: the one with the fewest under way, the first of equals. On
    devices of one kind the same seed gives the same picture, whoever draws it.
    """

    def __init__(self, makers: list[Callable[[], Painter]]) -> None:
        self._makers = makers
        self._painters: list[Painter | None] = [None] * len(makers)
        self._busy = [0] * len(makers)
        self._loading = [threading.Lock() for _ in makers]
        self._lock = threading.Lock()
        self._here = threading.local()  # who draws for this thread
        first = self._painter(0)
        self.factor, self.side = first.factor, first.side

    def __del__(self) -> None:
        if sys.is_finalizing():
            return
        self._painters.clear()
        give_back()

    @property
    def lanes(self) -> int:
        return len(self._makers)

    @property
    def runs_on(self) -> str:
        """Where this thread's drawing is made, or the last one was."""
        return self._mine.runs_on

    @property
    def facts(self) -> dict[str, object]:
        return self._mine.facts

    @property
    def drawn(self) -> dict[str, object]:
        """Of the drawing that this thread makes or made last: where, in which numbers, how often the memory ran out."""
        return self._mine.placed.state | {"memory_ran_out": len(getattr(self._here, "failures", ()))}

    @property
    def files(self) -> LoadedFiles:
        """What the checkpoint was loaded from."""
        return self._painter(0).placed.files

    def steps(self, *wish: Any, **more: Any) -> Generator[tuple[int, Any], None, Any]:
        """As `Painter.steps`, by whoever has the least to do, and by ever cheaper plans while its memory runs out."""
        with self._lock:
            number = self._busy.index(min(self._busy))
            self._busy[number] += 1
        try:
            painter = self._painter(number)
            failures: list[str] = []
            self._here.painter, self._here.failures = painter, failures
            drawing = persistent(painter.placed, lambda: painter.steps(*wish, **more), failures.append)
            with contextlib.closing(drawing) as steps:
                while True:
                    try:
                        step = next(steps)
                    except StopIteration as finished:
                        return finished.value
                    finally:
                        # whoever drives two drawings in turn is told of each by its own painter
                        self._here.painter, self._here.failures = painter, failures
                    yield step
        finally:
            with self._lock:
                self._busy[number] -= 1

    def noise(self, *wish: Any) -> float:
        """As `Painter.noise`."""
        return self._mine.noise(*wish)

    def unheard(self, options: Any) -> str:
        """As `Painter.unheard`."""
        return self._mine.unheard(options)

    def decode(self, latents: Any, side: int) -> Any:
        """As `Painter.decode`, by the painter whose device they lie on."""
        painters = [painter for painter in self._painters if painter is not None]
        place = str(latents.device)
        return next((one for one in painters if one.placed.device.torch == place), painters[0]).decode(latents, side)

    @property
    def _mine(self) -> Painter:
        return getattr(self._here, "painter", None) or self._painter(0)

    def _painter(self, number: int) -> Painter:
        with self._loading[number]:
            painter = self._painters[number]
            if painter is None:
                painter = self._painters[number] = self._makers[number]()
            return painter


def give_back() -> None:
    """Free what nobody holds: a painter and its network hold each other, so gigabytes would wait for the collector."""
    devices.give_back()
    heap.give_back()


class Keeper:
    """The crew that was asked for last is kept, others as long as somebody holds them: each is a checkpoint, gigabytes.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._last: Crew | None = None
        self._alive: weakref.WeakValueDictionary[Hashable, Crew] = weakref.WeakValueDictionary()

    def crew(self, key: Hashable, make: Callable[[], Crew]) -> Crew:
        """The crew of that key, made where there is none, or where its files have changed."""
        found = self._alive.get(key)
        if found is None or found.files.changed:
            if self._last is not None:  # another will be loaded, which may need the memory
                self._last = found = None
                give_back()
            found = self._alive[key] = make()
        self._last = found
        return found

    def let_go(self, crew: object) -> None:
        if self._last is crew:
            self._last = None
