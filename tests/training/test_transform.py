"""`--transform`: training sees logarithms or ranks; all that is asked of the model comes back as ratings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from daskals.analysis.anomalies.ratings import read_rated
from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.evaluation.prediction_error import evaluate
from daskals.fitting.baseline import baseline_section
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.retrain import context
from daskals.store.curves import MOST_KNOTS, curve_of
from daskals.store.splits import ensure_split
from daskals.training.events import Notice
from daskals.types import TEST, Curve
from tests.cases.planted import planted

pytestmark = pytest.mark.usefixtures("no_baseline")

OPTIONS = {
    "bias": {"model": "bias", "epochs": 4},
    "als": {"model": "als", "epochs": 5},
    "named": {"model": "als", "epochs": 5, "tau": 0.03},
    "bayes": {"model": "bayes", "sweeps": 12, "burn_in": 4, "keep_samples": 8},
}


def counts() -> pd.DataFrame:
    """Return counts over four decades, more distinct ones than a scale holds."""
    frame, _ = planted()
    noise = np.random.default_rng(1).normal(size=len(frame))
    return frame.assign(rating=np.round(np.exp(2 * frame["rating"] + 0.1 * noise)))


@pytest.fixture(scope="module", params=OPTIONS)
def trained(request, client, no_baseline) -> tuple[str, Model, pd.DataFrame]:
    """Return a model of counts seen as logarithms."""
    frame = counts()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "bias":
            patch.setattr("daskals.fitting.fit.baseline_section", baseline_section)
        model = fit(frame, config_of(request.param).model_copy(update={"transform": "log1p"}), client)
    return request.param, model, frame


def config_of(kind: str) -> TrainConfig:
    return TrainConfig.parse({**OPTIONS[kind], "rank": 3, "test_fraction": 0.2})


@pytest.mark.long
def test_predictions_and_deviations_come_back(trained, client):
    kind, model, frame = trained
    by_hand = fit(frame.assign(rating=np.log1p(frame["rating"])), config_of(kind), client)
    pairs = frame["user"].to_numpy(), frame["item"].to_numpy()
    found, seen = model.predict(*pairs), by_hand.predict(*pairs)
    # samples are kept to 10 bits: what is at the edge of two may fall to either side
    rtol = 3e-2 if kind == "bayes" else 1e-4
    np.testing.assert_allclose(found.rating, np.expm1(seen.rating.astype(np.float64)), rtol=rtol, atol=1e-3)
    assert found.rating.max() > 1_000
    if kind == "bayes":
        middle, deviation = seen.rating.astype(np.float64), seen.deviation.astype(np.float64)
        half = (np.expm1(middle + deviation) - np.expm1(middle - deviation)) / 2
        np.testing.assert_allclose(found.deviation, half, rtol=5e-2)
        within = model.report["coverage"]["90"]
        assert within == pytest.approx(by_hand.report["coverage"]["90"], abs=0.02)
        assert model.report["test_rmse_chain"] is None


def test_errors_are_of_ratings_beside_those_of_biases(trained):
    kind, model, frame = trained
    with open_ratings(frame, ReadConfig(), None) as store:
        split = ensure_split(store, SplitSpec("random", test_fraction=0.2, seed=42))
        parts = split.parts("user", 0, store.n_ratings)
        users = np.repeat(np.arange(store.n_users), np.diff(store.indptr("user")))
        block = store.read("user", 0, store.n_users).block
        tested = parts == TEST
        errors = (block.ratings - model.predict_rows(users, block.indices.astype(np.int64)))[tested]
    assert model.report["test_rmse"] == pytest.approx(
        np.sqrt(np.mean(np.square(errors, dtype=float))), rel=1e-4
    )
    assert evaluate(model, frame, ReadConfig())["test_rmse"] == pytest.approx(
        model.report["test_rmse"], rel=1e-4
    )
    if kind == "bias":
        ratio = model.report["test_rmse"] / model.report["baseline"]["test_rmse"]
        assert ratio == pytest.approx(1.0, abs=0.2)
    assert not any("decades" in note for note in model.report["notes"])


def test_lists_and_people_are_in_ratings(trained, tmp_path):
    kind, model, frame = trained
    user = int(frame["user"].iloc[0])
    table = model.recommend(user, 5, order="rating")
    predicted = model.predict([user] * len(table), table["item"].tolist(), clip=True).rating
    np.testing.assert_allclose(table["stars"], predicted, rtol=1e-4)
    if kind != "bayes":
        np.testing.assert_allclose(np.clip(table["score"], *model.limits), predicted, rtol=1e-4)
        own = frame[frame["user"] == user].sample(frac=0.8, random_state=0)
        person = model.fold_in(dict(zip(own["item"], own["rating"], strict=True)))
        told = model.predict_profile(person, own["item"].tolist())
        rows = [model.find_item(item) for item in own["item"]]
        seen = model.item_factors[rows] @ person.factors + model.item_biases[rows] + model.mean + person.bias
        np.testing.assert_allclose(told, np.expm1(seen.astype(np.float64)), rtol=1e-4, atol=1e-3)
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    assert again.curve == model.curve
    np.testing.assert_array_equal(again.recommend(user, 5, order="rating")["stars"], table["stars"])


def test_a_trained_users_ratings_fold_in_to_their_row(client):
    frame = counts()
    options = {"model": "als", "epochs": 4, "rank": 3, "split": "none", "transform": "rank"}
    model = fit(frame, TrainConfig.parse(options), client)
    own = frame[frame["user"] == 7]
    person = model.fold_in(dict(zip(own["item"], own["rating"], strict=True)))
    np.testing.assert_allclose(person.factors, model.user_factors[model.find_user(7)], rtol=1e-3, atol=1e-4)
    reasons = model.explain(7, int(own["item"].iloc[0]))
    seen = model.curve.of(model.predict([7], [int(own["item"].iloc[0])]).rating)
    assert reasons.rating == pytest.approx(float(seen[0]), abs=1e-3)
    low, high = model.limits
    found = model.predict(frame["user"].to_numpy(), frame["item"].to_numpy()).rating
    assert low <= found.min() <= found.max() <= high


def test_ranks_are_those_of_the_training_ratings():
    frame = pd.DataFrame({"user": [0, 0, 1, 1], "item": [0, 1, 0, 1], "rating": [1.0, 5.0, 5.0, 9.0]})
    with open_ratings(frame, ReadConfig(), None) as store:
        found = curve_of(store, ensure_split(store, SplitSpec("none")), "rank")
    assert found == Curve("rank", (1.0, 5.0, 9.0), (0.125, 0.5, 0.875))
    np.testing.assert_allclose(found.of(np.array([0.0, 1, 3, 9, 50])), [0.125, 0.125, 0.3125, 0.875, 0.875])
    np.testing.assert_allclose(found.back(np.array([-1.0, 0.125, 0.3125, 2])), [1, 1, 3, 9])


def test_ranks_of_many_distinct_ratings_are_kept_at_some():
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((60, 60)) < 0.9)
    frame = pd.DataFrame({"user": users, "item": items, "rating": np.exp(3 * rng.normal(size=len(users)))})
    with open_ratings(frame, ReadConfig(), None) as store:
        found = curve_of(store, ensure_split(store, SplitSpec("none")), "rank")
    assert 900 < len(found.ratings) <= MOST_KNOTS
    expected = frame["rating"].rank(pct=True) - 0.5 / len(frame)
    np.testing.assert_allclose(found.of(frame["rating"].to_numpy()), expected, atol=2e-3)


def test_negative_ratings_have_no_logarithm(client):
    frame, _ = planted()
    with pytest.raises(DataError, match=r"ratings down to -2\.5"):
        fit(
            frame.assign(rating=frame["rating"] - 3),
            TrainConfig.parse({"model": "als", "transform": "log1p"}),
            client,
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "ials"}, "takes logarithms"),
        ({"model": "bayes", "likelihood": "censored"}, "censored scale"),
    ],
)
def test_what_does_not_go_with_a_transform_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**options, transform="log1p")


def test_who_needs_factors_of_ratings_refuses_those_of_logarithms(monkeypatch):
    model = SimpleNamespace(curve=Curve("log1p"))
    with pytest.raises(ConfigError, match=r"anomalies: the model was trained with transform=.log1p."):
        read_rated(model)
    begun = {"champion": "7", "store": None, "since": 0}
    monkeypatch.setattr(context, "Registry", lambda url: SimpleNamespace(load=lambda version: model))
    folder = SimpleNamespace(read=lambda name: begun)
    with pytest.raises(ConfigError, match=r"version 7: the champion was trained with transform=.log1p."):
        context.begin(SimpleNamespace(registry_url="registry"), folder, None, None)


def test_the_note_on_counts_names_it(client):
    frame = counts()
    frame.loc[3, "rating"] = 3e6
    told: list[object] = []
    fit(frame, TrainConfig.parse({"model": "bias", "epochs": 2, "order": "rating"}), client, [told.append])
    (note,) = [event.text for event in told if isinstance(event, Notice) and "decades" in event.text]
    assert "train with --transform log1p or rank" in note
