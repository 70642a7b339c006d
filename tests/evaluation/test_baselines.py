"""EASE and item neighbourhoods against plain references, and EASE where it does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from daskals.errors import NumericalError
from daskals.evaluation import baselines, ease, item_neighbours
from daskals.evaluation.baselines import Baseline, neighbour_scorers
from daskals.evaluation.ease import MOST_ITEMS, ease_weights, items_that_fit
from daskals.evaluation.item_neighbours import neighbour_weights
from daskals.evaluation.known_ratings import Ratings
from daskals.kernels.scoring.topk import SeenItems


def plain_ease(x, ridge):
    inverse = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def plain_neighbours(x, neighbours, shrinkage):
    n_items = x.shape[1]
    weights = np.zeros((n_items, n_items))
    for i in range(n_items):
        found = []
        for j in range(n_items):
            common = float(x[:, i] @ x[:, j])
            if i != j and common:
                found.append((-common / (np.sqrt(x[:, i].sum() * x[:, j].sum()) + shrinkage), j))
        # equals as float32 has them, by row
        for negative, j in sorted((float(np.float32(value)), j) for value, j in found)[:neighbours]:
            weights[i, j] = -negative
    return weights


def ratings_of(x) -> Ratings:
    users, items = np.nonzero(x)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(x, axis=1))]).astype(np.int64)
    return Ratings(indptr, items.astype(np.int32), np.ones(len(users), np.float32), x.shape[1])


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_weights_equal_the_references(seed):
    rng = np.random.default_rng(seed)
    x = (rng.random((int(rng.integers(1, 20)), int(rng.integers(1, 15)))) < 0.4).astype(float)
    ridge, neighbours, shrinkage = rng.uniform(0.1, 50), int(rng.integers(1, 6)), rng.uniform(0, 9)
    np.testing.assert_allclose(ease_weights(csr_matrix(x), ridge), plain_ease(x, ridge), atol=1e-10)
    found = neighbour_weights(csr_matrix(x), neighbours, shrinkage).toarray()
    np.testing.assert_allclose(found, plain_neighbours(x, neighbours, shrinkage), atol=1e-6)


def test_pieces_fit_together(monkeypatch):
    """The matrix is made and mirrored in pieces: sizes around theirs."""
    x = (np.random.default_rng(1).random((40, 23)) < 0.3).astype(float)
    for module in (ease, item_neighbours):
        monkeypatch.setattr(module, "_CHUNK", 5)
    np.testing.assert_allclose(ease_weights(csr_matrix(x), 3.0), plain_ease(x, 3.0), atol=1e-10)
    found = neighbour_weights(csr_matrix(x), 4, 2.0).toarray()
    np.testing.assert_allclose(found, plain_neighbours(x, 4, 2.0), atol=1e-6)


def test_scores_are_of_what_is_known_and_unrated_items_score_nothing():
    rng = np.random.default_rng(2)
    x, known = ((rng.random((30, 12)) < 0.4).astype(float) for _ in range(2))
    x[:, 4] = 0
    data = Baseline(ratings_of(x), ratings_of(known), 1.0, 0.1)
    lines: list[str] = []
    neighbours, found = neighbour_scorers(data, lines.append)
    users, nothing = np.array([3, 0, 17]), SeenItems(np.zeros(4, np.int64), np.empty(0, np.int32))
    expected = known[users] @ plain_ease(x, ease.RIDGE)
    assert not expected[:, 4].any()
    np.testing.assert_allclose(found.scores(users), expected, atol=1e-6)
    listed = found.best(users, nothing, 12)
    assert [sorted(row) for row in listed] == [list(range(12))] * 3
    own = known.copy()
    own[:, 4] = 0
    weights = plain_neighbours(x, item_neighbours.NEIGHBOURS, item_neighbours.SHRINKAGE)
    np.testing.assert_allclose(neighbours.scores(users), own[users] @ weights.T, atol=1e-6)
    assert lines == ["EASE of 11 items takes 0.00 GiB of memory"]


def test_ease_says_how_many_items_fit(monkeypatch):
    assert items_that_fit(8 * 50**2) == 50
    assert items_that_fit(8 * 50**2 - 1) == 49
    assert items_that_fit(1 << 60) == MOST_ITEMS == 20_000
    data = Baseline(ratings_of(np.ones((2, 9))), ratings_of(np.ones((2, 9))), 1.0, 0.1)
    lines: list[str] = []
    assert [one.name for one in neighbour_scorers(data, lines.append, 8 * 5**2)] == ["item-kNN"]
    monkeypatch.setattr(baselines, "MOST_ITEMS", 8)
    monkeypatch.setattr(ease, "MOST_ITEMS", 8)
    neighbour_scorers(data, lines.append, 1 << 40)
    assert lines == [
        "EASE is left out: 9 items have training ratings, and 5 fit (0.0 GiB are free)",
        "EASE is left out: 9 items have training ratings, and 8 fit (the most it is computed for)",
    ]


def test_ease_without_a_ridge():
    with pytest.raises(NumericalError, match="XᵀX \\+ 0·I of 3 items is not positive definite"):
        ease_weights(csr_matrix(np.ones((2, 3))), 0.0)
