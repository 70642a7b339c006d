"""Weighted draws without replacement, row by row, and the exact counts they are asked to meet.

Every row draws from its own key (`toolkit.random`), so rows may be drawn in any order, by any
number of threads. Only integer operations and + - * / sqrt decide: the same rows on every CPU.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.random import random_bits, row_key, software_log, uniform_at
from daskals.types import Float64, Int32, Int64

RACE_SHARE = 16
"""A row that takes more than 1/16 of all columns is drawn by a race rather than by rejection."""


class Weighted(NamedTuple):
    """Positive weights of columns with their alias table (Walker 1977, in the form of Vose 1991).

    `weights`: float64, shape (columns,), positive; `accept`: float64, shape (columns,): the share of a
    column's cell that is its own; `alias`: int32, shape (columns,): whose the rest of the cell is.
    """

    weights: Float64
    accept: Float64
    alias: Int32


@exact_jit
def _fill_alias_table(weights: Float64, accept: Float64, alias: Int32) -> None:
    n = len(weights)
    total = 0.0
    for column in range(n):
        total += weights[column]
    small, large = np.empty(n, np.int32), np.empty(n, np.int32)
    n_small = n_large = 0
    for column in range(n):
        accept[column] = weights[column] * n / total
        alias[column] = column
        if accept[column] < 1.0:
            small[n_small] = column
            n_small += 1
        else:
            large[n_large] = column
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        filled, giver = small[n_small], large[n_large - 1]
        alias[filled] = giver
        accept[giver] -= 1.0 - accept[filled]
        if accept[giver] < 1.0:
            n_large -= 1
            small[n_small] = giver
            n_small += 1
    # what is left on either stack differs from a full cell by rounding only
    for rest in range(n_small):
        accept[small[rest]] = 1.0
    for rest in range(n_large):
        accept[large[rest]] = 1.0


def weighted(weights: Float64) -> Weighted:
    """Make the alias table of weights, float64, shape (columns,), none negative."""
    table = Weighted(weights, np.empty(len(weights)), np.empty(len(weights), np.int32))
    _fill_alias_table(*table)
    return table


@exact_jit
def _draw_by_rejection(key: np.uint64, table: Weighted, taken: Int32, stamp: int, out: Int32) -> None:
    # successive draws from the alias table; a column that the row already has is drawn again
    n_columns = len(table.weights)
    n_drawn = attempt = 0
    while n_drawn < len(out):
        place = uniform_at(key, attempt) * n_columns
        attempt += 1
        column = min(int(place), n_columns - 1)
        if place - column >= table.accept[column]:
            column = table.alias[column]
        if taken[column] != stamp:
            taken[column] = stamp
            out[n_drawn] = column
            n_drawn += 1


@exact_jit
def sort_short(values: Int32) -> None:
    """Sort in place, shape (n,), by Shell's way: NumPy's takes ten times as long to compile."""
    gap = len(values) // 2
    while gap > 0:
        for place in range(gap, len(values)):
            value, to = values[place], place
            while to >= gap and values[to - gap] > value:
                values[to] = values[to - gap]
                to -= gap
            values[to] = value
        gap = 1 if gap == 2 else gap * 5 // 11


@exact_jit
def nth_smallest(values: Float64, n: int) -> float:
    """Return the number that sorting puts at place n, from 0; values, shape (numbers,), change places."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if n <= j:
            high = j
        elif n >= i:
            low = i
        else:
            break
    return float(values[n])


@exact_jit
def _draw_by_race(key: np.uint64, table: Weighted, arrivals: Float64, ordered: Float64, out: Int32) -> None:
    # each column arrives after an exponential time at the rate of its weight; the first ones are taken
    n_columns = len(table.weights)
    for column in range(n_columns):
        arrivals[column] = -software_log(uniform_at(key, column)) / table.weights[column]
        ordered[column] = arrivals[column]
    last = nth_smallest(ordered, len(out) - 1)
    n_drawn = 0
    for column in range(n_columns):
        if arrivals[column] <= last and n_drawn < len(out):
            out[n_drawn] = column
            n_drawn += 1


@exact_jit
def draw_rows(key: np.uint64, table: Weighted, indptr: Int64, first: int, stop: int, out: Int32) -> None:
    """Draw the distinct columns of rows `first` to `stop`, by weight, without replacement.

    Both ways of drawing have the distribution of successive sampling: the next column is drawn from those
    left in proportion to their weights. Rejection is fast for short rows; its attempts grow without limit
    as a row takes all heavy columns, so a long row races instead, at a fixed cost a column.

    Parameters
    ----------
    key
        Key of a stream; row i draws from its row i.
    table
        Weights of the columns.
    indptr
        int64, shape (rows + 1,): where each row lies in `out`. No row is longer than the weights.
    first, stop
        The rows to draw, those of this call.
    out
        int32, shape (indptr[-1],): receives the columns, ascending within a row.
    """
    n_columns = len(table.weights)
    taken = np.full(n_columns, -1, np.int32)
    arrivals, ordered = np.empty(n_columns), np.empty(n_columns)
    for row in range(first, stop):
        columns = out[indptr[row] : indptr[row + 1]]
        of_row = row_key(key, row)
        if len(columns) * RACE_SHARE > n_columns:
            _draw_by_race(of_row, table, arrivals, ordered, columns)
        else:
            _draw_by_rejection(of_row, table, taken, row, columns)
            sort_short(columns)


@exact_jit
def cover_columns(key: np.uint64, n_columns: int, indptr: Int64, columns: Int32) -> int:
    """Give every column at least one row, in place; return how many columns had none.

    A column that no row drew takes, in a row chosen at random, the place of the row's column that most
    rows have. So row lengths and the number of entries stay as they are, rows stay distinct and ascending,
    and no column loses its last row. Needs at least as many entries as columns; `indptr`, int64, shape
    (rows + 1,), and `columns`, int32, shape (entries,), are as `draw_rows` leaves them.
    """
    counts = np.zeros(n_columns, np.int64)
    for column in columns:
        counts[column] += 1
    n_rows = len(indptr) - 1
    n_missing = 0
    for column in range(n_columns):
        if counts[column] > 0:
            continue
        n_missing += 1
        row = np.int64((random_bits(row_key(key, column), 0) >> np.uint64(1)) % np.uint64(n_rows))
        place = _most_common(counts, columns, indptr[row], indptr[row + 1])
        while place < 0:
            row = (row + 1) % n_rows
            place = _most_common(counts, columns, indptr[row], indptr[row + 1])
        counts[columns[place]] -= 1
        counts[column] += 1
        while place > indptr[row] and columns[place - 1] > column:
            columns[place] = columns[place - 1]
            place -= 1
        while place < indptr[row + 1] - 1 and columns[place + 1] < column:
            columns[place] = columns[place + 1]
            place += 1
        columns[place] = column
    return n_missing


@exact_jit
def _most_common(counts: Int64, columns: Int32, start: int, stop: int) -> int:
    # the place of the commonest column that can spare a row, or -1
    best, most = -1, 1
    for place in range(start, stop):
        if counts[columns[place]] > most:
            best, most = place, counts[columns[place]]
    return best


@exact_jit
def number_by_first_appearance(columns: Int32, numbers: Int32) -> int:
    """Give columns numbers in the order in which they first appear; return how many do.

    `columns` is int32, shape (entries,); `numbers`, int32, shape (columns,), receives them, −1 for others.
    """
    numbers[:] = -1
    n_seen = 0
    for column in columns:
        if numbers[column] < 0:
            numbers[column] = n_seen
            n_seen += 1
    return n_seen


def apportion(total: int, weights: Float64) -> Int64:
    """Share `total` among positive weights: floors of the exact shares, the first ones taking the rest.

    `weights` and the shares, int64, have the same shape (weights,).
    """
    shares: Int64 = np.floor(weights * (total / np.cumsum(weights)[-1])).astype(np.int64)
    rest = total - int(shares.sum())
    shares += rest // len(shares)
    shares[: rest % len(shares)] += 1
    return shares
