"""Memory on large pages, for arrays of which kernels read a row here and a row there.

Where such rows lie on pages of 4 kB, a processor looks up where a page is for nearly every rating. Heaps give
what was freed before, on pages as they come: of 26 MB of rows 4 to 11 of 12 large pages were large, and a
half-step that read them took up to a fifth longer than where all were.
"""

from __future__ import annotations

import contextlib
import mmap

import numpy as np

from daskals.types import UInt8

PAGE_BYTES = 2 << 20

LARGE_BYTES = 4 << 20
"""Arrays from this size on are mapped on their own."""


def empty_bytes(n_bytes: int) -> UInt8:
    """Make uninitialised memory, shape (n_bytes,), on large pages where it is large and the system has them.

    It goes back once nothing refers to it any more, views included.
    """
    if n_bytes < LARGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(n_bytes, np.uint8)
    size = (-(-n_bytes // PAGE_BYTES) + 1) * PAGE_BYTES
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # of a system that was built without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, np.uint8)
    first = -whole.ctypes.data % PAGE_BYTES
    return whole[first : first + n_bytes]
