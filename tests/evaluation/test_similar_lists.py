"""How good lists of similar items are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import DataError
from daskals.evaluation.similar_lists import LENGTH, MOST_ITEMS, judge_similar
from daskals.fitting.evaluate import own_ratings
from daskals.fitting.fit import fit
from daskals.model.neighbours import Neighbours
from daskals.store.splits import load_block
from daskals.types import FOLD_IN, TEST, TRAIN
from jobs import evaluate
from tests.cases.commands import run
from tests.cases.movies import write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")

CONFIG = TrainConfig.parse(
    {"model": "als", "rank": 4, "epochs": 4, "lambda": 1.0, "tau": 2.0, "gamma": 2.0, "test_fraction": 0.2}
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fit(write_movies(tmp_path_factory.mktemp("similar") / "ml-planted"), CONFIG)


def plain(model, neighbours: Neighbours, ratings: dict[str, list[tuple[int, int, float]]]) -> np.ndarray:
    """Return NDCG and recall over users by their definition, user by user and item by item."""
    of_users = []
    for user in sorted({user for user, _, _ in ratings["test"]}):
        train = {item: value for owner, item, value in ratings["train"] if owner == user}
        wanted = {item for owner, item, value in ratings["test"] if owner == user and value >= 3.5}
        liked = sorted(item for item, value in train.items() if value >= 3.5)
        if not wanted or not liked:
            continue
        liked = [
            liked[place] for place in np.linspace(0, len(liked) - 1, min(MOST_ITEMS, len(liked))).astype(int)
        ]
        figures = []
        for item in liked:
            allowed = ~np.isin(np.arange(len(model.item_ids)), list(train))
            listed = neighbours.nearest(np.array([item]), LENGTH, allowed).items[0]
            gains = [1 / np.log2(place + 2) for place, other in enumerate(listed) if other in wanted]
            best = sum(1 / np.log2(place + 2) for place in range(min(LENGTH, len(wanted))))
            figures.append([sum(gains) / best, len(wanted & set(listed.tolist())) / len(wanted)])
        of_users.append(np.mean(figures, axis=0))
    return np.mean(of_users, axis=0)


def test_figures_are_those_of_the_definition(model):
    with own_ratings(model, None, ReadConfig()) as (store, split):
        found = judge_similar(model, store, split)
        ratings = {}
        for name, part in (("train", TRAIN), ("test", TEST)):
            block = load_block(str(store.path), "user", 0, store.n_users, split.key, part)
            owners = np.repeat(np.arange(store.n_users), np.diff(block.indptr))
            ratings[name] = list(
                zip(owners.tolist(), block.indices.tolist(), block.ratings.tolist(), strict=True)
            )
    assert found["users"] > 50
    for name, neighbours in (
        ("served", model.neighbours),
        ("by taste", Neighbours(model.compared_items, None)),
    ):
        expected = plain(model, neighbours, ratings)
        figures = [found["scores"][name][key] for key in ("ndcg", "recall")]
        np.testing.assert_allclose(figures, expected, rtol=1e-9)


def test_held_out_users_are_known_by_what_folds_them_in(tmp_path, client):
    users, items = [f"u{k // 12}" for k in range(360)], [f"i{(k * 7 + k // 12) % 25}" for k in range(360)]
    frame = pd.DataFrame({"user": users, "item": items})
    frame.to_csv(tmp_path / "clicks.csv", index=False)
    options = {"model": "ials", "columns": {"user": "user", "item": "item"}, "rank": 2, "epochs": 2}
    config = TrainConfig(**options, split="users", test_fraction=0.3)
    model = fit(tmp_path / "clicks.csv", config, client)
    with own_ratings(model, None, ReadConfig()) as (store, split):
        found = judge_similar(model, store, split)
        ratings = {}
        for name, part in (("train", FOLD_IN), ("test", TEST)):
            block = load_block(str(store.path), "user", 0, store.n_users, split.key, part)
            owners = np.repeat(np.arange(store.n_users), np.diff(block.indptr))
            ratings[name] = list(
                zip(owners.tolist(), block.indices.tolist(), [5.0] * len(owners), strict=True)
            )
    assert found["users"] == 9
    figures = [found["scores"]["served"][key] for key in ("ndcg", "recall")]
    np.testing.assert_allclose(figures, plain(model, model.neighbours, ratings), rtol=1e-9)


def test_what_helps_a_model_of_clicks_is_no_model_of_ratings(client):
    frame = pd.DataFrame({"user": [k // 5 for k in range(50)], "item": [k * 3 % 10 for k in range(50)]})
    columns = {"user": "user", "item": "item"}
    model = fit(frame, TrainConfig(model="ials", columns=columns, rank=2, epochs=1, tau=1e6), client)
    with pytest.raises(DataError, match=r"Ask for another one, or train with a lower tau\.$"):
        model.similar_items(0)


def test_nothing_that_is_relevant_is_refused(model):
    with (
        own_ratings(model, None, ReadConfig()) as (store, split),
        pytest.raises(DataError, match="no held-out rating is 9 or more"),
    ):
        judge_similar(model, store, split, relevant=9.0)


def test_factors_that_say_nothing_are_refused(tmp_path):
    dust = CONFIG.model_copy(update={"tau": 1e12})
    model = fit(write_movies(tmp_path / "ml-planted"), dust)
    with (
        own_ratings(model, None, ReadConfig()) as (store, split),
        pytest.raises(DataError, match="say anything"),
    ):
        judge_similar(model, store, split)


def test_job__prints_and_writes_them(model, tmp_path):
    model.save(tmp_path / "model")
    result = run(evaluate, tmp_path / "model", "--similar", "--json", tmp_path / "found.json")
    assert "each known by one liked item at a time" in result.output
    assert "by taste" in result.output
    scores = json.loads((tmp_path / "found.json").read_text())["similar"]["scores"]
    assert 0 < scores["served"]["ndcg"] < 1


def test_job_tells_what_to_do_where_nothing_is_held_out(tmp_path):
    whole = CONFIG.model_copy(update={"split": "none"})
    fit(write_movies(tmp_path / "ml-planted"), whole).save(tmp_path / "model")
    result = run(evaluate, tmp_path / "model", "--similar")
    assert result.exit_code
    assert "Train another by --split random --test-fraction 0.1, without --refit-all" in result.output
