"""Memory of large factor rows, kept for the next half-step once nobody holds them any more.

The C library gives large arrays back to the system as they are freed, and takes new ones, which the system
must clear first: two to twenty per cent of a half-step of 64 MB of rows, in each process that has them whole.
What it keeps it gives out again in pieces, on pages of any size. Rows may outlive their training: memory is
used again when no view of it is left.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np

from daskals.cluster import allocator
from daskals.kernels.toolkit.layout import ALIGNMENT_BYTES, aligned_empty, aligned_within
from daskals.kernels.toolkit.pages import LARGE_BYTES, empty_bytes
from daskals.types import FactorRows, UInt8

MOST_KEPT_BYTES = 256 << 20
"""What may be kept for later at most: a generation or two of 200,000 rows at rank 64."""

_kept: deque[UInt8] = deque()


class _Loan:
    """What views of some memory hold; with the last of them it is gone, and the memory kept."""

    def __init__(self, memory: UInt8) -> None:
        self.__array_interface__: dict[str, Any] = memory.__array_interface__
        weakref.finalize(self, _keep, memory).atexit = False


def large_rows(n_rows: int, stride: int) -> FactorRows:
    """Make uninitialised rows as `layout.aligned_empty` does, of memory on large pages if there are many.

    It is kept where memory is not scarce.

    Parameters
    ----------
    n_rows, stride
        Shape; float32.
    """
    size = n_rows * stride * 4 + ALIGNMENT_BYTES
    if size < LARGE_BYTES:
        return aligned_empty(n_rows, stride)
    if size > MOST_KEPT_BYTES or allocator.maps_large_arrays():
        return aligned_within(empty_bytes(size), n_rows, stride)
    return aligned_within(np.asarray(_Loan(_taken(size))), n_rows, stride)


def _taken(size: int) -> UInt8:
    """Return kept memory of this size, new where there is none."""
    memory = _found(size)
    return empty_bytes(size) if memory is None else memory


def _found(size: int) -> UInt8 | None:
    """Return kept memory of this size, which is kept no longer; None where there is none."""
    for _ in range(len(_kept)):
        try:
            memory = _kept.popleft()
        except IndexError:  # another thread was faster
            break
        if memory.nbytes == size:
            return memory
        _kept.append(memory)
    return None


def _keep(memory: UInt8) -> None:
    """Keep memory, and let go what was kept longest where that is too much; called wherever a view ends.

    One piece of a size is enough: a half-step takes it before it frees another. What ends with the loading of
    a run, or with the run, would only lie there.
    """
    _found(memory.nbytes)
    _kept.append(memory)
    while sum(one.nbytes for one in list(_kept)) > MOST_KEPT_BYTES:
        try:
            _kept.popleft()
        except IndexError:
            return
