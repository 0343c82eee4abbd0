"""What this machine grants the process: processors, memory, and a place for compiled kernels."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from pathlib import Path

from eraser.errors import OutOfRange

DEVICE = "ERASER_DEVICE"  # environment variable: auto, cpu or gpu
CONTAINER_FILES = (  # (what a container may have, what it has), of both versions of Linux's control groups
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def usable_processors() -> int:
    """How many processors this process may use: containers and batch systems often grant fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_memory() -> int:
    """Bytes of memory that this process can still have: what is free, or less where a container grants less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in CONTAINER_FILES:
        with contextlib.suppress(OSError, ValueError):  # none such, or "max"
            free = min(free, max(0, int(Path(limit).read_text()) - int(Path(used).read_text())))
    return free


def wanted_device() -> str:
    """What ERASER_DEVICE asks trained models to run on: auto (a GPU where there is one), cpu, or gpu."""
    asked = os.environ.get(DEVICE, "").strip().lower() or "auto"
    if asked not in ("auto", "cpu", "gpu"):
        raise OutOfRange(f'{DEVICE} is "{asked}"', hint="set it to auto, cpu or gpu")
    return asked


@functools.cache
def processor_name() -> str:
    """Its maker's name for it where the system tells, its architecture otherwise."""
    import platform

    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def kernel_cache() -> Path:
    """A folder for compiled kernels that only this user can write: the user's cache, or a fresh temporary one.

    Never a fixed name in the shared temporary folder: what is loaded from there is run, so it must be one's own.
    """
    from platformdirs import user_cache_path

    place = user_cache_path("magic-eraser", appauthor=False) / "numba"
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
    if not os.access(place, os.W_OK):
        place = Path(tempfile.mkdtemp(prefix="magic-eraser-"))
    return place
