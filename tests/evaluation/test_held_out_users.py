"""Strong generalisation: users that training never saw are folded in and tested on the rest."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError
from daskals.evaluation.known_ratings import read_known, read_part
from daskals.evaluation.ranking import make_task
from daskals.fitting.evaluate import own_ratings
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.types import FOLD_IN, TEST, TRAIN

pytestmark = pytest.mark.usefixtures("no_baseline")

OPTIONS = {"split": "users", "test_fraction": 0.25, "rank": 2, "epochs": 3, "lambda": 0.05, "model": "als"}


def frame(extra_lonely: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    taste, kind = rng.integers(0, 2, 60), np.arange(40) % 2
    users, items = np.nonzero(rng.random((60, 40)) < np.where(taste[:, None] == kind, 0.6, 0.15))
    stars = np.where(taste[users] == kind[items], 4.5, 1.5) + rng.choice([0, 0.5], len(users))
    ratings = pd.DataFrame({"user": users, "item": items, "rating": stars})
    lonely = pd.DataFrame({"user": 1000 + np.arange(extra_lonely), "item": 1, "rating": 4.0})
    return pd.concat([ratings, lonely], ignore_index=True)


@pytest.fixture(scope="module")
def fitted(client):
    data = frame(12)
    return data, fit(data, TrainConfig.parse(OPTIONS), client)


def test_held_out_users_are_folded_in_and_do_not_train(fitted, client):
    data, model = fitted
    with own_ratings(model, data, ReadConfig()) as (store, split):
        train, folded, test = (read_part(store, split, part) for part in (TRAIN, FOLD_IN, TEST))
        held_out = np.flatnonzero(np.diff(folded.indptr))
        assert len(held_out) == 18  # a quarter of 72
        assert not np.diff(train.indptr)[held_out].any()
        assert split.n_fold_in == len(folded.items)
        known = read_known(store, split)
        for user in (held_out[0], held_out[-1], 0):
            own = known.of_users(np.array([user]))
            place = slice(folded.indptr[user], folded.indptr[user + 1])
            if user in held_out:
                np.testing.assert_array_equal(own.items, folded.items[place])
                np.testing.assert_array_equal(own.ratings, folded.ratings[place])
            else:
                np.testing.assert_array_equal(
                    own.items, train.items[train.indptr[user] : train.indptr[user + 1]]
                )
        # a row is what the person's ratings fold in to
        user = held_out[np.argmax(np.diff(folded.indptr)[held_out])]
        place = slice(folded.indptr[user], folded.indptr[user + 1])
        named = {
            model.item_ids[int(i)].as_py(): float(r)
            for i, r in zip(folded.items[place], folded.ratings[place], strict=True)
        }
        np.testing.assert_allclose(model.user_rows[user], model.fold_in(named).row[0], atol=1e-6)
        task = make_task(store, split)
        assert set(task.users) <= set(held_out)
        errors = test.ratings - model.predict_rows(test.users, test.items.astype(np.int64))
        assert model.report["test_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)
        # strangers would be far worse than people whose taste is known
        assert model.report["test_rmse"] < 0.75 * np.std(test.ratings)
        untestable = [user for user in held_out if not np.diff(test.indptr)[user]]
        assert untestable
        assert model.report["data"]["held_out_users"] == 18
        assert model.report["data"]["untestable_users"] == len(untestable)


@pytest.mark.long
def test_commands_train_and_rank_held_out_users(tmp_path):
    from jobs import evaluate, train

    ratings = tmp_path / "ratings.csv"
    frame(12).to_csv(ratings, index=False)
    arguments = ["--data", str(ratings), "--split", "users", "--test-fraction", "0.25", "--model", "als"]
    arguments += ["--rank", "2", "--epochs", "3", "--lambda", "0.05", "--out", str(tmp_path / "run")]
    trained = CliRunner().invoke(
        train.main, [*arguments, "--dashboard-address", "none"], catch_exceptions=False
    )
    assert trained.exit_code == 0, trained.output
    assert "18 users were held out and folded in with 80 % of their ratings; " in trained.output
    assert "have one rating and cannot be tested" in trained.output
    arguments = [
        str(tmp_path / "run"),
        "--ranking",
        "--k",
        "5",
        "--relevant",
        "4",
        "--json",
        str(tmp_path / "f.json"),
    ]
    ranked = CliRunner().invoke(evaluate.main, arguments, catch_exceptions=False)
    assert ranked.exit_code == 0, ranked.output
    assert "relevant is 4 and more" in ranked.output
    figures = json.loads((tmp_path / "f.json").read_text())
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    # a held-out person's reasons are the ratings that were folded in
    model = Model.load(tmp_path / "run" / "model")
    with own_ratings(model, None, ReadConfig()) as (store, split):
        counts = np.diff(read_part(store, split, FOLD_IN).indptr)
    person = model.user_ids[int(counts.argmax())].as_py()
    assert len(model.explain(person, 3).ratings) == counts.max()
    assert figures["test_rmse"] == pytest.approx(report["test_rmse"], rel=1e-6)
    scores = figures["ranking"]["scores"]
    for name in ("EASE", "item-kNN", "affinity"):  # they know held-out users by what was folded in
        assert scores[name]["5"]["ndcg"] > 1.3 * scores["popularity"]["5"]["ndcg"], name


def test_a_gibbs_sampler_is_refused():
    with pytest.raises(ConfigError, match="samples of a Gibbs sampler fold nobody in"):
        TrainConfig.parse({"split": "users", "model": "bayes"})
