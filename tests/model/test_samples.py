"""A posterior's samples: what pairs are predicted takes their rows, never a copy of all."""

import tracemalloc

import numpy as np
import pytest

from daskals.model import samples as module
from daskals.model.samples import Samples
from daskals.model.times import move

N_SAMPLES, RANK = 10, 5
USERS = np.array([3, 3, -1, 1_999, -1, 0])
ITEMS = np.array([7, 0, 999, -1, -1, 7])


@pytest.fixture
def samples() -> Samples:
    rng = np.random.default_rng(1)
    sides = [rng.normal(size=(n, N_SAMPLES, RANK + 1)).astype(np.float32) for n in (2_000, 1_000, 12)]
    sides[2][-1] = 0.0
    halves = rng.normal(size=(3, N_SAMPLES, RANK + 1, RANK + 1))
    spreads = list(halves @ halves.transpose(0, 1, 3, 2))
    means = rng.normal(size=N_SAMPLES)
    return Samples(*sides[:2], means, *spreads[:2], 0.7, None, 2.0, sides[2], spreads[2], 11)


def rows_at(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.where((places >= 0)[:, None, None], rows[places], 0.0)


def test_pairs_are_predicted_with_the_mean_of_the_samples(samples, monkeypatch):
    p, q = rows_at(samples.users, USERS), rows_at(samples.items, ITEMS)
    each = samples.means + p[:, :, RANK] + q[:, :, RANK] + np.sum(p[:, :, :RANK] * q[:, :, :RANK], axis=2)
    found = samples.predicted(USERS, ITEMS)
    np.testing.assert_allclose(found, each.mean(axis=1), rtol=1e-5)
    # a pair's number does not depend on the pairs it is predicted with
    monkeypatch.setattr(module, "STACKED_FLOATS", 2 * N_SAMPLES * RANK)
    np.testing.assert_array_equal(samples.predicted(USERS, ITEMS), found)
    assert samples.predicted(USERS[:0], ITEMS[:0]).shape == (0,)


def test_pairs_of_dates_are_predicted_in_pieces_as_at_once(samples, monkeypatch):
    times = np.array([4, -1, 4, 0, 10, 11])
    found = samples.in_time(USERS, ITEMS, times)
    monkeypatch.setattr(module, "DATED_PAIRS", 2)
    for one, other in zip(samples.in_time(USERS, ITEMS, times), found, strict=True):
        np.testing.assert_array_equal(one, other)
    items, dates, means = move(samples.items, samples.times, samples.means, -1)
    p, q, d = rows_at(samples.users, USERS), rows_at(items, ITEMS), rows_at(dates, times)
    each = means + (p + q + d)[:, :, RANK]
    each += np.sum((p * q + p * d + q * d)[:, :, :RANK], axis=2)
    np.testing.assert_allclose(found[0], each.mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("ask", ["predicted", "in_time", "deviations"])
def test_one_pair_copies_no_rows_of_others(samples, ask):
    asked = [np.array([3]), np.array([7]), np.array([4])][: 3 if ask == "in_time" else 2]
    getattr(samples, ask)(*asked)  # compiled, and dates measured from where none has a say
    tracemalloc.start()
    getattr(samples, ask)(*asked)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < samples.n_bytes / 20


@pytest.mark.parametrize("unit", [1.0, 2.0])
def test_loaded_samples_are_the_arrays_that_were_read(samples, unit):
    told = {"noise_variance": 0.7, "sample_unit": unit}
    arrays = samples.arrays()
    before = {name: values.copy() for name, values in arrays.items()}
    found = Samples.from_stored(arrays, told, "here")
    units = module.column_units(RANK, unit).astype(np.float32)
    for side in ("users", "items", "times"):
        assert np.shares_memory(getattr(found, side), arrays[f"samples/{side}"])
        np.testing.assert_array_equal(getattr(found, side), before[f"samples/{side}"] * units)
