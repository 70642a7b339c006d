"""Draws of many features' weights: closed-form moments by every way, and the features of all rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from daskals.kernels.gibbs.feature_products import aligned, multiply, transposed, width_of
from daskals.kernels.gibbs.weights import (
    ByFeatures,
    PriorNoise,
    decomposed_rows,
    draw_by_features,
    draw_by_rows,
    for_gradients,
    solve_by_gradients,
)
from daskals.kernels.prior.features import FeatureRows, times, transposed_times
from daskals.kernels.prior.whole_features import join_rows, row_gram, without_unrated
from daskals.kernels.toolkit.tridiagonal import tridiagonalise

N_DRAWS = 20_000


def sparse(dense: np.ndarray) -> FeatureRows:
    rows, columns = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(dense, axis=1))])
    values = dense[rows, columns].astype(np.float32)
    return FeatureRows(indptr, columns.astype(np.int32), values, dense.shape[1], np.empty(0, np.int64))


def some_features(n_rows: int, n_features: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    dense = rng.random((n_rows, n_features)) * (rng.random((n_rows, n_features)) < 0.6)
    return dense.astype(np.float32).astype(np.float64)


def draw(way: str, f: np.ndarray, rows: np.ndarray, shifts: np.ndarray, rng) -> np.ndarray:
    if way == "features":
        normals = rng.normal(size=(f.shape[1], len(shifts)))
        return draw_by_features(ByFeatures(tridiagonalise(f.T @ f)), f.T @ rows, shifts, normals)
    system = decomposed_rows(sparse(f)) if way == "rows" else for_gradients(sparse(f))
    noise = PriorNoise(rng.normal(size=(f.shape[1], len(shifts))), rng.normal(size=rows.shape))
    return draw_by_rows(system, rows, shifts, noise)


@pytest.mark.parametrize("way", ["features", "rows", "gradients"])
@pytest.mark.parametrize("shape", [(3, 5), (9, 4)], ids=str)
def test_draws_have_the_closed_form(way, shape):
    f, rng = some_features(*shape), np.random.default_rng(1)
    x = rng.normal(size=shape[0])
    for shift in (0.2, 3.0):
        drawn = draw(way, f, np.repeat(x[:, None], N_DRAWS, axis=1), np.full(N_DRAWS, shift), rng)
        covariance = np.linalg.inv(f.T @ f + shift * np.eye(shape[1]))
        deviation = np.sqrt(np.diag(covariance) / N_DRAWS)
        assert np.all(np.abs(drawn.mean(axis=1) - covariance @ f.T @ x) < 4.5 * deviation)
        np.testing.assert_allclose(np.cov(drawn), covariance, atol=0.04 * covariance.max())


def test_rows_without_ratings_say_nothing():
    f, counts = some_features(6, 4), np.array([1, 0, 3, 0, 2, 1])
    kept = without_unrated(sparse(f), counts)
    found = []
    for x in (0.0, 99.0):
        rows = np.where(counts[:, None] > 0, 1.0, x) * np.ones((6, 2))
        found.append(
            draw_by_rows(
                decomposed_rows(kept), rows, np.ones(2), PriorNoise(np.ones((4, 2)), np.ones((6, 2)))
            )
        )
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(row_gram(kept), (f @ f.T) * np.outer(counts > 0, counts > 0), atol=1e-6)


def test_blocks_are_joined_in_order():
    f = some_features(7, 5)
    joined = join_rows([sparse(f[:3]), sparse(f[3:4]), sparse(f[4:])])
    whole = sparse(f)
    np.testing.assert_array_equal(joined.indptr, whole.indptr)
    np.testing.assert_array_equal(joined.indices, whole.indices)
    np.testing.assert_array_equal(joined.values, whole.values)


def test_gradients_solve_every_column_for_its_own_shift():
    f, rng = some_features(60, 40), np.random.default_rng(3)
    right, shifts = rng.normal(size=(40, 4)), np.array([1e-2, 0.5, 4.0, 1e4])
    right[:, 1] = 0.0
    found = solve_by_gradients(for_gradients(sparse(f)), right, shifts)
    for column, shift in enumerate(shifts):
        expected = np.linalg.solve(f.T @ f + shift * np.eye(40), right[:, column])
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-2, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("columns", [1, 8, 21])
def test_products_in_lanes_have_the_bits_of_plain_ones_whoever_shares_in_them(columns):
    f, rng = some_features(70, 33), np.random.default_rng(4)
    f[[0, 5, 6, 69]] = 0.0
    features, width = sparse(f), width_of(columns)
    right, rows = rng.normal(size=(33, columns)), rng.normal(size=(70, columns))

    def backwards(run, numbers):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, range(len(numbers) - 1, -1, -1)))

    found = multiply(features, aligned(right, width), backwards)
    np.testing.assert_array_equal(found[:, :columns], times(features, right))
    assert not found[:, columns:].any()
    found = multiply(transposed(features), aligned(rows, width))
    np.testing.assert_array_equal(found[:, :columns], transposed_times(features, rows))
