"""Few heaps rather than one for each thread, so that freed memory is used again and not kept apart."""

from __future__ import annotations

import ctypes
import platform

HEAPS = 2
VARIABLE = "MALLOC_ARENA_MAX"

_M_ARENA_MAX = -8


def share_heaps() -> bool:
    """Let the threads that start from now on share few heaps.

    The C library gives every thread a heap of its own and keeps freed arrays of up to 32 MB in it. Where
    blocks are read and dropped all the time, that holds a multiple of what is in use.

    Returns
    -------
    Whether the C library was told: only glibc can be. Processes started from here need `VARIABLE` set.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS))
