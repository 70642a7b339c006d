"""Merge of a side's sorted ratings with some more: one pass, nothing is sorted anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.types import Float32, Int32, Int64, UInt8

MAX_CODES = 256


@dataclass(frozen=True)
class Places:
    """Where the coming ratings belong among the sorted ones of one side.

    `order`: int64: the coming ratings in the side's order; `before`: int64, same shape: place of the first
    stored rating that does not come before each; `found`: bool, same shape: whether the stored rating there
    is of the same pair.
    """

    order: Int64
    before: Int64
    found: NDArray[np.bool_]


def find_places(indptr: Int64, indices: Int32, rows: Int64, others: Int64, n_others: int) -> Places:
    """Find where ratings belong among sorted ones.

    Parameters
    ----------
    indptr, indices
        The stored ratings of the side as compressed rows, shapes (rows + 1,) and (ratings,).
    rows, others
        Row on this and on the other side of each coming rating.
    n_others
        Rows of the other side, the new ones included.
    """
    stored = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr)) * n_others + indices
    wanted = rows * n_others + others
    order = np.argsort(wanted, kind="stable")
    before = np.searchsorted(stored, wanted[order])
    inside = before < len(stored)
    found = np.zeros(len(order), dtype=np.bool_)
    found[inside] = stored[before[inside]] == wanted[order][inside]
    return Places(order, before, found)


@dataclass(frozen=True)
class Merge:
    """How one side's columns are put together.

    `replaced`, `replacing`: int64: places of stored ratings, and the coming ones that take their place;
    `before`, `inserted`: int64: places of stored ratings, and the coming ones that are put before them, in
    order.
    """

    replaced: Int64
    replacing: Int64
    before: Int64
    inserted: Int64

    def column(self, stored: NDArray[Any], coming: NDArray[Any]) -> NDArray[Any]:
        """Return a column of the merged ratings, one a rating, of the dtype of the stored and coming ones."""
        if len(self.replaced):
            stored = stored.copy()
            stored[self.replaced] = coming[self.replacing]
        return np.insert(stored, self.before, coming[self.inserted])

    def indptr(self, stored: Int64, rows: Int64, n_rows: int) -> Int64:
        """Return the row limits of the merged ratings, (rows + 1,); `rows` hold one a coming rating."""
        lengths = np.zeros(n_rows, dtype=np.int64)
        lengths[: len(stored) - 1] = np.diff(stored)
        lengths += np.bincount(rows[self.inserted], minlength=n_rows)
        return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def plan_merge(places: Places, takes: NDArray[np.bool_]) -> Merge:
    """Decide which coming ratings replace stored ones and which are inserted.

    `takes` tells for each coming rating whether it counts where its pair is stored already.
    """
    replacing = places.found & takes[places.order]
    return Merge(
        places.before[replacing],
        places.order[replacing],
        places.before[~places.found],
        places.order[~places.found],
    )


class Encoding(NamedTuple):
    """Stored and coming ratings in one code.

    Attributes
    ----------
    stored
        What takes a stored column to the common code: uint8 by old code, or None where it stays.
    coming
        uint8 codes or float32, shape (coming ratings,).
    scale
        float32, the distinct ratings ascending; empty where all are float32 themselves.
    decode
        float32 by old code where the merged ratings no longer fit codes, else None.
    """

    stored: UInt8 | None
    coming: UInt8 | Float32
    scale: Float32
    decode: Float32 | None

    def apply(self, values: UInt8 | Float32) -> UInt8 | Float32:
        """Return a stored column, shape (ratings,), in the common code."""
        if self.decode is not None:
            return np.asarray(self.decode[values])
        return values if self.stored is None else np.asarray(self.stored[values])


def common_encoding(scale: Float32, left: Int64, values: Float32, counted: Float32) -> Encoding:
    """Find the code of stored and coming ratings together.

    `scale`, shape (codes,), of the stored ones is empty where they are float32. `counted` tells which of the
    coming ratings, both of shape (ratings,), will be in the merged store.
    """
    if not len(scale):
        return Encoding(None, values, scale, None)
    common = np.union1d(scale[left > 0], counted + np.float32(0.0)).astype(np.float32)
    if len(common) > MAX_CODES:
        return Encoding(None, values, np.empty(0, np.float32), scale)
    same = np.array_equal(common, scale)
    codes = np.searchsorted(common, values).clip(0, len(common) - 1).astype(np.uint8)
    recode = np.searchsorted(common, scale).clip(0, len(common) - 1).astype(np.uint8)
    return Encoding(None if same else recode, codes, common, None)
