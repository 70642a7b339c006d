"""The order of lists from clicks and plays, as it is without any option: held against what is simple."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import daskals
from daskals import TrainConfig
from daskals.evaluation.ranking_scores import ranking_report
from daskals.fitting.baseline import baseline_notes
from daskals.fitting.evaluate import served_order
from daskals.ingest import open_ratings
from daskals.retrain.promotion import contender_of

COLUMNS = {"user": "user", "item": "item", "weight": "seconds"}
OPTIONS = {"model": "ials", "columns": COLUMNS, "epochs": 15, "rank": 8}


def listening() -> pd.DataFrame:
    """Return seconds that people of four tastes listened, from one to an hour, whatever the taste."""
    rng = np.random.default_rng(4)
    n_users, n_items = 320, 160
    popular = 1 / np.arange(4, n_items + 4)
    rows = []
    for user in range(n_users):
        liked = np.where(np.arange(n_items) % 4 == user % 4, 1.0, 0.04) * popular
        for item in rng.choice(n_items, 14, replace=False, p=liked / liked.sum()):
            rows.append((user, f"episode {item}", int(np.exp(rng.uniform(0, np.log(3600))))))
    return pd.DataFrame(rows, columns=["user", "item", "seconds"])


@pytest.fixture(scope="module")
def model(client):
    return daskals.fit(listening(), TrainConfig.parse(OPTIONS), client)


def test_the_default_order_finds_more_than_counting_and_as_much_as_ease(client):
    """With seconds as the confidence, and the factors' score alone, it found less than popularity."""
    frame = listening()
    with open_ratings(frame, TrainConfig.parse(OPTIONS)) as store:
        model = daskals.fit(store, TrainConfig.parse({**OPTIONS, "test_fraction": 0.2}), client)
        report = ranking_report(model, store, served=served_order(model, store))
    found = {name: figures["10"]["ndcg"] for name, figures in report["scores"].items()}
    assert found.keys() == {"popularity", "item-kNN", "EASE", "rating", "served"}
    assert found["served"] > 1.3 * found["popularity"]
    assert found["served"] > 0.95 * max(found["EASE"], found["item-kNN"], found["rating"])
    assert "over_popularity" in report["scores"]["served"]["10"]


def test_lists_go_by_the_order_and_its_parts_add_up(model):
    assert model.list_order() == "affinity"
    assert model.order.settings.unliked == 1.0
    person = model.fold_in({"episode 0": 60.0, "episode 4": 1.0})
    item = model.recommend(person, 1)["item"][0]
    reasons = model.explain_order(person, item)
    assert reasons.score == pytest.approx(model.scores(person, [item])[0], rel=1e-4)
    taste = float(model.item_factors[model.find_item(item)] @ person.factors)
    assert reasons.rating == pytest.approx(model.order.settings.rating_weight * taste, rel=1e-5)
    assert set(reasons.ratings.column_names) == {"item", "count", "as_item", "by_genre", "contribution"}


def test_the_unit_of_plays_changes_no_list(model, client):
    frame = listening()
    hours = frame.assign(seconds=frame["seconds"] / 3600)
    other = daskals.fit(hours, TrainConfig.parse(OPTIONS), client)
    for user in (0, 1, 2):
        assert other.recommend(user, 5)["item"].tolist() == model.recommend(user, 5)["item"].tolist()


def test_a_night_weighs_the_score_as_it_is_served(model):
    parts = contender_of(model, "2024-05-01").rating_parts(model)
    served = model.order_scorer
    assert parts.seen_limits == model.order_limits
    assert served.rating_weight == model.order.settings.rating_weight


def test_ratings_that_are_all_the_same_are_told_to_be_clicks(client):
    """RMSE 0.00000 of train and test was all that was said."""
    frame = listening().drop(columns="seconds").assign(rating=1.0)
    told = baseline_notes(daskals.fit(frame, TrainConfig(model="als", rank=2, epochs=1), client))
    assert told == [
        "all ratings are 1, so nothing tells what is liked: where rows are clicks or plays, "
        "train with --model ials"
    ]


def test_factors_of_clicks_that_say_nothing_are_told(model):
    assert baseline_notes(model) == []
    nothing = replace(model, item_rows=np.zeros_like(model.item_rows))
    assert baseline_notes(nothing) == [
        "the factors say nothing of these clicks: lists go by what is chosen together; lower --tau"
    ]
