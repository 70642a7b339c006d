"""The largest correlations between columns, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from daskals.kernels.scoring.correlations import best_correlations

CHANCE, SHRINKAGE = 1.5, 2.0


def plain(y: np.ndarray) -> np.ndarray:
    """Return all correlations by their definition, those of a column with itself below all."""
    centred = y - y.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    scale, products = np.outer(lengths, lengths), centred.T @ centred
    r = np.where(products > CHANCE * scale / np.sqrt(len(y)), products / (scale + SHRINKAGE), 0.0)
    np.fill_diagonal(r, -1.0)
    return r


@pytest.mark.parametrize(("n_rows", "n_columns", "most"), [(40, 9, 4), (30, 6, 9), (5, 1, 2), (12, 3, 1)])
def test_they_are_the_largest(n_rows: int, n_columns: int, most: int) -> None:
    rng = np.random.default_rng(n_rows)
    alike = rng.random((n_rows, 1)) < np.where(np.arange(n_columns) % 2, 0.7, 0.1)
    y = np.where(rng.random((n_rows, n_columns)) < 0.3, alike, rng.random((n_rows, n_columns)) < 0.2)
    y = y * rng.random((n_rows, n_columns))
    found = best_correlations(scipy.sparse.csr_array(y), most, chance=CHANCE, shrinkage=SHRINKAGE)
    assert found.columns.shape == found.values.shape == (n_columns, most)
    for own, r in enumerate(plain(y)):
        order = [other for other in np.argsort(-r, kind="stable") if r[other] > 0][:most]
        assert found.columns[own].tolist() == order + [-1] * (most - len(order))
        np.testing.assert_allclose(found.values[own, : len(order)], r[order], rtol=1e-6)
        assert not found.values[own, len(order) :].any()


def test_of_equals_the_lower_column_stands_first() -> None:
    y = np.tile((np.arange(20) % 3 == 0).astype(float)[:, None], (1, 4))
    found = best_correlations(scipy.sparse.csr_array(y), 2, chance=CHANCE, shrinkage=SHRINKAGE)
    assert found.columns.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_no_rows_have_no_correlations() -> None:
    found = best_correlations(scipy.sparse.csr_array((0, 3)), 2, chance=CHANCE, shrinkage=SHRINKAGE)
    assert (found.columns == -1).all()
