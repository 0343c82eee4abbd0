"""Who may use a thing that is shared: several at once, or one alone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator

PAUSE = 0.02  # seconds


class Gate:
    """Whoever waits is asked again and again whether to go on, so that one thread may drive two who exclude each other
    in turn, and waiting can be given up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._alone = False

    def entered(self, *, alone: bool) -> Iterator[None]:
        """Yields while there is no way in."""
        while not self._enter(alone):
            yield
            time.sleep(PAUSE)

    @contextlib.contextmanager
    def held(self) -> Generator[None]:
        """To be taken after `entered` came to its end."""
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                self._alone = False

    def _enter(self, alone: bool) -> bool:
        with self._lock:
            if self._alone or (alone and self._inside):
                return False
            self._inside += 1
            self._alone = alone
            return True
