"""Values that are no rating: rows that are left out where that is asked for, from whatever is read."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import daskals
from daskals import TrainConfig
from daskals.config import ReadConfig
from daskals.errors import ConfigError, DataError
from daskals.ingest import ingest, open_ratings
from daskals.retrain.config import RetrainConfig
from daskals.retrain.new_ratings import read_incoming

FRAME = pd.DataFrame(
    {"user": [1, 1, 2, 2, 3, 3], "item": [1, 2, 1, 3, 2, 2], "rating": [-1, 7, 8, 99, 10, -1]}
)
LEFT = ReadConfig.parse({"leave_out_ratings": "-1,99"})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "frame", "matrix"])
def test_rows_of_a_value_that_is_none_are_left_out_and_counted(tmp_path, kind):
    """A -1 that comes later than a 10 does not take its place."""
    path = tmp_path / f"r.{kind}"
    if kind == "csv":
        FRAME.to_csv(path, index=False)
    elif kind == "jsonl":
        FRAME.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        FRAME.to_parquet(path)
    source = {"frame": FRAME, "matrix": matrix()}.get(kind, path)
    with open_ratings(source, LEFT) as store:
        assert store.scale.tolist() == [7, 8, 10]
        assert store.n_ratings == 3
        assert store.dropped == {"rating of -1 left out": 2, "rating of 99 left out": 1}


def matrix() -> scipy.sparse.coo_array:
    return scipy.sparse.coo_array((FRAME["rating"], (FRAME["user"], FRAME["item"])))


def test_a_value_that_nobody_gave_is_said(tmp_path, caplog):
    FRAME.to_csv(tmp_path / "r.csv", index=False)
    ingest(tmp_path / "r.csv", tmp_path / "store", ReadConfig(leave_out_ratings=(-1, 99, 55)))
    assert [one.getMessage() for one in caplog.records] == [
        f"{tmp_path / 'r.csv'}: no rating is 55: none was left out for it"
    ]


def test_a_night_leaves_them_out_too(tmp_path):
    FRAME.assign(timestamp=1_700_000_000).to_csv(tmp_path / "r.csv", index=False)
    asked = {"home": tmp_path / "home", "data": tmp_path / "r.csv", "as_of": "2024-01-01"}
    config = RetrainConfig.parse({**asked, "leave_out_ratings": "-1,99"})
    found = read_incoming(config, None)
    assert found is not None
    assert sorted(found.table.values.tolist()) == [7, 8, 10]


def test_what_was_shown_and_not_clicked_is_no_click(client):
    frame = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "rating": [1, 0, 1, 1]})
    options = {"model": "ials", "rank": 1, "epochs": 1, "split": "none"}
    with pytest.raises(DataError, match=r"leave_out_ratings=\(?0|--leave-out-ratings=0"):
        daskals.fit(frame, TrainConfig.parse(options), client)
    model = daskals.fit(frame, TrainConfig.parse({**options, "leave_out_ratings": "0"}), client)
    np.testing.assert_array_equal(model.item_counts, [2, 1])


def test_what_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="leave_out_ratings: found '-1;99'; expected numbers with commas"):
        ReadConfig.parse({"leave_out_ratings": "-1;99"})
    assert ReadConfig.parse({"leave_out_ratings": ""}).leave_out_ratings == ()
    assert ReadConfig.from_report(LEFT.as_report()) == LEFT


def test_rows_that_are_all_left_out(caplog):
    caplog.set_level(logging.ERROR)
    with (
        pytest.raises(DataError, match=r"ratings of 0 users \(2 rows were dropped\)"),
        open_ratings(FRAME[FRAME["rating"] == -1], LEFT),
    ):
        pass


CLICKS = "--model ials --columns user=user_id,item=news_id,timestamp=time"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            "user_id news_id time clicked",
            f"{CLICKS},rating=clicked --leave-out-ratings 0; else name",
        ),
        ("user_id news_id time", f"train with {CLICKS}; else name the rating"),
        ("listener artist plays", "with --model ials --columns user=listener,item=artist,weight=plays"),
        ("artist track plays", "with --model ials --columns user=…,item=…,weight=plays"),
        (
            "user episode seconds_listened",
            "--model ials --columns user=user,item=episode,weight=seconds_listened",
        ),
    ],
)
def test_what_somebody_with_clicks_is_told(tmp_path, names, told):
    columns = names.split()
    rows = pd.DataFrame([["a", "b", 1_573_000_000, 1][: len(columns)]] * 2, columns=columns)
    rows.to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(DataError) as error:
        ingest(tmp_path / "c.csv", tmp_path / "store")
    assert told in error.value.for_command()


def test_whoever_leaves_all_ratings_out_is_told_by_which_option():
    everything = ReadConfig.parse({"leave_out_ratings": "-1,7,8,10,99"})
    with (
        pytest.raises(DataError, match=r"ratings of 0 users \(6 rows were dropped\).*leave.out.ratings"),
        open_ratings(FRAME, everything),
    ):
        pass
