"""Tridiagonal systems: against dense algebra, and draws by their moments."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.errors import NumericalError
from daskals.kernels.toolkit.tridiagonal import solve_shifted, tridiagonalise


def gram(n: int, rows: int, seed: int = 0) -> np.ndarray:
    half = np.random.default_rng(seed).normal(size=(rows, n))
    return half.T @ half


@pytest.mark.parametrize(("n", "rows"), [(1, 3), (2, 3), (3, 5), (12, 30), (40, 7)])
def test_solutions_are_those_of_dense_systems(n, rows):
    matrix, right = gram(n, rows), np.random.default_rng(1).normal(size=(n, 3))
    shifts = np.array([0.3, 2.0, 50.0])
    found = solve_shifted(tridiagonalise(matrix), shifts, right)
    for column, shift in enumerate(shifts):
        expected = np.linalg.solve(matrix + shift * np.eye(n), right[:, column])
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-9, atol=1e-12)


def test_matrices_that_need_no_reflection():
    np.testing.assert_allclose(
        solve_shifted(tridiagonalise(np.diag([1.0, 2.0, 3.0, 4.0])), np.ones(1), np.ones((4, 1)))[:, 0],
        [1 / 2, 1 / 3, 1 / 4, 1 / 5],
    )
    np.testing.assert_allclose(
        solve_shifted(tridiagonalise(np.zeros((3, 3))), np.full(1, 2.0), np.ones((3, 1))), 0.5
    )


def test_draws_have_the_mean_and_covariance():
    matrix, n_draws = gram(5, 9), 20_000
    normals = np.random.default_rng(2).normal(size=(5, n_draws))
    right = np.repeat(np.arange(5.0)[:, None], n_draws, axis=1)
    drawn = solve_shifted(tridiagonalise(matrix), np.full(n_draws, 0.7), right, normals)
    covariance = np.linalg.inv(matrix + 0.7 * np.eye(5))
    deviation = np.sqrt(np.diag(covariance) / n_draws)
    assert np.all(np.abs(drawn.mean(axis=1) - covariance @ np.arange(5.0)) < 4.5 * deviation)
    np.testing.assert_allclose(np.cov(drawn), covariance, atol=0.04 * covariance.max())


def test_a_matrix_that_is_not_positive():
    with pytest.raises(NumericalError, match=r"the features' weights is not positive definite. Use fewer"):
        solve_shifted(tridiagonalise(-np.eye(3)), np.full(1, 0.5), np.ones((3, 1)))
