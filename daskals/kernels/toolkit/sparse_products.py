"""Products between the columns of a sparse matrix, dense, on several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float64, Int32, Int64

UInt32 = NDArray[np.uint32]

_STRIPS = 16
"""Runs of columns a thread: of equal work, but some wait for memory."""


def column_products(x: scipy.sparse.csr_array, threads: int = 1) -> Float64:
    """Return the lower triangle of XᵀX, float64, shape (columns, columns), zeros above.

    Takes half of Σ (entries of a row)² multiply-adds. Each sum goes row by row: the same on any threads.

    Parameters
    ----------
    x
        Sparse float64, shape (rows, columns).
    threads
        How many work on it.
    """
    x = x if x.has_sorted_indices else x.sorted_indices()
    # of each entry by column: its row, and its place among those by row
    places = scipy.sparse.csr_array((np.arange(x.nnz), x.indices, x.indptr), shape=x.shape).tocsc()
    out = np.zeros((x.shape[1],) * 2)
    starts, columns = x.indptr.astype(np.int64), x.indices.astype(np.uint32)
    own, rows, entries = places.indptr.astype(np.int64), places.indices.astype(np.int32), places.data
    before = np.append(0, np.cumsum(entries - starts[rows] + 1))[own]
    cuts = np.searchsorted(before, np.linspace(0, before[-1], _STRIPS * threads + 1)).astype(np.int64)
    cuts[0], cuts[-1] = 0, x.shape[1]
    with ThreadPoolExecutor(threads) as pool:
        strips = [
            pool.submit(_add_products, starts, columns, x.data, own, rows, entries, first, stop, out)
            for first, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
        ]
        for strip in strips:
            strip.result()
    return out


@exact_jit
def _add_products(
    row_starts: Int64,
    columns: UInt32,
    values: Float64,
    column_starts: Int64,
    rows: Int32,
    entries: Int64,
    first: int,
    stop: int,
    out: Float64,
) -> None:
    for own in range(first, stop):
        target = out[own]
        for place in range(column_starts[own], column_starts[own + 1]):
            entry = entries[place]
            weight = values[entry]
            start = row_starts[rows[place]]
            others, factors = columns[start : entry + 1], values[start : entry + 1]
            for k in range(len(others)):
                target[others[k]] += weight * factors[k]
