"""Parts of a split: kernels that move some of the training ratings to another."""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.random import random_bits, row_key, uniform_at
from daskals.types import TRAIN, Int64, UInt8


@exact_jit
def _training_places(parts: UInt8, start: int, stop: int) -> Int64:
    count = 0
    for place in range(start, stop):
        count += parts[place] == TRAIN
    places = np.empty(count, dtype=np.int64)
    head = 0
    for place in range(start, stop):
        if parts[place] == TRAIN:
            places[head] = place
            head += 1
    return places


@exact_jit
def _sorted_by(places: Int64, keys: Int64) -> Int64:
    """Return the places in ascending order of their keys; equal keys keep the order of the places."""
    ascending = True
    for k in range(1, len(places)):
        ascending = ascending and keys[places[k]] >= keys[places[k - 1]]
    if ascending:
        return places
    return places[np.argsort(keys[places], kind="mergesort")]


@exact_jit
def mark_last(parts: UInt8, indptr: Int64, held: Int64, times: Int64, positions: Int64, part: int) -> None:
    """Move the latest `held[row]` training ratings of every row to `part`, in place.

    Parameters
    ----------
    parts, indptr
        uint8, shape (ratings,); int64, shape (rows + 1,).
    held
        int64, shape (rows,), at most the row's number of training ratings.
    times, positions
        int64, shape (ratings,); equal times are ordered by position.
    part
        Code of the part.
    """
    for row in range(len(held)):
        if held[row] == 0:
            continue
        places = _training_places(parts, indptr[row], indptr[row + 1])
        places = _sorted_by(_sorted_by(places, positions), times)
        for k in range(len(places) - held[row], len(places)):
            parts[places[k]] = part


@np.errstate(over="ignore")
@exact_jit
def mark_uniform(parts: UInt8, positions: Int64, key: np.uint64, fraction: float, part: int) -> None:
    """Move each training rating to `part` with a probability, in place.

    Parameters
    ----------
    parts, positions
        uint8, shape (ratings,); int64, shape (ratings,): column of each rating's draw in row 0 of the stream.
    key, fraction
        Key of the random stream, from `toolkit.random.key_of`; the probability.
    part
        Code of the part.
    """
    draws = row_key(key, 0)
    for place in range(len(parts)):
        if parts[place] == TRAIN and uniform_at(draws, positions[place]) < fraction:
            parts[place] = part


@np.errstate(over="ignore")
@exact_jit
def mark_random_share(
    parts: UInt8, indptr: Int64, held: Int64, positions: Int64, key: np.uint64, part: int
) -> None:
    """Move `held[row]` training ratings of every row, chosen at random, to `part`, in place.

    The choice depends on the row, the order of its own ratings in the input and the key: not on other
    rows.

    Parameters
    ----------
    parts, indptr
        uint8, shape (ratings,); int64, shape (rows + 1,).
    held, positions
        int64, shape (rows,), at most the row's number of training ratings; int64, shape (ratings,).
    key, part
        Key of the random stream, from `toolkit.random.key_of`; code of the part.
    """
    for row in range(len(held)):
        if held[row] == 0:
            continue
        places = _sorted_by(_training_places(parts, indptr[row], indptr[row + 1]), positions)
        draws = np.empty(len(places), dtype=np.uint64)
        of_row = row_key(key, row)
        for k in range(len(places)):
            draws[k] = random_bits(of_row, k)
        by_draw = np.argsort(draws, kind="mergesort")
        for k in range(held[row]):
            parts[places[by_draw[k]]] = part
