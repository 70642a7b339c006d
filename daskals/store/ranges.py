"""Numbers of a store or a model that compiled code goes by, checked against their ranges where they are read.

A chunk's checksum says that it is as it was written, not that what was written is true. A pointer or an index
out of its range would have compiled code read and write beside its arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskals.errors import StoreError
from daskals.types import Int64

_REMEDY = "Restore it from a copy, or make it anew"


def check_starts(starts: Int64, *, first: int | None, last: int, is_end: bool, name: str, where: str) -> None:
    """Raise StoreError unless starts of rows never fall and stay within the ratings there are.

    Parameters
    ----------
    starts
        int64, shape (rows + 1,).
    first, last, is_end
        Where the first row begins, None if anywhere; what none may exceed; whether the last one must be it.
    name, where
        What they are, and of what.
    """
    low, high = (int(starts[0]), int(starts[-1])) if len(starts) else (-1, -1)
    fits = (low >= 0 if first is None else low == first) and (high == last if is_end else high <= last)
    if fits and bool(np.all(starts[1:] >= starts[:-1])):
        return
    raise StoreError(
        f"{name} runs from {low:,} to {high:,}" + ("" if not fits else ", and falls in between"),
        where=where,
        expected=f"starts of rows that rise from {first or 0:,} to {last:,}",
        remedy=_REMEDY,
    )


def check_below(values: NDArray[Any], stop: int, *, name: str, where: str) -> None:
    """Raise StoreError unless whole numbers, of any shape and integer dtype, are in 0 to `stop` − 1."""
    if not values.size:
        return
    # of an unsigned view a negative number is a large one: one pass finds both ends
    unsigned = values.view(np.dtype(f"u{values.dtype.itemsize}")) if values.dtype.kind == "i" else values
    if int(unsigned.max()) < stop:
        return
    bad = values[(values < 0) | (values >= stop)]
    raise StoreError(
        f"{name} holds {int(bad[0]):,}",
        where=where,
        expected=f"numbers from 0 to {stop - 1:,}",
        remedy=_REMEDY,
    )


def check_finite(values: NDArray[Any], *, name: str, where: str, least: float | None = None) -> None:
    """Raise StoreError unless floats, of any shape and dtype, are finite, and above `least` if given."""
    # of finite float32 numbers no sum in float64 overflows
    fits = not values.size or bool(np.isfinite(values.sum(dtype=np.float64)))
    if not fits:
        found = "a number that is not finite"
    elif least is not None and values.size and float(values.min()) <= least:
        found = f"{float(values.min()):g}"
    else:
        return
    expected = "finite numbers" + ("" if least is None else f" above {least:g}")
    raise StoreError(f"{name} holds {found}", where=where, expected=expected, remedy=_REMEDY)
