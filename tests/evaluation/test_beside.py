"""Ratings beside a model are read as those that trained it, where nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import daskals
from daskals.config import ReadAsConfig, ReadConfig, TrainConfig
from daskals.errors import DataError
from daskals.evaluation.prediction_error import evaluate, open_beside
from daskals.ingest import resolve_store
from daskals.model.fitted import Model
from daskals.serving.predictions import read_pairs
from jobs.eda import main as eda
from jobs.ingest import main as ingest_command

TINY = {"rank": 2, "epochs": 2, "order": "rating", "split": "none"}


@pytest.fixture(scope="module")
def checkins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Check-ins without names: user, time, place; of each place twice."""
    path = tmp_path_factory.mktemp("checkins") / "all.txt"
    path.write_text("".join(f"{k % 5}\t2010-10-0{k % 9 + 1}\tp{k * 7 % 4}\n" for k in range(40)))
    return path


@pytest.fixture(scope="module")
def clicks_model(checkins: Path) -> Model:
    columns = {"user": "1", "item": "3", "timestamp": "2"}
    return daskals.fit(checkins, TrainConfig(model="ials", columns=columns, no_header=True, **TINY))


def test_clicks_beside_a_model_of_clicks__need_no_columns(checkins: Path, clicks_model: Model) -> None:
    with open_beside(clicks_model, checkins, ReadConfig()) as store:
        assert store.content_hash == clicks_model.report["data"]["content_hash"]
    usual = checkins.with_name("usual.csv")
    usual.write_text("user,item\n1,p1\n2,p2\n1,p1\n")
    with open_beside(clicks_model, usual, ReadConfig()) as store:
        assert (store.n_ratings, store.has_timestamps) == (2, False)
    updated = clicks_model.update(checkins)
    assert updated.report["config"]["model"] == "ials"
    pairs = checkins.with_name("pairs.csv")
    pairs.write_text("1,3\n4,p3\n")
    assert read_pairs(clicks_model, pairs, ReadConfig()).column_names == ["1", "3"]


def test_columns_that_are_named_or_found_nowhere__are_said_to_be_missing(
    checkins: Path, clicks_model: Model
) -> None:
    other = checkins.with_name("other.csv")
    other.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="the column for the user is missing"), open_beside(
        clicks_model, other, ReadConfig()
    ):  # fmt: skip
        pass
    named = ReadConfig(columns={"user": "x", "item": "y"})
    with pytest.raises(DataError, match="expected the column 'x' for the user"), open_beside(
        clicks_model, other, named
    ):  # fmt: skip
        pass


def test_a_model_of_ratings_takes_no_clicks(checkins: Path) -> None:
    frame = pd.DataFrame({"who": [1, 2, 1, 2], "what": [1, 1, 2, 2], "stars": [1.0, 2, 3, 4]})
    columns = {"user": "who", "item": "what", "rating": "stars"}
    model = daskals.fit(frame, TrainConfig(model="als", columns=columns, **TINY))
    path = checkins.with_name("stars.csv")
    frame.to_csv(path, index=False)
    assert evaluate(model, path, ReadConfig())["n_test"] in (0, 4)
    clicks = checkins.with_name("clicks.csv")
    clicks.write_text("user,item\n1,1\n2,2\n")
    with pytest.raises(DataError, match="the column for the rating is missing"):
        evaluate(model, clicks, ReadConfig())


def test_clicks_where_no_model_is_there(tmp_path: Path) -> None:
    """What a message says that `train` is given is understood by commands that only read."""
    path = tmp_path / "clicks.csv"
    path.write_text("user,item\n1,1\n2,2\n1,1\n")
    place = [str(path), str(tmp_path / "store")]
    refused = CliRunner().invoke(ingest_command, place)
    assert "--model ials --columns user=user,item=item; else" in refused.output
    for more in ([], ["--append"]):
        ran = CliRunner().invoke(ingest_command, [*place, "--model", "ials", *more])
        assert (ran.exit_code, "2 ratings of 2 users" in ran.output) == (0, True)
    with pytest.raises(DataError, match="the column for the rating is missing"):
        resolve_store(path)
    assert resolve_store(path, ReadAsConfig(model="ials")).n_ratings == 2


def test_what_was_shown__is_told_without_a_model_s_option_where_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "shown.csv"
    path.write_text("user,item,click\n1,1,1\n2,2,0\n")
    place = ["--data", str(path), "--out", str(tmp_path / "eda")]
    ran = CliRunner().invoke(eda, [*place, "--model", "ials"])
    told = "not clicked, read it with --columns user=user,item=item,rating=click --leave-out-ratings 0;"
    assert told in ran.output
    assert told.replace("read it with", "train with --model ials") in CliRunner().invoke(eda, place).output
