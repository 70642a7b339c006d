"""Numbers of a store or a model that compiled code goes by, checked against their ranges where they are read.

A chunk's checksum says that it is as it was written, not that what was written is true. A pointer or an index
out of its range would have compiled code read and write beside its arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Bounds(NamedTuple):
    """What floats may be beside finite: `above` a number, from `least` on, up to `most`."""

    above: float | None = None
    least: float | None = None
    most: float | None = None

    def told(self) -> str:
        """Return the bounds as an error says them."""
        told = {" above ": self.above, " from ": self.least, " up to ": self.most}
        return "".join(f"{word}{value:g}" for word, value in told.items() if value is not None)

    def broken_by(self, lowest: float, highest: float) -> float | None:
        """Return which of the ends of some numbers is out of the bounds, None if neither."""
        below = (self.above is not None and lowest <= self.above) or (
            self.least is not None and lowest < self.least
        )
        if below:
            return lowest
        return highest if self.most is not None and highest > self.most else None


ANY = Bounds()
"""No bounds."""

WEIGHTS = Bounds(above=0.0)
"""Of ratings."""


def check_finite(values: NDArray[Any], *, name: str, where: str, bounds: Bounds = ANY) -> None:
    """Raise StoreError unless floats, of any shape and dtype, are finite and within their bounds."""
    if not values.size:
        return
    # of finite float32 numbers no sum in float64 overflows
    is_finite = bool(np.isfinite(values.sum(dtype=np.float64)))
    is_bound = is_finite and bounds != ANY
    broken = bounds.broken_by(float(values.min()), float(values.max())) if is_bound else None
    if is_finite and broken is None:
        return
    found = "a number that is not finite" if broken is None else f"{broken:g}"
    raise StoreError(
        f"{name} holds {found}", where=where, expected=f"finite numbers{bounds.told()}", remedy=_REMEDY
    )
