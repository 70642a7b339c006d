"""What a rating counts: a weight of two is the rating twice; weights of one are none; ratings that age."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from daskals.store import writer
from daskals.store.append import append
from daskals.store.forget import forget_users
from daskals.store.reader import open_store
from daskals.store.writer import write_store
from tests.cases.planted import planted
from tests.cases.store_cases import make_table

pytestmark = pytest.mark.usefixtures("no_baseline")

DAY = 86_400
COLUMNS = {"user": "user", "item": "item", "rating": "rating", "weight": "weight"}
OPTIONS = {
    "bias": {"model": "bias", "epochs": 4},
    "als": {"model": "als", "epochs": 4, "reg_exponent": 0.5},
    "hierarchical": {"model": "hierarchical", "epochs": 4},
    "bayes": {"model": "bayes", "sweeps": 6, "burn_in": 2, "keep_samples": 4, "warm_start": 3},
    "ials": {"model": "ials", "epochs": 4, "reg_exponent": 0.5},
}


def options(kind: str, **more: object) -> TrainConfig:
    return TrainConfig.parse({"rank": 3, "split": "none", "order": "rating", **OPTIONS[kind], **more})


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """Return two stores: of ratings that weigh 1 to 3, and of each of them so many times."""
    frame, genre = planted()
    weights = np.random.default_rng(5).integers(1, 4, len(frame))
    catalogue = pa.table(
        {
            "title": [f"Title {k}" for k in range(len(genre))],
            "genres": pa.array([[f"Genre{kind}"] for kind in genre], pa.list_(pa.string())),
        }
    )
    folder = tmp_path_factory.mktemp("weights")
    for name, times in (("weighed", np.ones_like(weights)), ("repeated", weights)):
        columns = {
            "users": frame["user"].to_numpy(np.int32),
            "items": frame["item"].to_numpy(np.int32),
            "values": frame["rating"].to_numpy(np.float32),
        }
        table = make_table(
            **{role: np.repeat(column, times) for role, column in columns.items()},
            timestamps=None,
            positions=np.arange(times.sum()),
            n_input=int(times.sum()),
            user_ids=pa.array(range(60)),
            item_ids=pa.array(range(len(genre))),
            catalogue=catalogue,
            tags=None,
            weights=weights.astype(np.float32) if name == "weighed" else None,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "_check_pairs", lambda *_: None)  # else no store holds a pair twice
            write_store(table, folder / name)
    return folder / "weighed", folder / "repeated"


@pytest.mark.long
@pytest.mark.parametrize("kind", OPTIONS)
def test_a_weight_of_two_is_the_rating_twice(kind, pair, client):
    weighed, repeated = (fit(path, options(kind), client) for path in pair)
    last_digits = 2e-3 if kind == "bayes" else 2e-5  # a posterior is kept in half precision
    for rows in ("user_rows", "item_rows"):
        np.testing.assert_allclose(getattr(weighed, rows), getattr(repeated, rows), rtol=0, atol=last_digits)
    assert weighed.mean == pytest.approx(repeated.mean, rel=1e-6 if kind == "bayes" else 1e-12)
    for name in ("objective", "train_rmse"):
        both = [model.report["history"][-1][name] for model in (weighed, repeated)]
        if both[0] is None:  # of ials, which predicts no rating
            assert kind == "ials"
            assert name == "train_rmse"
        else:
            assert both[0] == pytest.approx(both[1], rel=1e-5)
    if kind not in ("ials", "bayes"):  # whose figure is that of its saved samples, each rating once
        assert weighed.report["train_rmse"] == pytest.approx(repeated.report["train_rmse"], rel=1e-5)


@pytest.mark.long
def test_weights_of_one_change_no_bit_and_are_noted(client, caplog):
    frame, _ = planted()
    plain = fit(frame, options("als"), client)
    with caplog.at_level(logging.WARNING):
        weighed = fit(frame.assign(weight=1), options("als"), client, columns=COLUMNS)
    assert "all weights are 1: each rating counts once" in caplog.text
    assert weighed.report["factors_sha256"] == plain.report["factors_sha256"]
    assert weighed.report["data"]["content_hash"] == plain.report["data"]["content_hash"]


@pytest.mark.parametrize("weight", [0, -1.5, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused_where_it_stands(weight, client):
    frame, _ = planted()
    weights = [1, 2, weight, *[1] * (len(frame) - 3)]
    with pytest.raises(DataError, match=r"row 3, column 'weight'.*expected a finite number above 0"):
        fit(frame.assign(weight=weights), options("als"), client, columns=COLUMNS)


@pytest.mark.long
def test_a_half_life_is_the_weight_it_gives(client):
    """Ratings of today, of one half-life before, and of two."""
    frame, _ = planted()
    age = np.arange(len(frame)) % 3
    aged = frame.assign(timestamp=1_000 * DAY - 30 * DAY * age)
    model = fit(aged, options("als", half_life=30), client)
    weighed = fit(frame.assign(weight=0.5**age), options("als"), client, columns=COLUMNS)
    assert model.report["factors_sha256"] == weighed.report["factors_sha256"]
    assert model.report["factors_sha256"] != fit(aged, options("als"), client).report["factors_sha256"]
    with pytest.raises(DataError, match="half_life=30: the ratings have no timestamps"):
        fit(frame, options("als", half_life=30), client)


def test_what_takes_no_weights_says_so(client):
    with pytest.raises(ConfigError, match="solver coordinate takes ratings that count once each"):
        options("als", solver="coordinate", half_life=30)
    frame, _ = planted()
    config = options("als", solver="coordinate", epochs=1)
    with pytest.raises(ConfigError, match="solver coordinate takes ratings that count once each"):
        fit(frame.assign(weight=2.0), config, client, columns=COLUMNS)


def test_reasons_of_a_weighed_model_add_up(client, tmp_path):
    """A person's own ratings explain the row that they gave, from the model's folder as well."""
    frame, _ = planted()
    weights = np.random.default_rng(2).uniform(0.2, 3.0, len(frame)).astype(np.float32)
    fit(frame.assign(weight=weights), options("als"), client, columns=COLUMNS).save(tmp_path / "m")
    model = Model.load(tmp_path / "m")
    for item in (0, 7):
        reasons = model.explain(9, item)
        assert reasons.rating == pytest.approx(float(model.predict([9], [item]).rating[0]), abs=1e-4)
        told = reasons.ratings["contribution"].to_numpy().sum() + reasons.prior_taste + reasons.prior_bias
        assert reasons.baseline + told == pytest.approx(reasons.rating)


@pytest.mark.long
def test_later_versions_of_a_store_keep_weights(tmp_path):
    weights = np.linspace(0.5, 2.0, 30, dtype=np.float32)
    first = make_table(n_ratings=30, tags=None, weights=weights)
    store = write_store(first, tmp_path / "store")
    assert store.manifest.to_attributes()["has_weights"]
    assert append(tmp_path / "store", make_table(n_ratings=30, tags=None)).lineage == {}  # known already
    doubled = make_table(n_ratings=30, tags=None, weights=2 * weights)
    again = append(tmp_path / "store", doubled)
    assert again.lineage["changed"] == 30
    np.testing.assert_array_equal(
        again.read_column("item", "weights", 0, 30), 2 * store.read_column("item", "weights", 0, 30)
    )
    fewer = forget_users(tmp_path / "store", first.user_ids[:1])
    assert fewer.has_weights
    assert len(fewer.read_column("item", "weights", 0, fewer.n_ratings)) == fewer.n_ratings
    plain = write_store(make_table(), tmp_path / "plain")
    assert "has_weights" not in plain.manifest.to_attributes()
    assert not open_store(tmp_path / "plain").has_weights


def test_weights_of_a_file__come_with_their_ratings(tmp_path):
    """Of a pair rated twice the later rating holds, with its own weight; bad rows can be left out."""
    path = tmp_path / "ratings.csv"
    path.write_text(
        "who,what,stars,when,count\n1,10,4,100,2.5\n1,11,3,100,1\n2,10,5,100,0.5\n1,10,2,200,3\n2,11,1,1,0\n"
    )
    columns = {"user": "who", "item": "what", "rating": "stars", "timestamp": "when", "weight": "count"}
    with pytest.raises(
        DataError, match=r"row 5, column 'count'.*weight is not above 0.*expected a finite number above 0"
    ):
        read_ratings(path, Reading(columns=columns))
    table = read_ratings(path, Reading(columns=columns, invalid="drop"))
    assert table.values.tolist() == [3, 5, 2]
    assert table.weights.tolist() == [1, 0.5, 3]
    assert table.dropped == {"weight is not above 0": 1}
