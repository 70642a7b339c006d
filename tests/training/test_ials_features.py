"""Implicit feedback whose rows are drawn to what their features predict."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from daskals.config import TrainConfig
from daskals.errors import ConfigError
from daskals.fitting.fit import fit
from daskals.kernels.toolkit.random import STREAM_INIT_ITEM, fill_normals
from daskals.model.fitted import Model
from daskals.training.checkpoint import Checkpoints
from daskals.training.run import RunOptions
from tests.cases.planted_clicks import PlantedClicks, ndcg, planted_clicks

pytestmark = pytest.mark.usefixtures("no_baseline")

RANK, N_EPOCHS, TAU = 3, 8, 0.02
OPTIONS = {
    "confidence": "linear",
    "confidence_unit": "count",
    "model": "ials",
    "rank": RANK,
    "epochs": N_EPOCHS,
    "split": "none",
    "tau": TAU,
    "columns": "user=userId,item=movieId",
}
GENRES = {**OPTIONS, "item_features": "genres"}
BOTH = {**OPTIONS, "item_features": "genres,implicit", "user_features": "implicit", "eta": 2.0}


@pytest.fixture(scope="module")
def clicks() -> PlantedClicks:
    return planted_clicks(400, 500, 5)


@pytest.fixture(scope="module")
def folder(clicks, tmp_path_factory):
    return str(clicks.write(tmp_path_factory.mktemp("clicks")))


@pytest.fixture(scope="module")
def models(client, folder) -> dict[str, Model]:
    asked = {"plain": OPTIONS, "genres": GENRES, "both": BOTH}
    return {name: fit(folder, TrainConfig.parse(options), client) for name, options in asked.items()}


def matrix_of(model: Model, clicks: PlantedClicks) -> np.ndarray:
    """Return which of a model's users clicked which of its items; it knows every item, clicked or not."""
    assert len(model.item_ids) == clicks.train.shape[1]
    return clicks.train[np.ix_(model.user_ids.to_pylist(), model.item_ids.to_pylist())]


def item_features(model: Model, clicks: PlantedClicks, columns: list[str]) -> np.ndarray:
    """Return F of the items as a matrix, from the catalogue and the clicks alone."""
    names = model.report["features"]["item"][0]["values"]
    genres = np.zeros((len(model.item_ids), len(names)))
    for row, item in enumerate(model.item_ids.to_pylist()):
        for name in clicks.genres[item].split("|"):
            genres[row, names.index(name)] = 1 / (1 + clicks.genres[item].count("|"))
    seen = matrix_of(model, clicks).T
    who = seen / np.sqrt(np.maximum(seen.sum(axis=1), 1))[:, None]
    return np.hstack([{"genres": genres, "implicit": who}[column] for column in columns])


@pytest.mark.long
@pytest.mark.parametrize("name", ["genres", "both"])
def test_the_objective_is_its_formula_and_never_rises(models, clicks, name):
    model = models[name]
    seen, a0 = matrix_of(model, clicks), 0.3
    p, q = model.user_factors.astype(float), model.item_factors.astype(float)
    scores = p @ q.T
    loss = np.sum(2.0 * (1 - scores[seen]) ** 2) + a0 * np.sum(scores**2)
    eta = {"genres": TAU * a0 * len(p), "both": 2.0}[name]
    w = model.weights["item"]
    assert not w[:, RANK].any()
    q_step = q - item_features(model, clicks, ["genres", "implicit"][: 1 + (name == "both")]) @ w[:, :RANK]
    p_step = p
    if name == "both":
        own = model.weights["user"]
        p_step = p - (seen / np.sqrt(seen.sum(axis=1))[:, None]) @ own[:, :RANK]
        loss += eta * np.sum(own**2)
    loss += eta * np.sum(w**2)
    for step, n, n_other in ((p_step, seen.sum(1), len(q)), (q_step, seen.sum(0), len(p))):
        loss += TAU * np.sum((n + a0 * n_other) * np.sum(step**2, axis=1))
    assert model.report["objective"] == pytest.approx(loss, rel=1e-5)
    objectives = [record["objective"] for record in model.report["history"]]
    assert len(objectives) == N_EPOCHS
    assert all(after < before for before, after in itertools.pairwise(objectives))
    assert model.report["objective"] <= objectives[-1]


def test_rows_and_w_minimise_together_given_the_users(client, tmp_path):
    """One epoch, in NumPy, W found with its rows as one least-squares problem, and not by elimination."""
    clicks = planted_clicks(60, 90, 5)
    model = fit(str(clicks.write(tmp_path)), TrainConfig.parse({**GENRES, "epochs": 1}), client)
    seen, f, a0 = matrix_of(model, clicks), item_features(model, clicks, ["genres"]), 0.3
    q = 0.1 * fill_normals(42, STREAM_INIT_ITEM, 0, len(f), RANK).astype(float)
    shared = a0 * q.T @ q
    p = np.array(
        [
            np.linalg.solve(
                2 * q[own].T @ q[own] + shared + TAU * (own.sum() + a0 * len(q)) * np.eye(RANK),
                2 * q[own].sum(axis=0),
            )
            for own in seen
        ]
    )
    unobserved = seen.sum(axis=0) == 0
    assert unobserved.any()
    n_users, eta = len(p), TAU * a0 * len(p)
    g, n_items = f.shape[1], len(f)
    size = RANK * (n_items + g)
    normal, right = np.zeros((size, size)), np.zeros(size)
    gram = a0 * p.T @ p
    for item in range(n_items):
        own = slice(item * RANK, (item + 1) * RANK)
        clicked = p[seen[:, item]]
        t = TAU * (len(clicked) + a0 * n_users)
        normal[own, own] += 2 * clicked.T @ clicked + gram + t * np.eye(RANK)
        right[own] += 2 * clicked.sum(axis=0)
        for a in np.flatnonzero(f[item]):
            left = slice((n_items + a) * RANK, (n_items + a + 1) * RANK)
            normal[own, left] -= t * f[item, a] * np.eye(RANK)
            normal[left, own] -= t * f[item, a] * np.eye(RANK)
            for b in np.flatnonzero(f[item]):
                beside = slice((n_items + b) * RANK, (n_items + b + 1) * RANK)
                normal[left, beside] += t * f[item, a] * f[item, b] * np.eye(RANK)
    weights = slice(n_items * RANK, None)
    normal[weights, weights] += eta * np.eye(g * RANK)
    found = np.linalg.solve(normal, right).reshape(-1, RANK)
    np.testing.assert_allclose(model.weights["item"][:, :RANK], found[n_items:], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.item_factors, found[:n_items], rtol=1e-3, atol=1e-3)
    assert model.item_factors[unobserved].any()


def test_folding_in_finds_the_trained_rows_and_reasons_add_up(models, clicks):
    model = models["both"]
    user = 11
    items = np.flatnonzero(clicks.train[user]).tolist()
    person = model.fold_in(dict.fromkeys(items, 1))
    row = model.rows_of("user", [user])[0]
    np.testing.assert_allclose(person.factors, model.user_factors[row], atol=1e-5)
    for who in (person, user):
        told = model.explain(who, items[0])
        score = float(model.scores(who, [items[0]], order="rating")[0])
        assert told.rating == pytest.approx(score, rel=1e-4, abs=1e-6)
        assert sum(told.ratings["contribution"].to_pylist()) == pytest.approx(score, rel=1e-4, abs=1e-6)


def test_an_item_that_nobody_observed_stands_among_its_genres(models, clicks, tmp_path):
    models["genres"].save(tmp_path / "model")
    model = Model.load(tmp_path / "model")
    assert model.factors_sha256() == models["genres"].factors_sha256()
    unobserved = np.flatnonzero(clicks.train.sum(axis=0) == 0)
    item = int(next(i for i in unobserved if "|" in clicks.genres[i]))
    genres = clicks.genres[item].split("|")
    folded = model.fold_in_item(genres)
    row = model.rows_of("item", [item])[0]
    own = model.item_factors[row]  # solved for the users of the last epoch, before they were solved once more
    cosine = folded.factors @ own / np.linalg.norm(folded.factors) / np.linalg.norm(own)
    assert cosine > 0.98
    near = model.similar_items(folded, n=10)["item"].tolist()
    assert sum(bool(set(genres) & set(clicks.genres[i].split("|"))) for i in near) >= 9
    assert not models["plain"].fold_in_item(genres).factors.any()
    users = np.flatnonzero(clicks.train[:, 3]).tolist()
    known = model.fold_in_item(clicks.genres[3].split("|"), dict.fromkeys(users, 1))
    assert known.factors.any()


def test_genres_lift_rare_items_and_cost_dense_ones_nothing(models, clicks):
    """The same on more of everything is `tests/training/slow/test_planted_clicks.py`."""
    counts = clicks.train.sum(axis=0)
    found = {}
    for name in ("plain", "genres"):
        model = models[name]
        scores = np.zeros(clicks.train.shape)
        rows = np.ix_(model.user_ids.to_pylist(), model.item_ids.to_pylist())
        scores[rows] = model.user_factors @ model.item_factors.T
        found[name] = [ndcg(scores, clicks, np.flatnonzero(own)) for own in (counts <= 3, counts > 3)]
    assert found["genres"][0] >= 1.3 * found["plain"][0]
    assert found["genres"][1] >= found["plain"][1]


@pytest.mark.long
@pytest.mark.parametrize("options", [GENRES, BOTH], ids=["genres", "both"])
def test_a_run_is_resumed_to_the_same_bits(models, client, folder, tmp_path, options):
    whole = models["genres" if options is GENRES else "both"]
    kept = RunOptions(Checkpoints(tmp_path, every=1))
    fit(folder, TrainConfig.parse({**options, "epochs": 3}), client, run=kept)
    again = RunOptions(Checkpoints(tmp_path, every=1, resume=True))
    resumed = fit(folder, TrainConfig.parse(options), client, run=again)
    assert resumed.report["resumed_from"] == 3
    assert resumed.factors_sha256() == whole.factors_sha256()
    assert resumed.report["objective"] == whole.report["objective"]
    assert resumed.report["history"][-1]["objective"] == whole.report["history"][-1]["objective"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "blocks", "rank": 40}, "solver: blocks serves als and ials without features"),
        ({"solver": "gradients"}, "solver: gradients serves als and ials without features"),
        ({"rank": 300}, "rank: found 300; expected at most 256 with features; leave them out"),
    ],
)
def test_ranks_that_rows_with_features_cannot_have_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse({**GENRES, **options})
    assert TrainConfig.parse({**GENRES, "rank": 100}).taken_solver == "joint"
