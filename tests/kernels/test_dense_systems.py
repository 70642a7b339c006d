"""Dense systems by panels and on threads: to the bit what a column at a time gives, without fused adds."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.errors import NumericalError
from daskals.kernels.toolkit.dense import PANEL, backward, cholesky, forward, product, solve_positive

SIZES = [1, 2, 5, PANEL - 1, PANEL, PANEL + 1, 2 * PANEL + 3]


def system(size: int, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    a = rng.normal(size=(size, size))
    return a @ a.T + size * np.eye(size), rng.normal(size=(size, columns))


def plain_cholesky(matrix: np.ndarray) -> np.ndarray:
    factor = np.tril(matrix)
    for k in range(len(factor)):
        factor[k, k] = np.sqrt(factor[k, k])
        factor[k + 1 :, k] /= factor[k, k]
        for row in range(k + 1, len(factor)):
            factor[row, k + 1 : row + 1] -= factor[row, k] * factor[k + 1 : row + 1, k]
    return factor


def plain_forward(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    out = right.copy()
    for row in range(len(factor)):
        for k in range(row):
            out[row] -= factor[row, k] * out[k]
        out[row] /= factor[row, row]
    return out


def plain_backward(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    out = right.copy()
    for row in reversed(range(len(factor))):
        out[row] /= factor[row, row]
        for k in range(row):
            out[k] -= factor[row, k] * out[row]
    return out


@pytest.mark.parametrize("size", SIZES)
def test_panels_change_no_bit(size: int) -> None:
    matrix, right = system(size)
    factor = plain_cholesky(matrix)
    np.testing.assert_array_equal(cholesky(matrix, "it"), factor)
    np.testing.assert_array_equal(forward(factor, right), plain_forward(factor, right))
    np.testing.assert_array_equal(backward(factor, right), plain_backward(factor, right))
    np.testing.assert_array_equal(backward(factor, right[:, 0]), plain_backward(factor, right)[:, 0])
    np.testing.assert_allclose(matrix @ solve_positive(matrix, right, "it"), right, atol=1e-8)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    matrix, _ = system(330)
    np.testing.assert_array_equal(cholesky(matrix, "it", threads), cholesky(matrix, "it"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("where", [0, PANEL + 2])
def test_what_is_not_positive_is_named(threads: int, where: int) -> None:
    matrix, _ = system(PANEL + 9)
    matrix[where, where] = -1.0
    with pytest.raises(NumericalError, match="the users' products is not positive definite"):
        cholesky(matrix, "the users' products", threads)


def test_products_are_products() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 9)), rng.normal(size=(9, 5))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12)
