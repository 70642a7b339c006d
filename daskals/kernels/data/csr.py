"""Compressed rows by counting sort: orders, gathers, codes, parts and repeated pairs, all in O(n).

A rating is (row, column); which of user and item is the row is the caller's choice, so one function
serves both orientations. Every kernel is serial and `nogil`: callers run one orientation a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Int32, Int64, UInt8

MAX_CODES = 256
"""Distinct ratings that fit one byte."""

_TOO_MANY = -1
_NOT_FINITE = -2
_TABLE_SIZE = 1024
_HASH_MULTIPLIER = np.uint64(2654435761)


class DuplicateGroups(NamedTuple):
    """Ratings whose (user, item) pair occurs more than once.

    `members`: int64: places of the ratings in the input arrays, group after group, ascending within a group;
    `starts`: int64, shape (groups + 1,): group g is `members[starts[g]:starts[g + 1]]`. Groups come in the
    order of their first members.
    """

    members: Int64
    starts: Int64


@exact_jit
def row_starts(rows: Int32, n_rows: int) -> Int64:
    """Return where each row's ratings, shape (ratings,), begin once sorted, int64, shape (n_rows + 1,)."""
    starts = np.zeros(n_rows + 1, dtype=np.int64)
    for k in range(len(rows)):
        starts[rows[k] + 1] += 1
    for row in range(n_rows):
        starts[row + 1] += starts[row]
    return starts


@exact_jit
def _place_stable(rows: Int32, starts: Int64, order: NDArray[Any]) -> None:
    heads = starts.copy()
    for k in range(len(rows)):
        row = rows[k]
        order[heads[row]] = k
        heads[row] += 1


@exact_jit
def _place_stable_after(rows: Int32, starts: Int64, before: NDArray[Any], order: NDArray[Any]) -> None:
    heads = starts.copy()
    for place in range(len(before)):
        k = before[place]
        row = rows[k]
        order[heads[row]] = k
        heads[row] += 1


def sorted_order(rows: Int32, columns: Int32, n_rows: int, n_columns: int) -> tuple[Int64, NDArray[Any]]:
    """Sort ratings by row, then column, then place, with two stable counting sorts.

    `rows` and `columns` are int32, shape (ratings,). Returns their `indptr`, int64, shape (n_rows + 1,), and
    the places of the sorted ratings, int32 (int64 beyond 2³¹ − 1 ratings), shape (ratings,).
    """
    dtype = np.int32 if len(rows) <= np.iinfo(np.int32).max else np.int64
    by_column = np.empty(len(rows), dtype=dtype)
    _place_stable(columns, row_starts(columns, n_columns), by_column)
    starts = row_starts(rows, n_rows)
    order = np.empty(len(rows), dtype=dtype)
    _place_stable_after(rows, starts, by_column, order)
    return starts, order


@exact_jit
def _gather(values: NDArray[Any], order: NDArray[Any], out: NDArray[Any]) -> None:
    for place in range(len(order)):
        out[place] = values[order[place]]


def gather(values: NDArray[Any], order: NDArray[Any]) -> NDArray[Any]:
    """Return values[order], shape (order,), any dtype, without NumPy's conversion of the order to 64 bits."""
    out = np.empty(len(order), dtype=values.dtype)  # by NumPy, which asks for huge pages
    _gather(values, order, out)
    return out


@exact_jit
def first_repeat(starts: Int64, columns: Int32) -> int:
    """Return the place of the first rating that repeats its row's previous column, or −1.

    `starts` is int64, shape (rows + 1,); `columns` int32, shape (ratings,), ascending within a row.
    """
    for row in range(len(starts) - 1):
        for place in range(starts[row] + 1, starts[row + 1]):
            if columns[place] == columns[place - 1]:
                return place
    return -1


@exact_jit
def count_visits(users: Int32, columns: Int32, last_user: Int32) -> int:
    """Return how many of a run of ratings are the first of their user in their column.

    Parameters
    ----------
    users, columns
        Each rating's, int32, shape (ratings,); ratings of a user follow one another.
    last_user
        The user last met in each column, −1 for none, int32, shape (columns,): a run goes on where the one
        before ended. Changed in place.
    """
    visits = 0
    for place in range(len(users)):
        column = columns[place]
        visits += last_user[column] != users[place]
        last_user[column] = users[place]
    return visits


@exact_jit
def _encode_as_met(values: Float32, met: Float32, codes: UInt8) -> int:
    """Give distinct values numbers in the order they are met, in one pass over a small hash table.

    Returns how many there are, or _TOO_MANY, or _NOT_FINITE.
    """
    keys = np.zeros(_TABLE_SIZE, dtype=np.float32)
    code_of = np.full(_TABLE_SIZE, -1, dtype=np.int16)
    bits = values.view(np.uint32)
    count = 0
    for k in range(len(values)):
        value = values[k]
        spread = np.uint64(0) if value == 0.0 else np.uint64(bits[k]) * _HASH_MULTIPLIER
        slot = np.int64((spread >> np.uint64(22)) & np.uint64(_TABLE_SIZE - 1))
        while code_of[slot] >= 0 and keys[slot] != value:
            slot = (slot + 1) & (_TABLE_SIZE - 1)
        if code_of[slot] < 0:
            if not np.isfinite(value):
                return _NOT_FINITE
            if count == len(met):
                return _TOO_MANY
            code_of[slot] = count
            keys[slot] = value
            met[count] = value
            count += 1
        codes[k] = code_of[slot]
    return count


@exact_jit
def _recode(codes: UInt8, code_of: UInt8) -> None:
    for k in range(len(codes)):
        codes[k] = code_of[codes[k]]


def encode_values(values: Float32) -> tuple[UInt8 | Float32, Float32]:
    """Turn ratings, float32, shape (ratings,), into one-byte codes where at most 256 are distinct.

    Returns the codes, uint8, of the same shape, and the distinct values, float32, ascending (−0 counts as 0);
    or `values` itself and an empty scale. Raises ValueError if a value is NaN or infinite.
    """
    met = np.empty(MAX_CODES, dtype=np.float32)
    codes = np.empty(len(values), dtype=np.uint8)
    count = _encode_as_met(values, met, codes)
    if count == _NOT_FINITE or (count == _TOO_MANY and not np.isfinite(values).all()):
        raise ValueError("a rating is not finite")
    if count == _TOO_MANY:
        return values, np.empty(0, dtype=np.float32)
    ascending = np.argsort(met[:count])
    ranks = np.empty(count, dtype=np.uint8)
    ranks[ascending] = np.arange(count)
    _recode(codes, ranks)
    return codes, met[ascending] + np.float32(0.0)  # adding zero turns −0 into 0


@exact_jit
def count_part(starts: Int64, parts: UInt8, part: int) -> Int64:
    """Return each row's number of ratings whose code in `parts` is `part`, int64, shape (rows,).

    `starts` is int64, shape (rows + 1,), beginning at 0; `parts` uint8, shape (ratings,).
    """
    counts = np.zeros(len(starts) - 1, dtype=np.int64)
    for row in range(len(counts)):
        count = 0
        for place in range(starts[row], starts[row + 1]):
            count += parts[place] == part
        counts[row] = count
    return counts


@exact_jit
def _compact(
    parts: UInt8, part: int, indices: Int32, values: NDArray[Any], kept_indices: Int32, kept: NDArray[Any]
) -> int:
    # written without a branch: which ratings are kept is random, and a wrong guess costs 15 cycles
    head = 0
    for place in range(len(parts)):
        kept_indices[head] = indices[place]
        kept[head] = values[place]
        head += parts[place] == part
    return head


def compact_part(
    starts: Int64,
    parts: UInt8,
    part: int,
    pieces: Iterable[tuple[Int32, NDArray[Any]]],
    value_type: type[np.uint8 | np.float32],
) -> tuple[Int64, Int32, NDArray[Any]]:
    """Keep the ratings of one part, in order.

    Parameters
    ----------
    starts, parts
        int64, shape (rows + 1,), beginning at 0; uint8, shape (ratings,).
    part
        Code of the part to keep.
    pieces
        Indices and values of all ratings, in pieces that follow one another; one is in memory at a time.
    value_type
        Type of the values.

    Returns
    -------
    starts, indices, values
        int64, int32 and `value_type`: the same rows, shape (rows + 1,), (kept,) and (kept,), with the other
        parts' ratings left out.
    """
    kept_starts = np.zeros(len(starts), dtype=np.int64)
    np.cumsum(count_part(starts, parts, part), out=kept_starts[1:])
    n_kept = int(kept_starts[-1])
    kept_indices = np.empty(n_kept + 1, dtype=np.int32)  # one more: the branchless loop writes ahead
    kept = np.empty(n_kept + 1, dtype=value_type)
    done = head = 0
    for indices, values in pieces:
        own = parts[done : done + len(indices)]
        head += _compact(own, part, indices, values, kept_indices[head:], kept[head:])
        done += len(indices)
    return kept_starts, kept_indices[:n_kept], kept[:n_kept]


@exact_jit
def _count_repeats(starts: Int64, order: NDArray[Any], columns: Int32, last_seen: Int64) -> int:
    repeats = 0
    for row in range(len(starts) - 1):
        for place in range(starts[row], starts[row + 1]):
            column = columns[order[place]]
            repeats += last_seen[column] >= starts[row]
            last_seen[column] = place
    return repeats


@exact_jit
def _list_repeats(
    starts: Int64, order: NDArray[Any], columns: Int32, first_seen: Int64, pairs: Int64
) -> None:
    head = 0
    for row in range(len(starts) - 1):
        for place in range(starts[row], starts[row + 1]):
            column = columns[order[place]]
            if first_seen[column] >= starts[row]:
                pairs[head, 0] = order[first_seen[column]]
                pairs[head, 1] = order[place]
                head += 1
            else:
                first_seen[column] = place


def duplicate_groups(users: Int32, items: Int32, n_users: int, n_items: int) -> DuplicateGroups:
    """Find ratings that share their (user, item) pair with another, in O(ratings + users + items).

    One counting sort by user, then one pass with a stamp for each item that says where it was last seen: a
    stamp inside the current user's range is a repeat. `users` and `items` are int32, shape (ratings,).
    Without repeats `members` is empty and `starts` [0].
    """
    starts = row_starts(users, n_users)
    order = np.empty(len(users), dtype=np.int32 if len(users) <= np.iinfo(np.int32).max else np.int64)
    _place_stable(users, starts, order)
    n_repeats = _count_repeats(starts, order, items, np.full(n_items, -1, dtype=np.int64))
    if n_repeats == 0:
        return DuplicateGroups(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    pairs = np.empty((n_repeats, 2), dtype=np.int64)
    _list_repeats(starts, order, items, np.full(n_items, -1, dtype=np.int64), pairs)
    firsts = np.unique(pairs[:, 0])
    keys = np.concatenate([firsts, pairs[:, 0]])
    members = np.concatenate([firsts, pairs[:, 1]])
    by_group = np.lexsort((members, keys))
    group_starts = np.searchsorted(keys[by_group], firsts)
    return DuplicateGroups(members[by_group], np.append(group_starts, len(members)).astype(np.int64))
