"""Memory that a network on the CPU frees at every layer and wants again at the next is kept, not given back."""

from __future__ import annotations

import ctypes
import os

KEEP = "ERASER_KEEP_MEMORY"  # 1 or 0; the eraser command, whose process is its own, takes 1 where it is not set
TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """For the whole process, if `ERASER_KEEP_MEMORY` is 1; whether this system's malloc was told.

    Somebody else's process is not ours to change, so Python's callers must ask for it. A thread's own arena holds no
    large blocks, so each would be mapped and cleared anew.
    """
    if os.environ.get(KEEP) != "1":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is None:
        return False
    asked = (ARENA_MAX, 1), (MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, (1 << 31) - 1)
    told = [mallopt(name, value) == 1 for name, value in asked]
    return all(told)
