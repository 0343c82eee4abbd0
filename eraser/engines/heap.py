"""Memory that a network on the CPU frees at every layer and wants again at the next is kept, not given back."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """For the whole process; whether this system's malloc can be told.

    A thread's own arena holds no large blocks, so each would be mapped and cleared anew: half of a step's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if mallopt is None:
        return False
    asked = (ARENA_MAX, 1), (MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, (1 << 31) - 1)
    told = [mallopt(name, value) == 1 for name, value in asked]
    return all(told)
