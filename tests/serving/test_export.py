"""Exports: every figure recomputed by hand on a small model, dense blocks, drift, and bad requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click.testing
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.serving import export
from daskals.serving.export import Block, drift, export_model
from jobs import export as job
from tests.cases.movies import write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")

CONFIG = TrainConfig.parse(
    {"model": "als", "rank": 8, "epochs": 12, "lambda": 1.0, "tau": 2.0, "gamma": 2.0, "split": "none"}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("movies")
    fit(write_movies(path / "ml-planted"), CONFIG).save(path / "model")
    fit(path / "ml-planted", CONFIG.model_copy(update={"seed": 5, "epochs": 6})).save(path / "before")
    return path


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder / "model")


def run(*arguments: object) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(job.main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_job__writes_figures_that_hold(folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "RATINGS_AT_ONCE", 500)
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 50)
    result = run(folder / "model", "--out", tmp_path / "e", "--previous", folder / "before")
    assert result.exit_code == 0, result.output
    assert "users.parquet: 160 lines" in result.output
    ratings = pd.read_csv(folder / "ml-planted" / "ratings.csv")
    ratings["error"] = (
        ratings["rating"] - model.predict(ratings["userId"].tolist(), ratings["movieId"].tolist()).rating
    )
    for side, key in (("user", "userId"), ("item", "movieId")):
        table = pq.read_table(tmp_path / "e" / f"{side}s.parquet").to_pandas().set_index(side)
        grouped = ratings.groupby(key)
        rated = table[table["activity"] > 0]
        assert grouped.size().to_dict() == rated["activity"].to_dict()
        np.testing.assert_allclose(rated["mean_rating"], grouped["rating"].mean().loc[rated.index], rtol=1e-6)
        residual = np.sqrt(grouped["error"].apply(lambda errors: np.mean(errors**2))).loc[rated.index]
        np.testing.assert_allclose(rated["residual"], residual, rtol=1e-5)
        factors = np.stack(table["factors"])
        np.testing.assert_allclose(table["norm"], np.linalg.norm(factors, axis=1), rtol=1e-5)
        units = factors / np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-12)
        cosines = units @ units.T
        np.fill_diagonal(cosines, -2)
        np.testing.assert_allclose(
            table["density"], np.sort(cosines, axis=1)[:, -10:].mean(axis=1), atol=1e-5
        )
        assert (table["drift"] > 0).all()
    unrated = pq.read_table(tmp_path / "e" / "items.parquet").to_pandas().tail(3)
    assert unrated["mean_rating"].isna().all()
    users = pq.read_table(tmp_path / "e" / "users.parquet").to_pandas()
    mainstays = model.item_ids.take(np.argsort(-model.item_counts, kind="stable")[:50]).to_pylist()
    expected = model.predict([9] * 50, mainstays).rating.mean()
    np.testing.assert_allclose(users.set_index("user").loc[9, "mainstays"], expected, rtol=1e-5)
    genres = pq.read_table(tmp_path / "e" / "genres.parquet").to_pandas()
    assert "Horror" in set(genres["genre"])
    assert len(genres["factors"][0]) == 8


def test_job__writes_blocks_of_the_dense_matrix(folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PAIRS_AT_ONCE", 100)
    result = run(
        folder / "model", "--out", tmp_path / "e", "--block-users", "7,3,160", "--block-items", "top:30"
    )
    assert result.exit_code == 0, result.output
    table = pq.read_table(tmp_path / "e" / "predictions.parquet").to_pandas()
    assert len(table) == 90
    np.testing.assert_allclose(
        table["prediction"], model.predict(table["user"].tolist(), table["item"].tolist()).rating
    )
    assert (
        run(
            folder / "model", "--out", tmp_path / "a", "--block-users", "all", "--block-items", "all"
        ).exit_code
        == 0
    )
    assert len(pq.read_table(tmp_path / "a" / "predictions.parquet")) == 160 * 120


def test_drift__is_zero_against_itself_and_null_for_the_new(model):
    assert np.max(np.asarray(drift(model, model, "user"))) < 1e-6
    n = len(model.user_ids) - 3
    before = replace(
        model, user_rows=model.user_rows[:n], user_ids=model.user_ids[:n], user_counts=model.user_counts[:n]
    )
    assert drift(model, before, "user").null_count == 3
    strange = replace(model, user_ids=model.user_ids.cast("string"))
    with pytest.raises(
        DataError, match="the previous model has string and int64 ids; expected int64 and int64"
    ):
        drift(model, strange, "user")
    import pyarrow as pa

    others = replace(model, user_ids=pa.array(np.arange(10_000, 10_000 + len(model.user_ids))))
    with pytest.raises(DataError, match="shares no users or none of what they rate"):
        drift(model, others, "user")


def test_export__of_a_model_of_biases_alone(folder, tmp_path):
    bias = fit(folder / "ml-planted", CONFIG.model_copy(update={"model": "bias"}))
    written = export_model(bias, tmp_path / "e", block=Block(np.array([0]), np.array([0, 1])))
    assert written == {"users": 160, "items": 120, "genres": 16, "predictions": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--block-users", "1"],
            "block: found one of --block-users and --block-items; expected both, or none",
        ),
        (["--block-users", "1,4711", "--block-items", "all"], "--block-users: found 4711; expected user ids"),
        (["--block-users", "top:x", "--block-items", "all"], "--block-users: found 'top:x'; expected top:N"),
        (["--block-users", ",", "--block-items", "all"], "--block-users: found nothing"),
        (["--previous", "nowhere"], "nowhere: does not exist; expected a run's folder"),
        (["--out", "/proc/x/y"], "/proc/x/y: cannot be written"),
    ],
)
def test_job__answers_bad_requests_in_one_line(folder, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(folder / "model", *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert not list(tmp_path.iterdir())
