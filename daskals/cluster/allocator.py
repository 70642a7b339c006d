"""Few heaps rather than one for each thread, and none for large arrays: what is freed is given back."""

from __future__ import annotations

import ctypes
import platform

HEAPS = 2
LARGE_BYTES = 1 << 20
"""Arrays from this size on are mapped on their own and unmapped when they are freed."""

ENVIRONMENT = {"MALLOC_ARENA_MAX": HEAPS, "MALLOC_MMAP_THRESHOLD_": LARGE_BYTES}
"""The same for a process that is yet to be started."""

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def share_heaps() -> bool:
    """Let the threads that start from now on share few heaps; return whether the C library was told.

    The C library gives every thread a heap of its own and comes to keep freed arrays of up to 32 MB in it.
    Where blocks are read and dropped all the time, that holds a multiple of what is in use. Only glibc can be
    told; processes started from here need `ENVIRONMENT`.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_ARENA_MAX, HEAPS) and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
