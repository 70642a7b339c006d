"""Elimination of implicit feedback rows, with the matrix they share, against NumPy and its plain twin."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.errors import DataError, RowError
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.weighted import Weighting
from daskals.kernels.prior import eliminate
from daskals.kernels.prior.features import FeatureRows, number_patterns
from daskals.kernels.prior.fill import fill_rows
from daskals.kernels.prior.pattern_sums import start_sums
from daskals.kernels.prior.prior_system import lower_triangle, sum_system
from daskals.types import Ridge
from tests.cases.blocks import make_case

COUNTS, RANK, SHARED = [3, 0, 1, 12, 7, 1, 0, 30, 2], 5, 0.3
OPTIONS = {"rank": RANK, "mean": 0.0, "ridge": Ridge(0.2, 0.0, 0.7)}


@pytest.fixture(scope="module")
def case():
    block, other = make_case(COUNTS, 40, RANK)
    other[:, RANK + 1] = 0.0
    weights = np.random.default_rng(1).uniform(0.5, 3, len(block.indices)).astype(np.float32)
    counts = np.array(COUNTS) + SHARED * len(other)
    return block, other, Weighting(weights, counts, SHARED * side_gram(other, RANK), biased=False)


def features(matrix: np.ndarray) -> FeatureRows:
    rows, columns = np.nonzero(matrix)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(matrix, axis=1))])
    values = matrix[rows, columns].astype(np.float32)
    return number_patterns(
        FeatureRows(indptr, columns.astype(np.int32), values, matrix.shape[1], np.empty(0, np.int64))
    )


def test_w_rows_and_objective_are_those_of_the_equations(case):
    block, other, weighting = case
    f = np.array([[1, 0], [0, 1], [1, 0], [0.5, 0.5], [0, 0], [1, 0], [1, 0], [0, 1], [0.5, 0.5]])
    q_all, known = other[:, :RANK].astype(float), features(f)
    sums = start_sums(known.patterns, RANK)
    found = eliminate.eliminate_rows(block, other, weighting=weighting, sums=sums, **OPTIONS)
    weights = np.random.default_rng(2).normal(0, 0.5, (2, RANK + 1))
    weights[:, RANK] = 0.0
    rows, stats = fill_rows(found, known, weights, block, other, rank=RANK, mean=0.0, weighting=weighting)
    matrix, right = np.zeros((2, RANK, 2, RANK)), np.zeros((2, RANK))
    sse = penalty = 0.0
    for row, own in enumerate(f):
        here = slice(block.indptr[row], block.indptr[row + 1])
        q, w = q_all[block.indices[here]], weighting.weights[here].astype(float)
        y = block.scale[block.values[here]].astype(float)
        t = 0.2 * weighting.counts[row] ** 0.7 * np.eye(RANK)
        s = q.T @ (w[:, None] * q) + SHARED * q_all.T @ q_all
        inverse, mean = np.linalg.inv(s + t), own @ weights[:, :RANK]
        matrix += np.einsum("g,h,ab->gahb", own, own, t @ inverse @ s)
        right += np.outer(own, t @ inverse @ (q.T @ (w * y)))
        x = inverse @ (q.T @ (w * y) + t @ mean)
        np.testing.assert_allclose(rows[row, :RANK], x, rtol=1e-4, atol=1e-5)
        sse += np.sum(w * (y - q @ x) ** 2) + SHARED * np.sum((q_all @ x) ** 2)
        penalty += (x - mean) @ t @ (x - mean)
    assert not rows[:, RANK + 1].any()
    np.testing.assert_allclose(stats, (sse, penalty), rtol=1e-5)
    system = sum_system(found, known, sums)
    whole = lower_triangle(system).reshape(2, RANK + 1, 2, RANK + 1)
    whole = np.tril(whole.reshape(2 * RANK + 2, -1))
    whole = (whole + np.tril(whole, -1).T).reshape(2, RANK + 1, 2, RANK + 1)
    np.testing.assert_allclose(whole[:, :RANK, :, :RANK], matrix, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(system.right.reshape(2, -1)[:, :RANK], right, rtol=1e-4, atol=1e-5)
    assert not whole[:, RANK].any()
    assert not system.right.reshape(2, -1)[:, RANK].any()


def test_a_row_is_its_plain_twin_and_does_not_depend_on_those_beside_it(case, monkeypatch):
    block, other, weighting = case
    fast = eliminate.eliminate_rows(block, other, weighting=weighting, **OPTIONS)
    for row, count in enumerate(COUNTS):
        here = slice(block.indptr[row], block.indptr[row + 1])
        alone = block._replace(
            indptr=np.array([0, count]), indices=block.indices[here], values=block.values[here]
        )
        own = Weighting(
            weighting.weights[here], weighting.counts[row : row + 1], weighting.shared, biased=False
        )
        single = eliminate.eliminate_rows(alone, other, weighting=own, **OPTIONS)
        np.testing.assert_array_equal(single.x0[0], fast.x0[row])
        np.testing.assert_array_equal(single.objective[0], fast.objective[row])
    monkeypatch.setattr(eliminate, "PLAIN", True)
    plain = eliminate.eliminate_rows(block, other, weighting=weighting, **OPTIONS)
    np.testing.assert_allclose(fast.x0, plain.x0, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fast.inverse, plain.inverse, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fast.weights, plain.weights, rtol=1e-6)
    np.testing.assert_allclose(fast.objective, plain.objective, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_eliminated_is_refused(case):
    block, other, weighting = case
    with pytest.raises(DataError, match="expected that of implicit feedback"):
        eliminate.eliminate_rows(
            block, other, weighting=Weighting(weighting.weights, weighting.counts), **OPTIONS
        )
    indices = block.indices.copy()
    indices[3] = 40
    with pytest.raises(RowError, match="row 2: an index points past"):
        eliminate.eliminate_rows(block._replace(indices=indices), other, weighting=weighting, **OPTIONS)
