"""Duplicate ratings of a pair: found by counting, settled by one rule."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from daskals.kernels.data.csr import duplicate_groups
from daskals.ratings.ids import NumberedIds
from daskals.types import Float32, Int64

Duplicates: TypeAlias = Literal["last", "first", "mean", "sum", "error"]
"""Which rating of a duplicated (user, item) pair holds, by time, else by file order; or all, added up."""


class Repeated(NamedTuple):
    """Rows of duplicated pairs, pair after pair, within a pair from the first to the last rating.

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


def find_repeated(users: NumberedIds, items: NumberedIds, timestamps: Int64 | None) -> Repeated:
    """Find the rows whose pair occurs more than once, pairs by first row; `timestamps` one a rating."""
    groups = duplicate_groups(users.codes, items.codes, len(users.ids), len(items.ids))
    rows, starts = groups.members, groups.starts
    if timestamps is not None:
        pairs = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        rows = rows[np.lexsort((rows, timestamps[rows], pairs))]
    return Repeated(rows, starts[:-1])


def summed_values(repeated: Repeated, values: Float32) -> Float32:
    """Return the sum of each duplicated pair's counts, summed in float64; `values` one a row."""
    sums = np.add.reduceat(values[repeated.rows].astype(np.float64), repeated.starts)
    return sums.astype(np.float32)


def mean_values(repeated: Repeated, values: Float32) -> Float32:
    """Return the mean rating of each duplicated pair, summed in float64; `values` one a rating."""
    sums = np.add.reduceat(values[repeated.rows].astype(np.float64), repeated.starts)
    counts = np.diff(np.append(repeated.starts, len(repeated.rows)))
    return (sums / counts).astype(np.float32)
