"""Paper 1's two interpreted tiers (section 4.6.4, Table 2), timed on a sample of rows where data are large.

`paper-naive` is the loop a textbook would write: dictionaries of ratings, lists of vectors, one outer
product a rating. `paper-dual-csr` reads both compressed orientations and does a row at a time in NumPy.
Both take the papers' coordinate updates, the bias by Eq. 8 and then the factors by Eq. 7.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData, initial_factors, rows_of
from daskals.bench.work import epoch_bytes
from daskals.types import SIDES, Float32, Float64, Int32, Int64, RatingsBlock, Side

FULL_RATINGS = 120_000
"""Up to so many training ratings every row is solved; beyond, a sample is timed."""

SAMPLE_GROUPS = 20
ROWS_A_GROUP = 4
SAMPLE_PASSES = 3


@dataclass
class _Factors:
    """Vectors and biases of one side, as an interpreted program keeps them."""

    vectors: list[Float64]
    biases: list[float]


@dataclass(frozen=True)
class _Weights:
    mean: float
    lam: float
    gamma: float
    tau: float


Row: TypeAlias = dict[int, float]


def solve_naive(ratings: Row, vector: Float64, other: _Factors, weights: _Weights) -> tuple[Float64, float]:
    """Update one row rating by rating; return its new vector, shape (rank,), and bias."""
    mean, lam = weights.mean, weights.lam
    total = 0.0
    for other_row, rating in ratings.items():
        total += rating - mean - other.biases[other_row] - float(np.dot(vector, other.vectors[other_row]))
    bias = lam * total / (lam * len(ratings) + weights.gamma)
    matrix = weights.tau * np.eye(len(vector))
    right = np.zeros(len(vector))
    for other_row, rating in ratings.items():
        q = other.vectors[other_row]
        matrix += lam * np.outer(q, q)
        right += lam * (rating - mean - bias - other.biases[other_row]) * q
    solved = np.asarray(np.linalg.solve(matrix, right), np.float64)
    return solved, bias


def solve_vectorised(
    indices: Int32, ratings: Float32, vector: Float32, other: tuple[Float32, Float32], weights: _Weights
) -> tuple[Float32, float]:
    """Update one row with NumPy over its slice of a compressed matrix.

    Parameters
    ----------
    indices, ratings
        The slice, shape (ratings,).
    vector
        The row's factors, shape (rank,).
    other, weights
        Vectors and biases of the other side, shapes (rows, rank) and (rows,); mean and regularisation.

    Returns
    -------
    Float32, float
        The new vector, shape (rank,), and bias.
    """
    gathered = other[0][indices]
    residuals = ratings - np.float32(weights.mean) - other[1][indices]
    lam = np.float32(weights.lam)
    bias = float(np.sum(residuals - gathered @ vector)) * weights.lam
    bias /= weights.lam * len(indices) + weights.gamma
    matrix = lam * (gathered.T @ gathered) + np.float32(weights.tau) * np.eye(len(vector), dtype=np.float32)
    right = lam * (gathered.T @ (residuals - np.float32(bias)))
    return np.linalg.solve(matrix, right), bias


def run_naive(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `paper-naive`."""
    rank, weights = assignment.config.rank, _weights(data, assignment)
    factors = {
        side: _Factors(list(initial_factors(data, side, assignment.config).astype(np.float64)), [])
        for side in SIDES
    }
    for side in SIDES:
        factors[side].biases = [0.0] * data.side(side).n_rows
    rows: dict[Side, dict[int, Row]] = {}

    def prepare(side: Side, chosen: Int64) -> None:
        block, values = data.side(side), data.side(side).ratings
        rows[side] = {}
        for row in chosen.tolist():
            here = slice(block.indptr[row], block.indptr[row + 1])
            rows[side][row] = dict(zip(block.indices[here].tolist(), values[here].tolist(), strict=True))

    def solve(side: Side, row: int) -> None:
        own, other = factors[side], factors[SIDES[side == "user"]]
        own.vectors[row], own.biases[row] = solve_naive(rows[side][row], own.vectors[row], other, weights)

    def predict() -> Float64:
        users, items = factors["user"], factors["item"]
        vectors = np.array(users.vectors), np.array(items.vectors)
        return _predictions(data, vectors, (np.array(users.biases), np.array(items.biases)))

    return _timed(data, assignment, prepare, solve, predict, row_bytes=8 * (rank + 1))


def run_dual_csr(data: BenchData, assignment: Assignment) -> Outcome:
    """Run `paper-dual-csr`."""
    rank, weights = assignment.config.rank, _weights(data, assignment)
    vectors = {side: initial_factors(data, side, assignment.config) for side in SIDES}
    biases = {side: np.zeros(data.side(side).n_rows, np.float32) for side in SIDES}
    values = {side: data.side(side).ratings for side in SIDES}

    def prepare(side: Side, chosen: Int64) -> None:
        """Nothing is to be done: the compressed orientations are there."""

    def solve(side: Side, row: int) -> None:
        block, opposite = data.side(side), SIDES[side == "user"]
        here = slice(block.indptr[row], block.indptr[row + 1])
        vectors[side][row], biases[side][row] = solve_vectorised(
            block.indices[here],
            values[side][here],
            vectors[side][row],
            (vectors[opposite], biases[opposite]),
            weights,
        )

    def predict() -> Float64:
        return _predictions(data, (vectors["user"], vectors["item"]), (biases["user"], biases["item"]))

    return _timed(data, assignment, prepare, solve, predict, row_bytes=4 * (rank + 1))


def sample_rows(counts: Int64) -> list[tuple[Int64, float]]:
    """Choose rows whose time stands for all rated rows of a side.

    Rows in order of their number of ratings, `counts` (rows,), are cut into groups of about equal ratings, so
    that rows of a group cost about the same; some are taken from each at even distances. Returns (row
    numbers, what to multiply their time by: the group's ratings over theirs).
    """
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    work = np.cumsum(counts[order])
    cuts = np.searchsorted(work, work[-1] * np.arange(1, SAMPLE_GROUPS) / SAMPLE_GROUPS) + 1
    groups = np.split(order, np.unique(np.minimum(cuts, len(order))))
    chosen = []
    for group in groups:
        if len(group):
            places = np.unique(np.linspace(0, len(group) - 1, ROWS_A_GROUP + 2).astype(np.int64)[1:-1])
            rows = group[places]
            chosen.append((rows, float(counts[group].sum() / counts[rows].sum())))
    return chosen


def _timed(
    data: BenchData,
    assignment: Assignment,
    prepare: Callable[[Side, Int64], None],
    solve: Callable[[Side, int], None],
    predict: Callable[[], Float64],
    *,
    row_bytes: int,
) -> Outcome:
    """Time all rows for all epochs, or a sample of rows a few times."""
    full = data.n_train <= FULL_RATINGS
    plan: dict[Side, list[tuple[Int64, float]]] = {}
    for side in SIDES:
        counts = np.diff(data.side(side).indptr)
        plan[side] = [(np.flatnonzero(counts), 1.0)] if full else sample_rows(counts)
        prepare(side, np.concatenate([rows for rows, _ in plan[side]]))
    seconds = []
    for _ in range(assignment.config.epochs if full else SAMPLE_PASSES):
        total = 0.0
        for side in SIDES:
            for rows, factor in plan[side]:
                started = time.perf_counter()
                for row in rows.tolist():
                    solve(side, row)
                total += factor * (time.perf_counter() - started)
        seconds.append(total)
    n_timed = sum(len(rows) for side in SIDES for rows, _ in plan[side])
    moved = epoch_bytes(data.n_train, data.n_rows, rating_bytes=8, row_bytes=row_bytes, copies=4)
    return Outcome(
        seconds=seconds,
        test_rmse=_rmse(data, predict()) if full else None,
        threads="1 thread, BLAS 1",
        order=assignment.config.rank,
        bytes_moved=moved,
        note="" if full else f"extrapolated from {n_timed} of {data.n_rows:,} rows, so without RMSE",
        extra={} if full else {"extrapolated": True, "rows_timed": n_timed},
    )


def _weights(data: BenchData, assignment: Assignment) -> _Weights:
    config = assignment.config
    return _Weights(data.mean, config.lambda_, config.gamma, config.tau)


def _predictions(
    data: BenchData, vectors: tuple[Float64 | Float32, ...], biases: tuple[Float64 | Float32, ...]
) -> Float64:
    test: RatingsBlock = data.test
    users, items = rows_of(test), test.indices
    dots = np.einsum("rk,rk->r", vectors[0][users], vectors[1][items], dtype=np.float64)
    predictions: Float64 = data.mean + biases[0][users] + biases[1][items] + dots
    return predictions


def _rmse(data: BenchData, predictions: Float64) -> float:
    return float(np.sqrt(np.mean(np.square(data.test.ratings - predictions))))
