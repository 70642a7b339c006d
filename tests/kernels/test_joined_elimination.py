"""Rows of three sides eliminated piece by piece: as if all ratings' rows had been joined at once."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.kernels.half_step import joined
from daskals.kernels.prior.eliminate import eliminate_rows
from daskals.kernels.prior.fill import fill_rows
from daskals.types import Ridge
from tests.cases.blocks import make_case, make_features

COUNTS = [3, 0, 1, 40, 7, 30, 2, 5, 0, 9, 12, 8, 20, 11, 6, 33]


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_eliminated_piece_by_piece_are_those_of_the_whole(monkeypatch, weighted):
    block, other = make_case(COUNTS, 60, 4, start=30)
    rng = np.random.default_rng(1)
    _, third = make_case([1], 9, 4, seed=5)
    thirds = rng.integers(0, 9, len(block.indices)).astype(np.int32)
    weights = rng.uniform(0.5, 2.0, len(thirds)).astype(np.float32) if weighted else None
    block = block._replace(thirds=thirds, weights=weights)
    whole = joined.join_rows(block.indices, thirds, other, third, 4)
    each = block._replace(indices=np.arange(len(thirds), dtype=np.int32), thirds=None)
    given = {"rank": 4, "mean": 3.4}
    features, of_features = make_features(len(COUNTS), 6), rng.normal(size=(6, 5))
    expected = eliminate_rows(each, whole, ridge=Ridge(2.0, 0.5, 0.4), **given)
    solved = fill_rows(expected, features, of_features, each, whole, **given)
    monkeypatch.setattr(joined.joined_pieces, "__defaults__", (25, None))
    found = eliminate_rows(block, other, ridge=Ridge(2.0, 0.5, 0.4), third=third, **given)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)
    rows, stats = fill_rows(found, features, of_features, block, other, third=third, **given)
    np.testing.assert_array_equal(rows, solved[0])
    assert stats.sse == pytest.approx(solved[1].sse, rel=1e-12)
    assert stats.penalty == pytest.approx(solved[1].penalty, rel=1e-12)


def test_rows_that_fit_exactly_are_compared_with_their_ratings():
    counts = [4, 9, 3]
    block, other = make_case(counts, 20, 4, coded=False)
    _, third = make_case([1], 5, 4, seed=5)
    thirds = np.arange(len(block.indices), dtype=np.int32) % 5
    whole = joined.join_rows(block.indices, thirds, other, third, 4)
    truth = 3.4 + whole[:, 5] + whole[:, :4] @ np.array([0.4, -0.2, 0.1, 0.3], np.float32) + 0.25
    block = block._replace(thirds=thirds, values=truth.astype(np.float32))
    features, weights = make_features(3, 6), np.zeros((6, 5))
    found = eliminate_rows(block, other, rank=4, mean=3.4, ridge=Ridge(1e-6, 1e-6), third=third)
    rows, stats = fill_rows(found, features, weights, block, other, rank=4, mean=3.4, third=third)
    owner = np.repeat(np.arange(3), counts)
    errors = truth - 3.4 - whole[:, 5] - rows[owner, 5] - np.sum(rows[owner, :4] * whole[:, :4], axis=1)
    assert 0 <= stats.sse < 1e-6
    assert stats.sse == pytest.approx(float(np.sum(errors.astype(np.float64) ** 2)), abs=1e-9)
