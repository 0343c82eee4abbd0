"""Memory that a network on the CPU frees at every layer and wants again at the next is kept, not given back."""

from __future__ import annotations

import ctypes
import os
import sys

KEEP = "ERASER_KEEP_MEMORY"  # 1 or 0; the eraser command, whose process is its own, takes 1 where it is not set
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def share_one_arena() -> bool:
    """For the whole process, if `ERASER_KEEP_MEMORY` is 1; whether this system's malloc was told.

    A thread's own arena holds no large blocks: each would be mapped and cleared anew, however much memory is kept.
    glibc reads this once, when a second thread first asks for memory, so it is said when the process starts.
    """
    return _tell((ARENA_MAX, 1))


def keep_freed_memory() -> bool:
    """For the whole process, if `ERASER_KEEP_MEMORY` is 1; whether this system's malloc was told.

    Somebody else's process is not ours to change, so Python's callers must ask for it.
    """
    return _tell((MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, (1 << 31) - 1))


def _tell(*settings: tuple[int, int]) -> bool:
    if os.environ.get(KEEP) != "1":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is None:
        return False
    told = [mallopt(name, value) == 1 for name, value in settings]
    return all(told)


def give_back() -> None:
    """Return what malloc keeps to the system, for others: what was let go is not wanted again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None  # glibc has it
    if trim is not None:
        trim(0)
