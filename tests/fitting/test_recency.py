"""An order whose popularity is that of late."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.fitting.list_times import ListTimes
from daskals.fitting.order_choice import SHARE, hold_out
from daskals.fitting.recency import (
    GENRE_WEIGHT,
    POPULARITY_WEIGHT,
    STALE_WEIGHT,
    UNLIKED,
    recent_popularity,
    visit_sizes,
)
from daskals.retrain.config import RetrainConfig
from daskals.types import RatingsBlock

pytestmark = pytest.mark.usefixtures("no_baseline")

CONFIG = TrainConfig(model="als", rank=2, epochs=1, split="none", popularity_half_life=0.1)


def dated_ratings(n_users: int = 40, n_items: int = 20, seed: int = 0, n_ratings: int = 300) -> pd.DataFrame:
    """Return ratings whose earlier half is of the first items, and whose later is of the last ones."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice(n_users * n_items, n_ratings, replace=False)
    users, items = np.divmod(pairs, n_items)
    times = np.where(items < n_items // 2, 0, 1_000) + rng.integers(0, 999, len(pairs))
    ratings = rng.integers(1, 11, len(pairs)) / 2
    return pd.DataFrame({"user": users, "item": items, "rating": ratings, "timestamp": times})


def plain_visits(times: np.ndarray) -> dict[int, int]:
    """Return how many ratings a user made in the visit of each moment; a day's pause ends one."""
    visits: list[list[int]] = []
    for moment in sorted(times):
        if not visits or moment - visits[-1][-1] > 86_400:
            visits.append([])
        visits[-1].append(moment)
    return {moment: len(visit) for visit in visits for moment in visit}


def plain_popularity(x: np.ndarray, times: np.ndarray, half_life: float) -> np.ndarray:
    """Return popularity by its definition, rating by rating; `times` are -1 where there is none."""
    every = times[times >= 0]
    total, there, without = np.zeros(x.shape[1]), 0.0, 0.0
    for user in range(len(x)):
        latest = 0.0
        together = plain_visits(times[user][times[user] >= 0])
        for item in np.flatnonzero(times[user] >= 0):
            weight = 2.0 ** (-np.mean(every > times[user, item]) / half_life)
            total[item] += weight * x[user, item] * together[times[user, item]] ** -0.3
            without += weight * x[user, item]
            latest = max(latest, weight)
        there += latest
    return total * (without / total.sum()) / there


def test_popularity_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    days = rng.integers(0, 50, (30, 12)) + rng.integers(0, 2, (30, 12)) / 2  # many at the same moment
    times = np.where(rng.random((30, 12)) < 0.4, (86_400 * days).astype(np.int64), -1)
    times[[0, 17]] = -1  # people without ratings
    x = np.where(times >= 0, rng.choice([0.5, 1.0], times.shape), 0.0)
    users, items = np.nonzero(times >= 0)
    sparse = scipy.sparse.csr_array((x[users, items], (users, items)), shape=x.shape)
    seconds = times[users, items]
    found = recent_popularity(sparse, seconds, 0.05)
    np.testing.assert_allclose(found, plain_popularity(x, times, 0.05), rtol=1e-6)
    single = recent_popularity(sparse, 100_000 * rng.permutation(len(seconds)), 1e9)
    np.testing.assert_allclose(single, x.sum(axis=0) / 28, rtol=1e-6)  # all visits are of one rating


def test_what_is_told_in_a_long_visit_is_less_popular():
    """Two people choose the first item among many of a day, two the last item by itself."""
    chosen = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]], np.float64)
    x = scipy.sparse.csr_array(chosen)
    found = recent_popularity(x, np.full(x.nnz, 1_000), 0.1)
    assert found[3] / found[0] == pytest.approx(3**0.3, rel=1e-6)
    assert found.sum() == pytest.approx(chosen.sum() / 4)


def test_of_clicks_long_visits_tell_as_much_as_short_ones(client):
    pairs = [(user, item) for user in (1, 2) for item in (0, 1, 2)] + [(3, 3), (4, 3)]
    frame = pd.DataFrame(pairs, columns=["user", "item"]).assign(timestamp=1_000)
    frame.loc[0, "timestamp"] = 999
    model = fit(frame, CONFIG.model_copy(update={"model": "ials"}), client)
    popularity = dict(zip(model.item_ids.to_pylist(), model.order.popularity.tolist(), strict=True))
    assert popularity[1] == popularity[2] == popularity[3]


def test_a_visit_ends_with_a_day_without_a_rating():
    seconds = np.array([0, 86_401, 86_400, 500_000, 7, 500_001])
    sizes = visit_sizes(np.array([0, 0, 4, 4, 6]), seconds, np.argsort(seconds))
    np.testing.assert_array_equal(sizes, [3, 3, 3, 1, 1, 1])


def test_nothing_is_popular_where_nobody_rated():
    nothing = recent_popularity(scipy.sparse.csr_array((3, 4)), np.empty(0, np.int64), 0.1)
    np.testing.assert_array_equal(nothing, np.zeros(4))


def test_lists_follow_what_is_chosen_of_late(client):
    frame = dated_ratings()
    of_late = fit(frame, CONFIG, client)
    always = fit(frame, CONFIG.model_copy(update={"popularity_half_life": 0.0}), client)
    late = np.array([int(item) >= 10 for item in of_late.item_ids.to_pylist()])
    share = [model.order.popularity[late].sum() / model.order.popularity.sum() for model in (of_late, always)]
    assert share[0] > 0.95 > 0.6 > share[1]
    own = of_late.order.settings
    assert (own.popularity_weight, own.stale_weight) == (0.01, STALE_WEIGHT)
    assert (own.unliked, own.genre_weight) == (UNLIKED, GENRE_WEIGHT)
    alike = fit(frame, CONFIG.model_copy(update={"own_half_life": 0.0}), client).order.settings
    assert (alike.popularity_weight, alike.stale_weight) == (POPULARITY_WEIGHT, 0.0)
    assert of_late.report["order"]["popularity_half_life"] == 0.1
    assert always.order.settings.popularity_weight == 0.01
    at_random = fit(frame, TrainConfig(model="als", rank=2, epochs=1), client).order.settings
    assert (at_random.unliked, at_random.genre_weight) == (0.5, 0.8)


def test_what_goes_with_what_does_not_hang_on_what_lists_are_for(client):
    frame = dated_ratings(120, n_ratings=1_000)
    frame["item"] = frame["item"] % 10 + 10 * (frame["user"] % 2)  # people of two tastes
    frame = frame.drop_duplicates(["user", "item"])
    models = [fit(frame, CONFIG.model_copy(update={"popularity_half_life": h}), client) for h in (0.1, 0.0)]
    late, always = (model.order.companions for model in models)
    assert (late.correlations > 0).any()
    np.testing.assert_array_equal(late.items, always.items)
    np.testing.assert_array_equal(late.correlations, always.correlations)


def test_an_update_leaves_what_is_popular_of_late_as_it_was(client):
    model = fit(dated_ratings(), CONFIG, client)
    unknown = int(np.flatnonzero(model.order.popularity == model.order.popularity.min())[0])
    known = model.order.popularity.copy()
    new = pd.DataFrame({"user": [900] * 3, "item": [model.item_ids[unknown].as_py(), 5, 901], "rating": 5.0})
    grown = model.update(new).order.popularity
    np.testing.assert_array_equal(grown[: len(known)], known)
    assert grown[len(known)] == pytest.approx(1 / 41)


def test_ratings_without_timestamps_have_no_late_ones(client):
    with pytest.raises(DataError, match=r"no timestamps.*or leave popularity_half_life out"):
        fit(dated_ratings().drop(columns="timestamp"), CONFIG, client)


def test_weights_are_then_chosen_on_the_latest_tenth(monkeypatch):
    monkeypatch.setattr("daskals.fitting.order_choice.FEWEST_USERS", 1)
    seconds = np.random.default_rng(2).permutation(200)
    seconds[190:] = np.arange(200, 210)  # a person of whom nothing earlier is known
    items, fives = np.tile(np.arange(10, dtype=np.int32), 20), np.full(200, 5, np.float32)
    block = RatingsBlock(0, np.arange(0, 201, 10), items, fives, np.empty(0, np.float32))
    held = hold_out(block, np.ones(200, np.float32), 10, 42, ListTimes(seconds, "latest"))
    assert len(held.seconds) == len(held.train.indices) == 200 * (1 - SHARE)
    earlier = seconds <= held.seconds.max()
    np.testing.assert_array_equal(held.seconds, seconds[earlier])
    owners = np.repeat(np.arange(20), 10)
    assert held.users.tolist() == sorted(set(owners[~earlier]) - {19})


def test_nights_follow_what_is_chosen_of_late():
    """They leave no ratings out of what is published: their lists are for what comes next."""
    options = {"as_of": "2024-05-01", "data": "incoming"}
    config = RetrainConfig.parse(options).training(5)
    assert (config.split, config.popularity_half_life, config.own_half_life) == ("none", None, None)
    named = {"popularity_half_life": 0, "own_half_life": 0.5, "order": "rating"}
    config = RetrainConfig.parse({**options, **named}).training(5)
    assert (config.popularity_half_life, config.own_half_life, config.order) == (0, 0.5, "rating")
