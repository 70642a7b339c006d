"""The third side at length: Geweke's test, conditionals that are wrong on purpose, and a planted drift."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.errors import RowError
from daskals.fitting.fit import fit
from daskals.kernels.half_step.joined import join_block
from daskals.training.gibbs import rows as block_draws
from daskals.training.gibbs import sweep, time_prior
from tests.cases.geweke_three import FEATURES, scores_of_three_sides

DAY = 86_400


def test_geweke_of_three_sides_long():
    scores = scores_of_three_sides(6000, 30)
    assert np.all(np.abs(scores) < 4.0), scores


def test_geweke_of_times_with_features():
    scores = scores_of_three_sides(6000, 30, FEATURES)
    assert np.all(np.abs(scores) < 4.0), scores


@pytest.mark.parametrize(("step", "factor"), [("draw_weights", 0.5), ("draw_eta", 1.6)])
def test_geweke_notices_wrong_weights_of_times(monkeypatch, step, factor):
    right = getattr(time_prior, step)
    monkeypatch.setattr(time_prior, step, lambda *given: factor * right(*given))
    assert np.max(np.abs(scores_of_three_sides(3000, 20, FEATURES))) > 5.0


def test_geweke_notices_a_third_side_without_its_product(monkeypatch):
    right = block_draws.draw_rows

    def without_product(block, other, *, rank, third, **given):
        joined, rows = join_block(block, other, third, rank)
        rows[:, rank + 1] = other[block.indices, rank + 1] + third[block.thirds, rank + 1]
        return right(joined, rows, rank=rank, **given)

    monkeypatch.setattr(block_draws, "draw_rows", without_product)
    # fed with ratings of its own, a chain that is wrong in this runs away
    with pytest.raises((RowError, RuntimeWarning)):
        scores_of_three_sides(3000, 20)


@pytest.mark.parametrize("step", ["draw_side_prior", "draw_time_prior"])
@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_geweke_notices_a_prior_of_another_width(monkeypatch, step, factor):
    right = getattr(sweep, step)

    def wrong(*given):
        drawn = right(*given)
        return drawn._replace(precision=factor * drawn.precision)

    monkeypatch.setattr(sweep, step, wrong)
    assert np.max(np.abs(scores_of_three_sides(3000, 20))) > 5.0


class Drifting(NamedTuple):
    """Ratings of moving tastes, the level of each day, and what the days add to each rating."""

    ratings: pd.DataFrame
    season: np.ndarray
    added: np.ndarray


def drifting(days: int, wave: float, drift: float) -> Drifting:
    """Plant seasons of the size `wave` and tastes that wander by `drift`, in noise of 0.5."""
    rng = np.random.default_rng(3)
    n_users, n_items = 300, 200
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.7)
    times = rng.integers(0, days, len(users))
    season = wave * np.sin(2 * np.pi * np.arange(days) / 60) + wave * np.cumsum(rng.normal(size=days)) / 4
    factors = [0.5 * rng.normal(size=(n, 2)) for n in (n_users, n_items)]
    factors.append(drift * np.cumsum(rng.normal(size=(days, 2)), axis=0) / np.sqrt(days))
    p, q, d = (own[rows] for own, rows in zip(factors, (users, items, times), strict=True))
    added = season[times] + np.sum((p + q) * d, axis=1)
    fit = 3.5 + 0.4 * rng.normal(size=n_users)[users] + 0.4 * rng.normal(size=n_items)[items]
    fit += np.sum(p * q, axis=1) + added
    ratings = fit + 0.5 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings, "timestamp": DAY * times})
    return Drifting(frame, season, added)


LONG = {"model": "bayes", "rank": 4, "test_fraction": 0.2, "sweeps": 150, "burn_in": 50, "order": "rating"}


def test_planted_drift_is_recovered(client):
    frame, season, added = drifting(120, 0.3, 0.6)
    model = fit(frame, TrainConfig.parse({**LONG, "time_bins": "day"}), client)
    found = model.samples.moved(-1).times[:-1, :, -1].mean(axis=1)
    assert np.corrcoef(found, season)[0, 1] >= 0.95
    # an oracle that knows what the days add
    oracle = fit(frame.assign(rating=frame["rating"] - added), TrainConfig.parse(LONG), client)
    assert model.report["test_rmse"] <= 1.01 * oracle.report["test_rmse"]
    still = fit(frame, TrainConfig.parse(LONG), client)
    assert model.report["test_rmse"] < 0.9 * still.report["test_rmse"]


def test_without_drift_time_costs_little(client):
    frame = drifting(120, 0.0, 0.0).ratings
    errors = [
        fit(frame, TrainConfig.parse({**LONG, "time_bins": bins}), client).report["test_rmse"]
        for bins in ("none", "day")
    ]
    assert errors[1] <= 1.001 * errors[0]


SQUARES = {
    "model": "als", "rank": 4, "test_fraction": 0.2, "epochs": 40, "order": "rating", "units": "deviations",
    "lambda": 1.0, "tau": 10.0, "gamma": 7.5,
}  # fmt: skip


def test_planted_drift_is_recovered_by_least_squares(client):
    frame, season, added = drifting(120, 0.3, 0.6)
    model = fit(frame, TrainConfig.parse({**SQUARES, "time_bins": "day", "time_tau": 20.0}), client)
    found = model.as_of("2100-01-01").times.biases[:-1]
    assert np.corrcoef(found, season)[0, 1] >= 0.95
    oracle = fit(frame.assign(rating=frame["rating"] - added), TrainConfig.parse(SQUARES), client)
    assert model.report["test_rmse"] <= 1.02 * oracle.report["test_rmse"]
    still = fit(frame, TrainConfig.parse(SQUARES), client)
    unnamed = fit(frame, TrainConfig.parse({**SQUARES, "time_bins": "day"}), client)
    assert unnamed.report["test_rmse"] <= 0.75 * still.report["test_rmse"]


def test_without_drift_time_costs_least_squares_little(client):
    frame = drifting(120, 0.0, 0.0).ratings
    errors = [
        fit(frame, TrainConfig.parse({**SQUARES, "tau": 25.0, "time_bins": bins}), client).report["test_rmse"]
        for bins in ("none", "day")
    ]
    assert errors[1] <= 1.002 * errors[0]
