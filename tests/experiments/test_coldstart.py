"""Cold start: whole items held out of planted ratings, and the study's figures recomputed."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import numpy as np
import pandas as pd
import pytest

from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.experiments.cold_start import METHODS, cold_start_study
from daskals.ingest import open_ratings, resolve_store
from daskals.model.new_items import ItemTraits, anchor_mean, genre_weights, new_traits
from jobs import coldstart
from tests.cases.movies import write_movies

CONFIG = TrainConfig.parse(
    {"model": "hierarchical", "rank": 3, "epochs": 6, "lambda": 1.0, "tau": 3.0, "gamma": 2.0}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_movies(tmp_path_factory.mktemp("movies") / "ml-planted")


@pytest.mark.long
def test_study__knows_more_than_nothing_where_genres_tell(folder, client):
    figures = cold_start_study(resolve_store(folder), CONFIG, [1, 2], client=client)
    assert set(figures["mean"]) == set(METHODS)
    assert figures["best"] in ("genres", "anchors")
    assert figures["mean"]["genres"] < figures["mean"]["bias"]
    assert figures["mean"]["anchors"] < figures["mean"]["bias"]
    for run in figures["seeds"]:
        assert run["n_items"] == 23  # a fifth of the 117 rated ones
        assert 0 < run["n_ratings"] < 160 * 60
    for method in METHODS:
        values = [run["rmse"][method] for run in figures["seeds"]]
        assert figures["mean"][method] == pytest.approx(np.mean(values))
        assert figures["deviation"][method] == pytest.approx(np.std(values, ddof=1))


def test_study__needs_genres(client):
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1.0, 2.0, 3.0]})
    with (
        open_ratings(frame, CONFIG) as store,
        pytest.raises(DataError, match="the ratings come without genres"),
    ):
        cold_start_study(store, CONFIG, [1], client=client)


def test_anchor_mean__averages_what_is_most_alike():
    traits = ItemTraits(np.array([[1.0, 0], [1, 0], [0, 1]]), np.array([1990.0, 1950, np.nan]), ["A", "B"])
    rows, counts = np.array([[1.0], [3.0], [9.0]]), np.array([5, 5, 5])
    new = new_traits(["A"], traits.names)
    np.testing.assert_allclose(anchor_mean(traits, rows, counts, new, None), [2.0])
    far = np.exp(-4.0)
    np.testing.assert_allclose(anchor_mean(traits, rows, counts, new, 1990), [(1 + 3 * far) / (1 + far)])
    by_year = anchor_mean(traits, rows, counts, np.zeros(2), 1990)
    np.testing.assert_allclose(by_year, [(1 + 3 * far + 9 * np.exp(-1)) / (1 + far + np.exp(-1))])
    np.testing.assert_allclose(anchor_mean(traits, rows, np.zeros(3), new, None), [0.0])


def test_genre_weights__finds_planted_weights():
    rng = np.random.default_rng(0)
    genres = np.eye(3)[rng.integers(0, 3, 3000)]
    weights = rng.normal(0, 1, (3, 2))
    traits = ItemTraits(genres, np.full(3000, np.nan), ["A", "B", "C"])
    found = genre_weights(traits, genres @ weights + rng.normal(0, 0.1, (3000, 2)), np.full(3000, 100))
    np.testing.assert_allclose(found, weights, atol=0.02)


@pytest.mark.long
def test_job__prints_and_saves(folder, tmp_path):
    arguments = ["--data", folder, "--seeds", 1, "--model", "hierarchical", "--rank", 3, "--epochs", 3]
    run = click.testing.CliRunner().invoke(
        coldstart.main, [str(part) for part in [*arguments, "--json", tmp_path / "c.json"]]
    )
    assert run.exit_code == 0, run.output
    assert "anchors" in run.output
    assert json.loads((tmp_path / "c.json").read_text())["share"] == 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data, --dataset: found neither; expected one of the two"),
        (["--dataset", "ml-100k", "--seeds", "0"], "found 0 seeds and a share of 0.2"),
        (["--dataset", "ml-100k", "--share", "1"], "a share of 1.0; expected a seed and a share below 1"),
    ],
)
def test_job__refuses_what_cannot_be_meant(arguments, message):
    run = click.testing.CliRunner().invoke(coldstart.main, arguments)
    assert run.exit_code == 1
    assert message in run.output
