"""Lists from scores that were found elsewhere, and sums of rows: against the plain way to the same."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.topk import NOTHING, SeenItems
from daskals.kernels.scoring.weighted_rows import add_rows, best_of


def with_ties(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.integers(-3, 4, shape) / 2).astype(np.float32)


@pytest.mark.parametrize("n", [1, 3, 9, 30])
def test_the_best_allowed_places_come_first_and_equal_ones_by_place(n):
    rng = np.random.default_rng(n)
    scores, allowed = with_ties(rng, (17,)), rng.random(17) < 0.6
    expected = [place for place in np.argsort(-scores, kind="stable") if allowed[place]][:n]
    assert best_of(scores, allowed, n).tolist() == expected


def test_nothing_allowed_is_an_empty_list():
    assert best_of(np.ones(4, np.float32), np.zeros(4, np.bool_), 3).tolist() == []


@pytest.mark.parametrize("n", [2, 12])
def test_lists_leave_out_what_was_seen_and_what_has_no_score(n):
    rng = np.random.default_rng(n)
    scores = with_ties(rng, (5, 9))
    scores[1, 3], scores[2, :] = np.nan, -np.inf
    seen = SeenItems(np.array([0, 2, 2, 3, 3, 4]), np.array([1, 4, 0, 8], np.int32))
    found = top_of_scores(scores, n, seen)
    for user in range(5):
        own = seen.indices[seen.indptr[user] : seen.indptr[user + 1]]
        listed = [
            item
            for item in np.argsort(-scores[user], kind="stable")
            if item not in own and scores[user, item] > -np.inf
        ][:n]
        assert found.items[user].tolist() == listed + [NOTHING] * (n - len(listed))
        np.testing.assert_array_equal(found.scores[user, : len(listed)], scores[user, listed])
    assert (top_of_scores(scores, n).items[0] != NOTHING).sum() == min(n, 9)


def test_sums_of_weighted_rows_add_to_what_is_there():
    rng = np.random.default_rng(0)
    matrix, rows = rng.normal(size=(6, 4)).astype(np.float32), np.array([5, 0, 5])
    weights, out = np.array([0.5, -2.0, 1.0], np.float32), np.ones(4, np.float32)
    add_rows(weights, rows, matrix, out)
    np.testing.assert_allclose(out, 1 + weights @ matrix[rows], rtol=1e-6)
