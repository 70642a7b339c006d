"""The weighted half-step against duplicated rows, and against plain NumPy with a shared matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from daskals.errors import DataError, RowError
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.half_step.weighted import Weighting, solve_weighted
from daskals.kernels.toolkit.layout import empty_rows
from daskals.types import RatingsBlock, Ridge

RANKS = [3, pytest.param(20, marks=pytest.mark.slow), 33]
"""All tiles in registers, or by panels, whatever the CPU; 20 is the one or the other."""

SLOW = [(20, False), (20, True), (33, True)]

RIDGE = Ridge(2.0, 3.0, 0.7)


class Case(NamedTuple):
    """A block, its integer weights, and the block in which a weight is so many equal rows."""

    block: RatingsBlock
    weights: np.ndarray
    repeated: RatingsBlock
    other: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        return np.array([part.sum() for part in np.split(self.weights, self.block.indptr[1:-1])], float)


def make_case(rank: int, *, coded: bool = False, n_rows: int = 37, n_others: int = 50) -> Case:
    rng = np.random.default_rng(rank)
    other = empty_rows(n_others, rank)
    other[:, :rank] = rng.normal(size=(n_others, rank)) / 2
    other[:, rank + 1] = rng.normal(size=n_others)
    rated = rng.random((n_rows, n_others)) < 0.4
    rated[3] = False
    indptr = np.concatenate([[0], np.cumsum(rated.sum(1))])
    indices = np.nonzero(rated)[1].astype(np.int32)
    codes = rng.integers(0, 10, len(indices)).astype(np.uint8)
    scale = np.arange(1, 11, dtype=np.float32) / 2
    values, scale = (codes, scale) if coded else (scale[codes], np.empty(0, np.float32))
    weights = rng.integers(1, 4, len(indices))
    starts = np.concatenate([[0], np.cumsum(weights)])[indptr]
    repeated = RatingsBlock(0, starts, np.repeat(indices, weights), np.repeat(values, weights), scale)
    block = RatingsBlock(0, indptr, indices, values, scale)
    return Case(block, weights.astype(np.float32), repeated, other)


@pytest.mark.parametrize(
    ("rank", "coded"),
    [(3, False), (3, True), (33, False), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)],
)
def test_a_weight_of_two_is_the_rating_twice(rank, coded):
    case = make_case(rank, coded=coded)
    prior = np.random.default_rng(1).normal(size=(37, rank + 1)).astype(np.float32)
    given = {"rank": rank, "mean": 3.0, "ridge": RIDGE, "prior": prior}
    rows, stats = solve_weighted(case.block, case.other, Weighting(case.weights, case.counts), **given)
    expected, twice = solve_rows(case.repeated, case.other, **given)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=5e-6)
    np.testing.assert_allclose(stats, twice, rtol=1e-6)


@pytest.mark.parametrize("rank", RANKS)
def test_a_shared_matrix_is_added_to_every_row(rank):
    block, weights, _, other = make_case(rank)
    other[:, rank + 1] = 0.0
    counts = np.linspace(1.0, 9.0, 37)
    shared = 0.3 * side_gram(other, rank)
    rows, stats = solve_weighted(
        block, other, Weighting(weights, counts, shared, biased=False), rank=rank, mean=0.0, ridge=RIDGE
    )
    q_all = other[:, :rank].astype(float)
    sse = penalty = 0.0
    for row in range(37):
        own = slice(block.indptr[row], block.indptr[row + 1])
        q, w, y = q_all[block.indices[own]], weights[own].astype(float), block.values[own].astype(float)
        if not len(q):
            assert not rows[row, :rank].any()
            continue
        ridge = RIDGE.factors * counts[row] ** RIDGE.exponent
        system = q.T @ (w[:, None] * q) + 0.3 * q_all.T @ q_all + ridge * np.eye(rank)
        x = np.linalg.solve(system, q.T @ (w * y))
        np.testing.assert_allclose(rows[row, :rank], x, rtol=0, atol=1e-5)
        sse += np.sum(w * (y - q @ x) ** 2) + 0.3 * np.sum((q_all @ x) ** 2)
        penalty += ridge * x @ x
    assert not rows[:, rank + 1].any()
    np.testing.assert_allclose(stats, (sse, penalty), rtol=1e-5)


def test_a_long_row_is_summed_in_double():
    """More ratings than one segment holds."""
    rank, n = 3, 10_000
    rng = np.random.default_rng(0)
    other = empty_rows(n, rank)
    other[:, :rank] = rng.normal(size=(n, rank))
    weights = rng.integers(1, 4, n).astype(np.float32)
    block = RatingsBlock(
        0, np.array([0, n]), np.arange(n, dtype=np.int32), np.ones(n, np.float32), np.empty(0, np.float32)
    )
    weighting = Weighting(weights, np.ones(1), biased=False)
    rows, _ = solve_weighted(block, other, weighting, rank=rank, mean=0.0, ridge=Ridge(1.0, 0.0))
    q, w = other[:, :rank].astype(float), weights.astype(float)
    np.testing.assert_allclose(
        rows[0, :rank], np.linalg.solve(q.T @ (w[:, None] * q) + np.eye(rank), q.T @ w), rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(side_gram(other, rank), q.T @ q, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(weight):
    case = make_case(3)
    case.weights[7] = weight
    with pytest.raises(DataError, match=rf"weight {weight} of rating 7.*expected a positive number"):
        solve_weighted(
            case.block, case.other, Weighting(case.weights, case.counts), rank=3, mean=0.0, ridge=RIDGE
        )


def test_what_does_not_fit_is_refused():
    case = make_case(3)
    given = {"rank": 3, "mean": 0.0, "ridge": RIDGE}
    with pytest.raises(DataError, match="1 weights; expected one for each"):
        solve_weighted(case.block, case.other, Weighting(case.weights[:1], case.counts), **given)
    with pytest.raises(DataError, match="1 counts; expected one for each of 37 rows"):
        solve_weighted(case.block, case.other, Weighting(case.weights, case.counts[:1]), **given)
    with pytest.raises(DataError, match=r"shape \(4, 4\)"):
        solve_weighted(case.block, case.other, Weighting(case.weights, case.counts, np.eye(4)), **given)
    case.block.indices[0] = 99
    with pytest.raises(RowError, match="an index points past"):
        solve_weighted(case.block, case.other, Weighting(case.weights, case.counts), **given)


def test_equations_that_have_no_solution_are_named():
    case = make_case(3)
    singular = Weighting(case.weights, case.counts, -1e6 * np.eye(3), biased=False)
    with pytest.raises(RowError, match="not positive definite"):
        solve_weighted(case.block, case.other, singular, rank=3, mean=0.0, ridge=RIDGE)
    case.other[:] = np.nan
    with pytest.raises(RowError, match="not finite"):
        solve_weighted(
            case.block, case.other, Weighting(case.weights, case.counts), rank=3, mean=0.0, ridge=RIDGE
        )
