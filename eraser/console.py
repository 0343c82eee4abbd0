"""A command at work: a bar on the terminal, Ctrl-C as an answer that the engine hears."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from eraser.errors import Cancelled

if TYPE_CHECKING:
    from eraser.engines.base import Progress


class Watch:
    """Draws a bar on a terminal, and turns Ctrl-C into an answer that the engine hears at its next step.

    A second Ctrl-C does not wait for the step. `watch(progress)` is an `on_step`.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.stopped = False
        self._bar: Any = None
        self._previous: Any = None

    def __enter__(self) -> Watch:
        try:
            self._previous = signal.signal(signal.SIGINT, self._stop)
        except ValueError:  # not the main thread: whoever owns that thread owns its signals
            self._previous = None
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=1.0,
                file=sys.stderr,
                leave=False,
                smoothing=0.1,
                bar_format="{desc:<24.24} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left",
            )
        return self

    def __call__(self, progress: Progress) -> bool:
        if self._bar is not None:
            self._bar.set_description_str(progress.note, refresh=False)
            self._bar.update(max(0.0, progress.fraction - self._bar.n))
        return not self.stopped

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _stop(self, *_: object) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True


def paint(work: Callable[[Watch], Any], *, quiet: bool) -> tuple[Any, float]:
    """(what `work` returns, the seconds it took), with a bar, stopping at Ctrl-C."""
    start = time.perf_counter()
    with Watch(quiet=quiet) as watch:
        result = work(watch)
        if watch.stopped:
            raise Cancelled("cancelled", hint="nothing half-done was written")
    return result, time.perf_counter() - start
