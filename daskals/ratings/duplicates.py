"""Ratings of a pair that occurs more than once: found by one sort, settled by one rule."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from daskals.types import Float32, Int32, Int64

Duplicates: TypeAlias = Literal["last", "first", "mean", "error"]
"""Which rating of a duplicated (user, item) pair holds: by timestamp, else by file order."""


class Repeated(NamedTuple):
    """Rows of duplicated pairs, sorted by pair and, within a pair, in the order of the ratings.

    Attributes
    ----------
    rows
        int64, shape (n,).
    starts
        Index into `rows` of each pair's first row; int64, shape (n_pairs,).
    """

    rows: Int64
    starts: Int64

    @property
    def surplus(self) -> int:
        """Rows beyond one a pair."""
        return len(self.rows) - len(self.starts)

    @property
    def last(self) -> Int64:
        """Last row of each pair."""
        rows: Int64 = self.rows[np.append(self.starts[1:], len(self.rows)) - 1]
        return rows

    @property
    def first(self) -> Int64:
        """First row of each pair."""
        rows: Int64 = self.rows[self.starts]
        return rows


def find_repeated(users: Int32, items: Int32, timestamps: Int64 | None) -> Repeated:
    """Find the rows whose pair occurs more than once.

    Notes
    -----
    Time and memory are those of sorting one 64-bit key a rating; only rows of duplicated pairs are
    then looked at again.
    """
    n_items = int(items.max()) + 1 if len(items) else 1
    keys = users * np.int64(n_items)
    keys += items
    ordered = np.sort(keys)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    del ordered
    if not len(again):
        return Repeated(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    rows = np.flatnonzero(np.isin(keys, np.unique(again)))
    pairs = keys[rows]
    order = np.lexsort((rows, pairs) if timestamps is None else (rows, timestamps[rows], pairs))
    rows, pairs = rows[order], pairs[order]
    starts = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
    return Repeated(rows, starts)


def mean_values(repeated: Repeated, values: Float32) -> Float32:
    """Return the mean rating of each duplicated pair, summed in float64."""
    sums = np.add.reduceat(values[repeated.rows].astype(np.float64), repeated.starts)
    counts = np.diff(np.append(repeated.starts, len(repeated.rows)))
    return (sums / counts).astype(np.float32)
