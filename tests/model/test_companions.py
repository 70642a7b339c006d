"""Companions of items: what the same people chose, more than chance would have it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from daskals.model.order import companions
from daskals.model.order.companions import CHANCE, MOST_COMPANIONS, SHRINKAGE, Companions, find_companions


def interactions(n_users: int, n_items: int, share: float, seed: int = 0) -> np.ndarray:
    """Draw people of three tastes, who choose mostly among a third of the items."""
    rng = np.random.default_rng(seed)
    liked = np.where(rng.integers(3, size=(n_users, 1)) == np.arange(n_items) % 3, 3 * share, 0.2 * share)
    return (rng.random((n_users, n_items)) < liked) * rng.choice([0.5, 1.0], (n_users, n_items))


def plain(x: np.ndarray) -> np.ndarray:
    """Correlations by their definition."""
    x = x[x.any(axis=1)]
    y = x / np.count_nonzero(x, axis=1)[:, None] ** 0.25
    y *= np.sqrt((x**2).sum() / (y**2).sum())
    centred = y - y.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    scale, products = np.outer(lengths, lengths), centred.T @ centred
    return np.where(products > CHANCE * scale / np.sqrt(len(x)), products / (scale + SHRINKAGE), 0.0)


@pytest.mark.parametrize(("n_users", "n_items"), [(60, 30), (400, 300), (25, 2)])
def test_they_are_the_largest_shrunk_correlations(n_users: int, n_items: int) -> None:
    x = interactions(n_users, n_items, 0.25)
    rows = np.arange(n_items, dtype=np.int64) * 3 + 1
    found = find_companions(scipy.sparse.csr_array(x), rows)
    assert found.items.shape == (n_items, min(MOST_COMPANIONS, n_items - 1))
    expected = plain(x)
    np.fill_diagonal(expected, -np.inf)
    largest = -np.sort(-expected, axis=1)[:, : found.items.shape[1]]
    np.testing.assert_allclose(found.correlations, np.maximum(largest, 0.0), atol=1e-6)
    assert n_items < 5 or 1 < (found.correlations > 0).sum(axis=1).mean() < n_items / 2
    for place in range(n_items):
        there = found.correlations[place] > 0
        of_companions = expected[place, (found.items[place][there] - 1) // 3]
        np.testing.assert_allclose(of_companions, found.correlations[place][there], atol=1e-6)
        # no more of them: the item itself, which is nobody's neighbour
        assert (found.items[place][~there] == rows[place]).all()


def test_of_more_products_than_can_be_summed_some_users_tell(monkeypatch) -> None:
    x = interactions(400, 60, 0.2)
    x[::7] = 0.0
    rows = np.arange(60, dtype=np.int64)
    people = x[x.any(axis=1)]
    wanted = find_companions(scipy.sparse.csr_array(people[::3]), rows)
    work = (np.count_nonzero(x, axis=1) ** 2.0).sum()
    monkeypatch.setattr(companions, "MOST_WORK", work / 2.5)
    found = find_companions(scipy.sparse.csr_array(x), rows)
    np.testing.assert_array_equal(found.items, wanted.items)
    np.testing.assert_array_equal(found.correlations, wanted.correlations)


def test_threads_change_nothing() -> None:
    x, rows = scipy.sparse.csr_array(interactions(300, 270, 0.1)), np.arange(270, dtype=np.int64)
    one, three = find_companions(x, rows), find_companions(x, rows, 3)
    np.testing.assert_array_equal(one.items, three.items)
    np.testing.assert_array_equal(one.correlations, three.correlations)


def test_popular_items_are_not_companions_by_that_alone() -> None:
    rng = np.random.default_rng(1)
    popular = (rng.random((2_000, 10)) < 0.5).astype(float)
    pair = np.repeat((rng.random((2_000, 1)) < 0.02).astype(float), 2, axis=1)
    found = find_companions(scipy.sparse.csr_array(np.hstack([popular, pair])), np.arange(12, dtype=np.int64))
    assert found.items[10, 0] == 11
    assert found.correlations[10, 0] > 0.5
    assert not found.correlations[:10].any()


def test_what_was_on_offer_at_one_time_is_no_company() -> None:
    rng = np.random.default_rng(2)
    year = np.repeat(np.arange(4), 60)
    offered = np.repeat(np.arange(4), 5)
    x = (rng.random((240, 20)) < np.where(year[:, None] == offered, 0.6, 0.05)).astype(float)
    x[:, 1] = np.where(rng.random(240) < 0.9, x[:, 0], x[:, 1])
    mixed = rng.permutation(240)  # who came when is not told by the order of users
    rows, when = np.arange(20, dtype=np.int64), 1_000_000_000 + 1_000 * year[mixed]
    found = find_companions(scipy.sparse.csr_array(x[mixed]), rows, when=when)
    assert (found.correlations[5:] > 0).sum() == 0
    assert (found.items[0, 0], found.items[1, 0]) == (1, 0)
    assert found.correlations[0, 0] > 0.3
    without = find_companions(scipy.sparse.csr_array(x[mixed]), rows)
    assert (without.correlations[5:] > 0).sum() > 40
    one_time = find_companions(scipy.sparse.csr_array(x[mixed]), rows, when=np.full(240, 7))
    np.testing.assert_array_equal(one_time.items, without.items)


def test_few_users_are_one_cohort() -> None:
    x = scipy.sparse.csr_array(interactions(99, 30, 0.3))
    rows = np.arange(30, dtype=np.int64)
    told = find_companions(x, rows, when=np.arange(99))
    np.testing.assert_array_equal(told.items, find_companions(x, rows).items)


def test_of_equals_the_lower_row_stands_first() -> None:
    x = np.tile(interactions(40, 1, 0.5), (1, 5))
    found = find_companions(scipy.sparse.csr_array(x), np.arange(5, dtype=np.int64))
    assert found.items.tolist() == [[other for other in range(5) if other != row] for row in range(5)]


def test_one_item_has_no_companions() -> None:
    found = find_companions(scipy.sparse.csr_array(interactions(9, 1, 0.5)), np.zeros(1, np.int64))
    assert not len(found.items)
    assert found.arrays() == {}


def test_rows_of_another_catalogue() -> None:
    core = np.array([1, 2, 4])
    own = Companions(
        np.array([[2, 4], [1, 4], [1, 2]], np.int32),
        np.array([[0.5, 0.2], [0.5, 0.3], [0.3, 0.2]], np.float32),
    )
    # item 2 is not there; 1 and 4 have changed places
    places = np.array([-1, 7, -1, -1, 3])
    there = own.in_rows(core, np.array([0, 2]), places)
    assert there.items.tolist() == [[7, 3], [7, 3]]
    np.testing.assert_allclose(there.correlations, [[0.0, 0.2], [0.3, 0.0]], rtol=1e-6)
    assert not len(Companions.none().in_rows(core, np.array([0, 2]), places).items)
