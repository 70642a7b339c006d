"""Selection from a matrix of scores against a full sort, ties, and items without a score."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.topk import SeenItems
from tests.cases import naive


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), levels=st.integers(1, 5))
def test_equals_a_full_sort_with_ties(seed, n, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (int(rng.integers(0, 8)), int(rng.integers(1, 25)))).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[rng.random(scores.shape) < 0.1] = np.nan
    rows = [rng.permutation(scores.shape[1])[: rng.integers(0, 9)] for _ in scores]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    seen = SeenItems(indptr, np.concatenate([np.empty(0), *rows]).astype(np.int32))
    before = scores.copy()
    found = top_of_scores(scores, n, seen)
    np.testing.assert_array_equal(scores, before)
    items, best = naive.top_of_scores(scores, n, rows)
    np.testing.assert_array_equal(found.items, items)
    np.testing.assert_array_equal(found.scores, best)


def test_nothing_seen():
    found = top_of_scores(np.array([[1, 3, 3]], np.float32), 2)
    np.testing.assert_array_equal(found.items, [[1, 2]])
