"""The largest correlations between columns, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from daskals.kernels.scoring.correlations import best_correlations

CHANCE, SHRINKAGE = 1.5, 2.0


def plain(y: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return all correlations by their definition, those of a column with itself below all."""
    lengths = np.sqrt(((y - y.mean(axis=0)) ** 2).sum(axis=0))
    scale, products = np.outer(lengths, lengths), np.zeros((y.shape[1], y.shape[1]))
    for group in np.unique(0 if groups is None else groups):
        rows = y if groups is None else y[groups == group]
        products += (rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0))
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


def test_groups_that_differ_correlate_nothing() -> None:
    rng = np.random.default_rng(4)
    groups = rng.integers(3, size=90).astype(np.int32)
    groups[groups == 1] = 3  # no row is of 1
    y = (rng.random((90, 8)) < np.where(groups[:, None] == np.arange(8) % 4, 0.8, 0.1)).astype(float)
    y[:, 7] = np.maximum(y[:, 7], y[:, 6] * (rng.random(90) < 0.9))
    found = best_correlations(scipy.sparse.csr_array(y), 7, chance=CHANCE, shrinkage=SHRINKAGE, groups=groups)
    for own, r in enumerate(plain(y, groups)):
        order = [other for other in np.argsort(-r, kind="stable") if r[other] > 0]
        assert found.columns[own, : len(order)].tolist() == order
        np.testing.assert_allclose(found.values[own, : len(order)], r[order], rtol=1e-5)
    apart = best_correlations(scipy.sparse.csr_array(y), 7, chance=CHANCE, shrinkage=SHRINKAGE)
    # columns 0 and 4 are of one group and nothing else in common; 6 and 7 go together in any
    assert 4 in apart.columns[0]
    assert 4 not in found.columns[0]
    assert found.columns[6, 0] == 7


def test_of_equals_the_lower_column_stands_first() -> None:
    y = np.tile((np.arange(20) % 3 == 0).astype(float)[:, None], (1, 4))
    found = best_correlations(scipy.sparse.csr_array(y), 2, chance=CHANCE, shrinkage=SHRINKAGE)
    assert found.columns.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_no_rows_have_no_correlations() -> None:
    found = best_correlations(scipy.sparse.csr_array((0, 3)), 2, chance=CHANCE, shrinkage=SHRINKAGE)
    assert (found.columns == -1).all()
