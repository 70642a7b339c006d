"""Implicit feedback: the objective, its formula elsewhere, and all that a model of it is asked."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.training.checkpoint import Checkpoints
from daskals.training.run import RunOptions
from jobs.train import main

pytestmark = pytest.mark.usefixtures("no_baseline")

RANK = 3
OPTIONS = {"model": "ials", "rank": RANK, "epochs": 6, "split": "none", "confidence_weight": 0.7,
           "confidence": "linear", "confidence_unit": "count"}  # fmt: skip


def clicks(seed: int = 0, n_users: int = 60, n_items: int = 40) -> pd.DataFrame:
    """Return counts from 1 to 5; every user and every item has some."""
    rng = np.random.default_rng(seed)
    seen = rng.random((n_users, n_items)) < 0.2
    seen[np.arange(n_users), np.arange(n_users) % n_items] = True
    users, items = np.nonzero(seen)
    return pd.DataFrame(
        {"user": users, "item": items, "rating": rng.integers(1, 6, len(users)).astype(float)}
    )


def train(client, **changes) -> Model:
    return fit(clicks(), TrainConfig.parse({**OPTIONS, **changes}), client)


def dense(model: Model, frame: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Return P and Q in float64, and the counts as a matrix."""
    counts = np.zeros((len(model.user_ids), len(model.item_ids)))
    counts[model.rows_of("user", frame.user.tolist()), model.rows_of("item", frame.item.tolist())] = (
        frame.rating
    )
    return model.user_factors.astype(float), model.item_factors.astype(float), counts


@pytest.mark.parametrize("confidence", ["linear", "log"])
@pytest.mark.parametrize("zeros", ["all", "unobserved"])
def test_the_objective_is_its_formula_and_never_rises(client, zeros, confidence):
    model = train(client, zeros=zeros, confidence=confidence, confidence_scale=2.0)
    p, q, counts = dense(model, clicks())
    seen = counts > 0
    c = 1 + 0.7 * (counts if confidence == "linear" else np.log(1 + counts / 2.0))
    scores, a0 = p @ q.T, 0.3
    zero = scores**2 if zeros == "all" else np.where(seen, 0.0, scores**2)
    loss = np.sum(c[seen] * (1 - scores[seen]) ** 2) + a0 * np.sum(zero)
    for rows, n, n_other in ((p, seen.sum(1), len(q)), (q, seen.sum(0), len(p))):
        loss += 0.007 * np.sum((n + a0 * n_other) * np.sum(rows**2, axis=1))
    assert model.report["objective"] == pytest.approx(loss, rel=1e-5)
    objectives = [record["objective"] for record in model.report["history"]]
    assert len(objectives) == 6
    assert all(after < before for before, after in itertools.pairwise(objectives))
    assert model.report["objective"] <= objectives[-1]


def test_the_objective_is_that_of_the_library_implicit(client):
    """Its `calculate_training_loss`, written out; α₀ is near 1 and observations weigh c, others 1."""
    regularisation, a0 = 0.5, 0.999
    model = train(client, zeros="unobserved", tau=regularisation, reg_exponent=0.0, unobserved_weight=a0)
    p, q, counts = dense(model, clicks())
    confidence = np.where(counts > 0, (1 + 0.7 * counts) / a0, 0.0)
    gram, loss, total = q.T @ q, 0.0, 0.0
    for user, x in enumerate(p):
        r = gram @ x
        for item in np.flatnonzero(confidence[user]):
            weight = confidence[user, item]
            r = r + (-2.0 * weight + (weight - 1.0) * (q[item] @ x)) * q[item]
            total += weight
            loss += weight
        loss += r @ x
    loss += regularisation / a0 * (np.sum(p**2) + np.sum(q**2))
    normaliser = total + counts.size - np.count_nonzero(counts)
    ours = model.report["objective"] / a0 / normaliser
    assert ours == pytest.approx(loss / normaliser, rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("solver", ["blocks", "gradients"])
def test_what_improves_never_raises_the_objective_and_ends_where_exact_solves_do(client, tmp_path, solver):
    options = {"rank": 33, "epochs": 30, "tau": 0.1, "solver": solver}
    model = train(client, **options)
    objectives = [record["objective"] for record in model.report["history"]]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(objectives))
    p, q, counts = dense(model, clicks())
    for user, own in enumerate(counts):  # the closing half-step comes near the exact rows
        seen = own > 0
        c = 1 + 0.7 * own[seen]
        ridge = 0.1 * (seen.sum() + 0.3 * len(q))
        system = q[seen].T @ (c[:, None] * q[seen]) + 0.3 * q.T @ q + ridge * np.eye(33)
        np.testing.assert_allclose(p[user], np.linalg.solve(system, q[seen].T @ c), rtol=0, atol=2e-3)
    kept = RunOptions(Checkpoints(tmp_path, every=3))
    fit(clicks(), TrainConfig.parse({**OPTIONS, **options, "epochs": 6}), client, run=kept)
    again = RunOptions(Checkpoints(tmp_path, every=3, resume=True))
    resumed = fit(clicks(), TrainConfig.parse({**OPTIONS, **options}), client, run=again)
    assert resumed.factors_sha256() == model.factors_sha256()


def test_a_user_row_solves_its_equations(client):
    """Plain NumPy for the users, given the items: the closing half-step."""
    model = train(client)
    p, q, counts = dense(model, clicks())
    for user, own in enumerate(counts):
        seen = own > 0
        c = 1 + 0.7 * own[seen]
        ridge = 0.007 * (seen.sum() + 0.3 * len(q))
        system = q[seen].T @ (c[:, None] * q[seen]) + 0.3 * q.T @ q + ridge * np.eye(RANK)
        np.testing.assert_allclose(p[user], np.linalg.solve(system, q[seen].T @ c), rtol=0, atol=2e-5)


def test_what_is_saved_is_an_ordinary_model(client, tmp_path):
    model = train(client)
    assert model.report["config"]["model"] == "ials"
    assert model.mean == 0.0
    assert not model.user_biases.any()
    assert not model.item_biases.any()
    assert model.report["train_rmse"] is None
    assert model.report["test_rmse"] is None
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.factors_sha256() == model.factors_sha256()
    p, q, _ = dense(model, clicks())
    scores = p @ q.T
    users, items = [0, 5, 59], [3, 0, 39]
    rows = loaded.rows_of("user", users), loaded.rows_of("item", items)
    np.testing.assert_allclose(loaded.predict(users, items).rating, scores[rows], rtol=1e-5, atol=1e-6)
    listed = loaded.recommend(loaded.fold_in({0: 1, 7: 4}), n=40, include_seen=True)
    assert (np.diff(listed["score"]) <= 0).all()


def test_a_fold_in_is_the_trained_row_and_its_reasons_add_up(client):
    frame = clicks()
    model = train(client)
    own = frame[frame.user == 11]
    person = model.fold_in(dict(zip(own.item, own.rating, strict=True)))
    row = model.rows_of("user", [11])[0]
    assert person.factors.tobytes() == model.user_factors[row].tobytes()
    told = model.explain(person, 2)
    score = float(model.scores(person, [2], order="rating")[0])
    assert told.rating == pytest.approx(score, rel=1e-4, abs=1e-6)
    assert sum(told.ratings["contribution"].to_pylist()) == pytest.approx(score, rel=1e-4, abs=1e-6)
    assert model.fold_in({0: 1000.0}).factors.any()  # beyond what was seen in training
    with pytest.raises(DataError, match="count of -1"):
        model.fold_in({0: -1})
    item = model.fold_in_item(ratings={1: 2, 5: 1}, start="bias")
    assert item.bias == 0.0
    assert item.factors.any()


@pytest.mark.long
def test_a_run_is_resumed_to_the_same_bits(client, tmp_path):
    whole = train(client)
    kept = Checkpoints(tmp_path, every=1)
    train_kept = {"config": TrainConfig.parse({**OPTIONS, "epochs": 3}), "client": client}
    fit(clicks(), **train_kept, run=RunOptions(kept))
    again = RunOptions(Checkpoints(tmp_path, every=1, resume=True))
    resumed = fit(clicks(), TrainConfig.parse(OPTIONS), client, run=again)
    assert resumed.report["resumed_from"] == 3
    assert resumed.factors_sha256() == whole.factors_sha256()
    assert [r["objective"] for r in resumed.report["history"]] == [
        r["objective"] for r in whole.report["history"]
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "coordinate"}, "solver: coordinate serves the models of ratings"),
        ({"rank": 0}, "rank: found 0; expected at least 1"),
        ({"patience": 2, "validation_fraction": 0.1}, "patience: ials predicts no rating"),
        ({"monitor_test": True}, "monitor_test=True: ials predicts no rating"),
        ({"unobserved_weight": 0}, "unobserved_weight"),
        ({"confidence_scale": 0}, "confidence_scale"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse({**OPTIONS, **options})


def test_counts_that_are_none_are_refused(client):
    frame = clicks()
    frame.loc[0, "rating"] = -2.0
    with pytest.raises(DataError, match=r"counts from -2 up.*expected counts above 0"):
        fit(frame, TrainConfig.parse(OPTIONS), client)
    with pytest.raises(ConfigError, match=r"found 1 with zeros=.unobserved."):
        train(client, zeros="unobserved", unobserved_weight=1.0)


@pytest.mark.long
def test_clicks_are_trained_by_the_command(tmp_path):
    path = tmp_path / "clicks.csv"
    clicks().rename(columns={"rating": "n"}).to_csv(path, index=False)
    out = tmp_path / "run"
    options = ["--columns", "user=user,item=item,weight=n", "--model", "ials", "--rank", str(RANK)]
    places = ["--data", str(path), "--out", str(out), "--dashboard-address", "none", "--epochs", "3"]
    result = CliRunner().invoke(main, [*places, *options])
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert f"objective {report['objective']:,.2f}" in result.output
    assert "RMSE" not in result.output
    assert report["config"]["tau"] == 0.007
    assert report["config"]["reg_exponent"] == 1.0
    refused = CliRunner().invoke(main, [*places, *options, "--model", "als", "--overwrite"])
    assert "no column named for rating" in refused.output + str(refused.exception)
