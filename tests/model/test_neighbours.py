"""What a posterior's items are compared by."""

from __future__ import annotations

import numpy as np
import pytest

from daskals.model.neighbours import N_COMPARED, compared_rows
from daskals.model.samples import Samples


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
