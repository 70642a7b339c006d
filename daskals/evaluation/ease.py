"""EASE (Steck 2019), in closed form: the linear model of items by items that orders best per line of code.

B minimises ‖X − XB‖² + λ‖B‖² with diag(B) = 0, X holding 1 for every rating. With P = (XᵀX + λI)⁻¹,
B_ij = −P_ij / P_jj off the diagonal.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_matrix

from daskals.errors import NumericalError
from daskals.types import Float64

RIDGE = 200.0
"""λ."""

MOST_ITEMS = 20_000
"""Beyond it the inverse takes too long to be a baseline."""

_CHUNK = 512


def ease_bytes(n_items: int) -> int:
    """Return the memory that EASE of so many items takes: one float64 matrix, worked on in place."""
    return 8 * n_items * n_items


def items_that_fit(memory_bytes: int) -> int:
    """Return for how many items EASE is computed in so much memory."""
    return min(MOST_ITEMS, math.isqrt(max(0, memory_bytes) // 8))


def ease_weights(matrix: csr_matrix, ridge: float = RIDGE) -> Float64:
    """Return B, float64, shape (items, items): a user's scores are the sums of the rows of their items.

    Parameters
    ----------
    matrix
        Users × items, 1 for every rating.
    ridge
        λ, above 0.

    Raises
    ------
    NumericalError
        If the system cannot be solved.
    """
    n_items = matrix.shape[1]
    columns: Any = matrix.tocsc()
    # symmetric, so that rows may be written as columns; LAPACK then works in place
    gram = np.empty((n_items, n_items), order="F")
    for start in range(0, n_items, _CHUNK):
        chunk = columns[:, start : start + _CHUNK]
        gram[:, start : start + _CHUNK] = (columns.T @ chunk).toarray()
    places = np.arange(n_items)
    gram[places, places] += ridge
    factor, failed = dpotrf(gram, lower=1, clean=0, overwrite_a=1)
    if not failed:
        gram, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise NumericalError(
            f"XᵀX + {ridge:g}·I of {n_items:,} items is not positive definite", where="EASE", expected="λ > 0"
        )
    for start in range(0, n_items, _CHUNK):
        stop = start + _CHUNK
        gram[start:stop, stop:] = gram[stop:, start:stop].T
        square = gram[start:stop, start:stop]
        square[:] = np.tril(square) + np.tril(square, -1).T
    gram /= -np.diag(gram).copy()[:, None]
    gram[places, places] = 0.0
    return gram.T  # in C order, of which a sparse product makes no copy
