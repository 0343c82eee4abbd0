"""What the routes share: the engines that are loaded, the worker, the limits, what the process says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from eraser import __version__, wire
from eraser.engines import registry
from eraser.geometry import Box, Size
from eraser.plans import plan_erase
from eraser.serve.jobs import Job, Steps, Worker
from eraser.session import Eraser


@dataclass(frozen=True, slots=True)
class Limits:
    megabytes: float = 4096  # of a request
    megapixels: float = 500  # of a picture
    seconds: float = 3600  # of a job
    waiting: int = 32  # jobs in the queue


class Health(BaseModel):
    version: str
    protocol: int
    pid: int
    engine: str
    device: str  # that it computes on, "" until it is loaded
    loaded: bool
    running: int
    waiting: int
    idle_seconds: float
    idle_minutes: float
    most_megabytes: float
    most_megapixels: float
    most_seconds: float


class Service:
    def __init__(self, *, engine: str, limits: Limits, idle_minutes: float, stop: Callable[[], None]) -> None:
        self.default = next(iter(registry.ENTRIES)) if engine == registry.AUTO else engine
        self.limits = limits
        self.idle_minutes = idle_minutes
        self.stop = stop
        self.device = ""
        self.worker = Worker(self._load, most_waiting=limits.waiting)

    def engine_of(self, name: str) -> Eraser:
        return Eraser(self.default if name == registry.AUTO else name)

    def submit(self, work: Callable[[Job], Steps], *, wants_previews: bool = False) -> Job:
        return self.worker.submit(Job(work, most_seconds=self.limits.seconds, wants_previews=wants_previews))

    def health(self) -> Health:
        running, waiting = self.worker.counts
        return Health(
            version=__version__,
            protocol=wire.PROTOCOL,
            pid=os.getpid(),
            engine=self.default,
            device=self.device,
            loaded=bool(self.device),
            running=running,
            waiting=waiting,
            idle_seconds=round(self.worker.idle_seconds, 1),
            idle_minutes=self.idle_minutes,
            most_megabytes=self.limits.megabytes,
            most_megapixels=self.limits.megapixels,
            most_seconds=self.limits.seconds,
        )

    def _load(self) -> None:
        # the first plan would wait for the libraries that planning needs
        plan_erase(np.full((1, 1), 255, np.uint8), Box(2, 2, 1, 1), Size(8, 8))
        self.device = self.engine_of(registry.AUTO).device
