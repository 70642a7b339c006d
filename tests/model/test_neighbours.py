"""The neighbours of items, and what a posterior's items are compared by."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.kernels.scoring.topk import NOTHING
from daskals.model.neighbours import COMPANY, N_COMPARED, Neighbours, compared_rows
from daskals.model.order.companions import Companions
from daskals.model.order.learnt import Order, OrderSettings
from daskals.model.samples import Samples

N_ITEMS = 40


def drawn(n_samples: int, n_users: int = 7, n_items: int = 5, rank: int = 3) -> Samples:
    rng = np.random.default_rng(0)
    users = rng.normal(size=(n_users, n_samples, rank + 1)).astype(np.float32)
    items = rng.normal(size=(n_items, n_samples, rank + 1)).astype(np.float32)
    spread = np.tile(np.eye(rank + 1), (n_samples, 1, 1))
    return Samples(users, items, np.zeros(n_samples), spread, spread, 1.0)


def test_products_are_the_mean_over_samples_and_raters_of_products_of_tastes():
    samples, counts = drawn(4), np.array([3, 0, 1, 2, 9, 1, 0])
    rows = compared_rows(samples, counts).astype(np.float64)
    tastes = np.einsum("usk,isk->sui", samples.users[counts > 0, :, :3], samples.items[:, :, :3])
    expected = np.einsum("sui,suj->ij", tastes, tastes) / np.sum(counts > 0)
    np.testing.assert_allclose(rows @ rows.T, expected, rtol=1e-5, atol=1e-5)


def test_an_even_choice_of_many_samples_is_compared_by():
    assert compared_rows(drawn(100), np.ones(7, np.int64)).shape == (5, 3 * N_COMPARED)


@pytest.mark.parametrize("size", [0.0, 1e-20])
def test_dust_and_few_people_have_finite_rows(size):
    samples = drawn(2)
    samples.users[...] *= np.float32(size)
    assert np.isfinite(compared_rows(samples, np.array([1, 0, 0, 0, 0, 0, 0]))).all()


def order_with(companions: Companions) -> Order:
    core = np.arange(len(companions.items), dtype=np.int64)
    b = np.zeros((len(core), len(core)), np.float32)
    return Order(
        OrderSettings(), core, b, np.empty(0, np.float32), np.ones(N_ITEMS, np.float32), companions=companions
    )


def all_alike(compared: np.ndarray, companions: Companions | None) -> np.ndarray:
    """Return how near all items are to each other, by the definition."""
    units = compared / np.linalg.norm(compared, axis=1, keepdims=True)
    cosines = units.astype(np.float64) @ units.T.astype(np.float64)
    if companions is None:
        return cosines
    company = np.zeros_like(cosines)
    for row, (items, correlations) in enumerate(zip(*companions, strict=True)):
        company[row, items] = correlations
    return (1 - COMPANY) * cosines + COMPANY * company


@pytest.mark.parametrize("known", ["nothing", "no companions", "companions"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_nearest_are_those_of_the_definition(known: str, packed: bool) -> None:
    rng = np.random.default_rng(4)
    compared = rng.normal(size=(N_ITEMS, 6)).astype(np.float32)
    items = np.stack([rng.permutation(np.delete(np.arange(N_ITEMS), row))[:4] for row in range(20)])
    told = Companions(items.astype(np.int32), -np.sort(-rng.random((20, 4))).astype(np.float32))
    told.items[5, 2:], told.correlations[5, 2:] = 5, 0.0
    companions = told if known == "companions" else None
    order = None if known == "nothing" else order_with(companions or Companions.none())
    allowed = rng.random(N_ITEMS) < 0.8
    neighbours = Neighbours(compared, order)
    rows = np.array([0, 5, 19, 20, 39])
    found = neighbours.nearest(rows, 7, allowed, neighbours.packed(allowed) if packed else None)
    expected = all_alike(compared, companions)
    for k, row in enumerate(rows):
        left = np.flatnonzero(allowed & (np.arange(N_ITEMS) != row))
        best = left[np.lexsort((left, -expected[row, left]))][:7]
        assert found.items[k].tolist() == best.tolist()
        np.testing.assert_allclose(found.scores[k], expected[row, best], atol=1e-6)


def test_fewer_are_listed_where_fewer_are_allowed() -> None:
    compared = np.random.default_rng(5).normal(size=(N_ITEMS, 3)).astype(np.float32)
    told = Companions(np.full((3, 1), 8, np.int32), np.full((3, 1), 0.5, np.float32))
    allowed = np.isin(np.arange(N_ITEMS), [2, 8])
    found = Neighbours(compared, order_with(told)).nearest(np.array([2, 30]), 3, allowed)
    assert found.items[0].tolist() == [8, NOTHING, NOTHING]
    assert set(found.items[1].tolist()) == {2, 8, NOTHING}
