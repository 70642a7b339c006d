"""Products between the columns of a sparse matrix."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from daskals.kernels.toolkit.sparse_products import column_products


@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 1), (30, 7), (9, 90), (0, 4)])
@pytest.mark.parametrize("threads", [1, 3])
def test_they_are_the_lower_triangle(n_rows: int, n_columns: int, threads: int) -> None:
    rng = np.random.default_rng(n_rows)
    x = rng.choice([0.0, 0.5, 1.0], (n_rows, n_columns), p=[0.6, 0.2, 0.2])
    found = column_products(scipy.sparse.csr_array(x), threads)
    np.testing.assert_array_equal(found, np.tril(x.T @ x))


def test_entries_may_stand_in_any_order() -> None:
    x = scipy.sparse.csr_array(
        (np.array([1.0, 0.5, 0.5]), np.array([2, 0, 1]), np.array([0, 3])), shape=(1, 3)
    )
    assert not x.has_sorted_indices
    expected = np.tril(x.toarray().T @ x.toarray())
    np.testing.assert_array_equal(column_products(x), expected)


def test_no_entries_have_no_products() -> None:
    assert not column_products(scipy.sparse.csr_array((4, 3))).any()
