"""Lists from scores that were found elsewhere, and sums of rows: against the plain way to the same."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from daskals.kernels.scoring.company import nearest_in_company
from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.lifts import sum_lifts
from daskals.kernels.scoring.topk import NOTHING, SeenItems
from daskals.kernels.scoring.weighted_rows import add_at, add_product, add_rows, best_of


def with_ties(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.integers(-3, 4, shape) / 2).astype(np.float32)


@pytest.mark.parametrize("n", [1, 3, 9, 30])
def test_the_best_allowed_places_come_first_and_equal_ones_by_place(n):
    rng = np.random.default_rng(n)
    scores, allowed = with_ties(rng, (17,)), rng.random(17) < 0.6
    expected = [place for place in np.argsort(-scores, kind="stable") if allowed[place]][:n]
    assert best_of(scores, allowed, n).tolist() == expected


@pytest.mark.parametrize("rising", [True, False])
def test_the_best_of_more_than_are_compared_at_once(rising):
    scores = np.sort(with_ties(np.random.default_rng(5), (150,)))[:: 1 if rising else -1].copy()
    scores[[3, 70, 149]] = np.nan, -np.inf, np.inf
    allowed = np.arange(150) % 7 != 1
    expected = [k for k in np.argsort(-scores, kind="stable") if allowed[k] and scores[k] > -np.inf]
    assert best_of(scores, allowed, 4).tolist() == expected[:4]
    assert best_of(scores, allowed, 150).tolist() == expected


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
    allowed = np.arange(9) % 3 != 0
    of_these = top_of_scores(scores, n, seen, allowed)
    scores[:, ~allowed] = -np.inf
    for found, expected in zip(of_these, top_of_scores(scores, n, seen), strict=True):
        np.testing.assert_array_equal(found, expected)


def plain_sums(terms, matrix: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return `out` with the weighted rows of each sum added one by one, rounded as the numbers of `out`."""
    found = out.copy()
    for sums, own in zip(found, terms, strict=True):
        for weight, row in own:
            sums += out.dtype.type(weight) * matrix[row].astype(out.dtype)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_weighted_rows_add_to_what_is_there(dtype):
    rng = np.random.default_rng(0)
    matrix, counts = rng.normal(size=(6, 11)).astype(np.float32), np.array([0, 3, 9, 4])
    indptr, rows = np.append(0, np.cumsum(counts)), rng.integers(0, 6, 16)
    weights, out = rng.normal(size=16).astype(dtype), rng.normal(size=(4, 11)).astype(dtype)
    owned = [slice(*ends) for ends in pairwise(indptr)]
    terms = [[*zip(weights[own], rows[own], strict=True)] for own in owned]
    expected = plain_sums(terms, matrix, out)
    add_rows(indptr, rows, weights, matrix, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shape", [(1, 4, 3), (130, 7, 5), (120, 5, 550), (0, 4, 3), (3, 0, 4)])
def test_products_add_one_row_after_the_other(shape):
    """Whole and cut groups of sums, of terms and of columns; nobody; no terms."""
    n_sums, n_terms, n_columns = shape
    rng = np.random.default_rng(n_sums)
    weights = rng.normal(size=(n_sums, n_terms)).astype(np.float32)
    matrix = rng.normal(size=(n_terms, n_columns)).astype(np.float32)
    out = rng.normal(size=(n_sums, n_columns)).astype(np.float32)
    expected = plain_sums([[*zip(own, range(n_terms), strict=True)] for own in weights], matrix, out)
    add_product(weights, matrix, out)
    np.testing.assert_array_equal(out, expected)


def test_numbers_are_added_at_some_columns():
    rng = np.random.default_rng(3)
    values, out = rng.normal(size=(4, 2)).astype(np.float32), np.ones((4, 5), np.float32)
    expected = out.copy()
    expected[:, [1, 4]] += values
    add_at(np.array([1, 4]), values, out)
    np.testing.assert_array_equal(out, expected)


def test_lifts_are_shares_beside_the_usual_ones():
    rng = np.random.default_rng(4)
    indptr, items = np.array([0, 3, 3, 8]), rng.integers(0, 6, 8)
    x, genres = rng.choice([0.5, 1.0], 8).astype(np.float32), (rng.random((6, 3)) < 0.5).astype(np.float64)
    usual = rng.random(3) + 0.1
    found = sum_lifts(indptr, items, x, genres, usual, 5.0)
    for person in range(3):
        own = slice(indptr[person], indptr[person + 1])
        strength = x[own].sum(dtype=np.float64) + 5.0
        parts = x[own, None].astype(np.float64) * (genres[items[own]] - usual) / (strength * np.sqrt(usual))
        np.testing.assert_array_equal(found[person], sum(parts, np.zeros(3)))
    assert sum_lifts(indptr, items, x, np.zeros((6, 0)), np.zeros(0), 5.0).shape == (3, 0)


@pytest.mark.parametrize("n", [3, 30])
def test_the_nearest_are_those_by_taste_and_company_together(n):
    """Candidates that are both, none at all, more than are multiplied at once; equal ones by row."""
    rng = np.random.default_rng(n)
    units = with_ties(rng, (25, 4))
    rows = np.array([7, 3, 0])
    by_taste = np.stack([rng.permutation(25)[:11] for _ in rows]).astype(np.int32)
    companions = np.stack([rng.permutation(25)[:6] for _ in rows]).astype(np.int32)
    by_taste[1, 4:], companions[1, 3:] = NOTHING, NOTHING
    by_taste[2], companions[2] = NOTHING, NOTHING
    company = rng.choice([0.25, 0.5], companions.shape).astype(np.float32)
    found = nearest_in_company(units, rows, by_taste, companions, company, 0.1, n)
    for k, row in enumerate(rows):
        added = {int(item): float(x) for item, x in zip(companions[k], company[k], strict=True)}
        scores = {}
        for item in sorted({*by_taste[k].tolist(), *companions[k].tolist()} - {NOTHING}):
            products = units[item].astype(np.float64) * units[row]
            scores[item] = 0.1 * sum(products.tolist(), 0.0) + added.get(item, 0.0)
        best = sorted(scores, key=lambda item: (-scores[item], item))[:n]
        assert found.items[k].tolist() == best + [NOTHING] * (n - len(best))
        listed = np.array([scores[item] for item in best], np.float32)
        np.testing.assert_array_equal(found.scores[k, : len(best)], listed)
