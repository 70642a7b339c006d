"""Paper 1's two compiled tiers (section 4.6.3-4.6.4, Table 2), and what can be made of the second.

`paper-jit-sequential` and `paper-jit-parallel` are Algorithm 1 as the paper writes it, in float32 under
`fastmath`: a row's bias by Eq. 8, its gathered vectors' Gram as one BLAS product, its vector by one LAPACK
solve (Eq. 7), and `prange` over the rows. Numba gives each thread an equal share of consecutive rows. Where
popular items come first, as by MovieLens's ids or by first appearance, nearly all ratings of the item
half-step fall to the first of two threads (99 % on synthetic-32m): that is part of the paper's method as
it stands, and no division of the threads between Numba and BLAS avoids it.

`paper-jit-balanced` is not in the paper: the same method with the rows dealt out in interleaved piles and
the gather, the residuals and the bias's sum in one loop. It tells how much of a gain is due to the method
and how much to its balance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numba
import numpy as np

from daskals.types import Float32, Int32, Int64

PILES = 64
"""Interleaved piles of rows: enough to even out the threads, few enough to keep a pile's loop long."""


def _half_step(
    indptr: Int64,
    indices: Int32,
    ratings: Float32,
    vectors: Float32,
    biases: Float32,
    other_vectors: Float32,
    other_biases: Float32,
    weights: Float32,
) -> None:
    """Run Algorithm 1's loop over the rows of one side."""
    mean, lam, gamma, tau = weights[0], weights[1], weights[2], weights[3]
    ridge = tau * np.eye(vectors.shape[1]).astype(np.float32)
    for row in numba.prange(len(vectors)):
        start, stop = indptr[row], indptr[row + 1]
        if start == stop:
            continue
        others = indices[start:stop]
        gathered = other_vectors[others]
        residuals = ratings[start:stop] - mean - other_biases[others]
        total = np.sum(residuals - np.dot(gathered, vectors[row]))
        bias = lam * total / (lam * np.float32(stop - start) + gamma)
        biases[row] = bias
        matrix = lam * np.dot(gathered.T, gathered) + ridge
        vectors[row] = np.linalg.solve(matrix, lam * np.dot(gathered.T, residuals - bias))


def _half_step_balanced(
    indptr: Int64,
    indices: Int32,
    ratings: Float32,
    vectors: Float32,
    biases: Float32,
    other_vectors: Float32,
    other_biases: Float32,
    weights: Float32,
) -> None:
    """Do the same with interleaved rows, and one loop for all that is linear in a row's ratings."""
    n_rows, rank = vectors.shape
    mean, lam, gamma, tau = weights[0], weights[1], weights[2], weights[3]
    ridge = tau * np.eye(rank).astype(np.float32)
    for pile in numba.prange(PILES):
        for row in range(pile, n_rows, PILES):
            start = indptr[row]
            n = indptr[row + 1] - start
            if n == 0:
                continue
            vector = vectors[row]
            gathered = np.empty((n, rank), np.float32)
            residuals = np.empty(n, np.float32)
            total = np.float32(0.0)
            for j in range(n):
                other = indices[start + j]
                dot = np.float32(0.0)
                for k in range(rank):
                    gathered[j, k] = other_vectors[other, k]
                    dot += other_vectors[other, k] * vector[k]
                residuals[j] = ratings[start + j] - mean - other_biases[other]
                total += residuals[j] - dot
            bias = lam * total / (lam * np.float32(n) + gamma)
            biases[row] = bias
            for j in range(n):
                residuals[j] -= bias
            matrix = lam * np.dot(gathered.T, gathered) + ridge
            vectors[row] = np.linalg.solve(matrix, lam * np.dot(gathered.T, residuals))


def _squared_error(
    indptr: Int64,
    indices: Int32,
    ratings: Float32,
    users: tuple[Float32, Float32],
    items: tuple[Float32, Float32],
    mean: float,
) -> float:
    total = 0.0
    for row in numba.prange(len(indptr) - 1):
        partial = 0.0
        for j in range(indptr[row], indptr[row + 1]):
            item = indices[j]
            dot = np.float32(0.0)
            for k in range(users[0].shape[1]):
                dot += users[0][row, k] * items[0][item, k]
            error = ratings[j] - mean - users[1][row] - items[1][item] - dot
            partial += error * error
        total += partial
    return total


def _compiled(function: Callable[..., Any], name: str, *, parallel: bool) -> Callable[..., Any]:
    """Compile one of two forms of a function, under a name of its own: the disk cache tells by name only."""
    copy = FunctionType(function.__code__, function.__globals__, name)
    copy.__qualname__ = name
    # the paper's flags, not ours: under `fastmath` a NaN may pass unseen
    compiled: Callable[..., Any] = numba.njit(parallel=parallel, fastmath=True, cache=True)(copy)
    return compiled


half_step_sequential = _compiled(_half_step, "half_step_sequential", parallel=False)
half_step_parallel = _compiled(_half_step, "half_step_parallel", parallel=True)
half_step_balanced = _compiled(_half_step_balanced, "half_step_balanced", parallel=True)
squared_error_sequential = _compiled(_squared_error, "squared_error_sequential", parallel=False)
squared_error_parallel = _compiled(_squared_error, "squared_error_parallel", parallel=True)


@contextlib.contextmanager
def numba_threads(threads: int) -> Iterator[None]:
    """Let Numba use so many threads inside."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)
