"""The largest correlations between the columns of a sparse matrix, of each column."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from daskals.kernels.scoring.best import offer, sort_heap
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int32, Int64

UInt32 = NDArray[np.uint32]

_RUN = 64
"""Columns that a thread takes at a time."""


class Correlations(NamedTuple):
    """The columns most correlated with each column, the best first.

    Attributes
    ----------
    columns
        int32, shape (columns, most), the lower first of equals; -1 where there are no more.
    values
        float32, as `columns`; 0 where there are no more.
    """

    columns: Int32
    values: Float32


def best_correlations(
    y: scipy.sparse.csr_array,
    most: int,
    *,
    chance: float,
    shrinkage: float,
    threads: int = 1,
    counts: Float64 | None = None,
    groups: NDArray[np.int32] | None = None,
) -> Correlations:
    """Find the largest correlations of each column with the others, zeros counting as values.

    r_ij = (G_ij − Σ_g n_g·m_gi·m_gj) / (√(s_i·s_j) + h), G = YᵀY, s_i = G_ii − n·m_i²: products about the
    means of each group of rows, so that groups that differ correlate nothing. Takes Σ (entries of a row)² +
    groups × columns² multiply-adds and columns² comparisons; sums go row by row, the same on every CPU. A row
    that stands for c rows is given times √c.

    Parameters
    ----------
    y
        Sparse float64, shape (rows, columns).
    most
        Columns to find of each, at least 1.
    chance
        Standard errors √(s_i·s_j/n) above 0 from which a correlation counts.
    shrinkage
        h.
    threads
        How many work on it.
    counts
        c: how many rows each stands for, float64, shape (rows,); one each if None.
    groups
        Which group each row is of, int32, shape (rows,), counted from 0; all of one without it.
    """
    n_columns = y.shape[1]
    counts = np.ones(y.shape[0]) if counts is None else counts
    n_rows = float(np.sum(counts)) or 1.0
    by_column = y.tocsc()
    starts, rows = by_column.indptr.astype(np.int64), by_column.indices.astype(np.int32)
    groups = np.zeros(y.shape[0], np.int32) if groups is None else groups
    sizes = np.bincount(groups, counts, minlength=1)
    sums, squares = np.zeros((len(sizes), n_columns)), np.zeros(n_columns)
    _add_columns(starts, rows, by_column.data, np.sqrt(counts), groups, sums, squares)
    total = sums.sum(axis=0)
    spread = np.sqrt(np.maximum(squares - total * (total / n_rows), 0.0))
    found = np.full((n_columns, most), -1, np.int32)
    values = np.zeros((n_columns, most), np.float32)
    given = (
        y.indptr.astype(np.int64),
        y.indices.astype(np.uint32),
        y.data,
        starts,
        rows,
        by_column.data,
        sums,
        sums / np.where(sizes > 0, sizes, 1.0)[:, None],
        spread,
    )
    least = float(chance / np.sqrt(n_rows))
    with ThreadPoolExecutor(threads) as pool:
        runs = [
            pool.submit(_best_of_columns, *given, least, float(shrinkage), values, found, first, last)
            for first, last in ((start, min(start + _RUN, n_columns)) for start in range(0, n_columns, _RUN))
        ]
        for run in runs:
            run.result()
    return Correlations(found, values)


@exact_jit
def _add_columns(
    starts: Int64,
    rows: Int32,
    data: Float64,
    roots: Float64,
    groups: Int32,
    sums: Float64,
    squares: Float64,
) -> None:
    for column in range(len(squares)):
        for entry in range(starts[column], starts[column + 1]):
            sums[groups[rows[entry]], column] += roots[rows[entry]] * data[entry]
            squares[column] += data[entry] * data[entry]


@exact_jit
def _best_of_columns(
    row_starts: Int64,
    columns: UInt32,
    by_row: Float64,
    column_starts: Int64,
    rows: Int32,
    by_column: Float64,
    sums: Float64,
    means: Float64,
    spread: Float64,
    least: float,
    shrinkage: float,
    values: Float32,
    found: Int32,
    first: int,
    last: int,
) -> None:
    products, scores = np.empty(len(spread)), np.empty(len(spread), np.float32)
    for own in range(first, last):
        products[:] = 0.0
        for entry in range(column_starts[own], column_starts[own + 1]):
            weight, row = by_column[entry], rows[entry]
            for k in range(row_starts[row], row_starts[row + 1]):
                products[columns[k]] += weight * by_row[k]
        for group in range(len(sums)):
            own_sum, of_group = sums[group, own], means[group]
            if own_sum != 0.0:
                for other in range(len(products)):
                    products[other] -= own_sum * of_group[other]
        size = 0
        for other in range(len(spread)):
            scale = spread[own] * spread[other]
            if other != own and products[other] > least * scale:
                scores[other] = products[other] / (scale + shrinkage)
                size = offer(values[own], found[own], size, scores[other], other)
        sort_heap(values[own], found[own], size)
