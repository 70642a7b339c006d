"""Few heaps rather than one for each thread, and none for large arrays: what is freed is of use to others."""

from __future__ import annotations

import ctypes
import os
import platform

HEAPS = 2
LARGE_BYTES = 1 << 20
"""Arrays from this size on may be mapped on their own and unmapped when they are freed."""

KEPT_BYTES = 32 << 20
"""Arrays up to this size stay in heaps once they are freed. The C library goes as far by itself, but not in a
process that Dask starts, which sets a bound: new memory then took a tenth of an epoch's CPU time."""

DASK_TRIMS_BYTES = 1 << 16
"""What may lie free at a heap's end in a process that Dask starts, as Dask sets it."""

_MMAP_THRESHOLD = "MALLOC_MMAP_THRESHOLD_"
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_maps_large = False


def share_heaps() -> bool:
    """Let the threads that start from now on share few heaps; return whether the C library was told.

    The C library gives every thread a heap of its own and comes to keep freed arrays of up to 32 MB in it,
    which no other thread uses. Only glibc can be told; processes started from here need `environment`.
    """
    return _tell(_M_ARENA_MAX, HEAPS)


def map_large_arrays() -> bool:
    """Give large arrays back as soon as they are freed; return whether the C library was told.

    Where blocks are read and dropped all the time, what heaps keep is a multiple of what is in use. Where
    they stay, epochs would wait for new memory instead: 22,000 pages each with features, a tenth of the time.
    """
    global _maps_large
    _maps_large = True
    return _tell(_M_MMAP_THRESHOLD, LARGE_BYTES)


def maps_large_arrays() -> bool:
    """Tell whether large arrays are given back as soon as they are freed, in this process."""
    return _maps_large or os.environ.get(_MMAP_THRESHOLD) == str(LARGE_BYTES)


def environment(*, maps_large: bool) -> dict[str, int]:
    """Return the same for a process that is yet to be started, by the names of its variables.

    Parameters
    ----------
    maps_large
        Whether large arrays are given back as soon as they are freed.
    """
    return {
        "MALLOC_ARENA_MAX": HEAPS,
        _MMAP_THRESHOLD: LARGE_BYTES if maps_large else KEPT_BYTES,
        "MALLOC_TRIM_THRESHOLD_": DASK_TRIMS_BYTES if maps_large else 2 * KEPT_BYTES,
    }


def _tell(parameter: int, value: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(parameter, value))
