"""Observations without ratings: rows that count once each, or as their weight says, and add up."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import daskals
from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings

ROWS = "user,song,n\na,x,2\nb,x,1\na,x,3.5\na,y,1\nb,y,4\n"
COLUMNS = {"user": "user", "item": "song"}


@pytest.fixture(params=["csv", "parquet", "frame"])
def read(request, tmp_path):
    """Read text as each kind of input."""

    def reader(text: str, columns: dict[str, str], **options: str):
        path = tmp_path / "plays.csv"
        path.write_text(text)
        if request.param == "csv":
            return read_ratings(path, Reading(columns=columns, **options))
        frame = pd.read_csv(path)
        if request.param == "frame":
            return from_frame(frame, Reading(columns=columns, **options))
        pq.write_table(pa.Table.from_pandas(frame), tmp_path / "plays.parquet")
        return read_ratings(tmp_path / "plays.parquet", Reading(columns=columns, **options))

    return reader


def test_rows_count_once_and_add_up(read):
    table = read(ROWS, COLUMNS)
    assert table.values.tolist() == [1, 2, 1, 1]
    assert table.positions.tolist() == [1, 2, 3, 4]
    assert table.duplicates == 1


def test_weights_are_counts_and_add_up(read):
    table = read(ROWS, {**COLUMNS, "weight": "n"}, duplicates="mean")
    assert table.values.tolist() == [1, 5.5, 1, 4]
    assert table.values.dtype == np.float32


def test_repeated_pairs_can_still_be_an_error(read):
    with pytest.raises(DataError, match="user a rated item x 2 times"):
        read(ROWS, COLUMNS, duplicates="error")


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        ("-1", "weight is not above 0"),
        ("0", "weight is not above 0"),
        ("inf", "weight is not finite"),
        ("", "weight is empty"),
    ],
)
def test_a_weight_that_is_none_is_named_or_dropped(read, weight, reason):
    text = ROWS.replace("b,y,4", f"b,y,{weight}")
    columns = {**COLUMNS, "weight": "n"}
    with pytest.raises(DataError, match=rf"row 5, column 'n': {reason}.*a finite number above 0"):
        read(text, columns)
    table = read(text, columns, invalid="drop")
    assert table.dropped == {reason: 1}
    assert len(table.values) == 3


def test_weights_that_are_all_zero_leave_nothing(read):
    text = "user,song,n\na,x,0\nb,x,0\nb,y,0\n"
    with pytest.raises(DataError, match=r"weight is not above 0.*the first of 3 bad rows"):
        read(text, {**COLUMNS, "weight": "n"})


def test_a_text_is_no_weight(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_text(ROWS.replace("b,y,4", "b,y,often"))
    with pytest.raises(DataError, match="weight is no number: found 'often'"):
        read_ratings(path, Reading(columns={**COLUMNS, "weight": "n"}))


def test_a_weight_beside_a_rating_is_what_that_counts(read):
    both = ROWS.replace("n\n", "n,w\n", 1).replace("a,x,2\n", "a,x,2,9\n").replace("b,x,1\n", "b,x,1,0.5\n")
    both = both.replace("3.5\n", "3.5,2\n").replace("a,y,1\n", "a,y,1,1\n").replace("b,y,4\n", "b,y,4,1\n")
    table = read(both, {"user": "user", "item": "song", "rating": "n", "weight": "w"})
    assert table.values.tolist() == [1, 3.5, 1, 4]  # the last of a pair holds, with its own weight
    assert table.weights.tolist() == [0.5, 2, 1, 1]
    with pytest.raises(ConfigError, match="one column named for two things"):
        read(ROWS, {"user": "user", "item": "song", "rating": "n", "weight": "n"})


def test_a_named_column_that_is_missing_is_named(read):
    with pytest.raises(DataError, match="the column for the weight is missing"):
        read(ROWS, {**COLUMNS, "weight": "plays"})


@pytest.mark.parametrize("model", ["auto", "als", "bayes"])
def test_models_of_ratings_want_ratings(model):
    with pytest.raises(
        ConfigError, match=r"columns: no column named for rating; name one, or add model=.ials."
    ):
        TrainConfig.parse({"columns": "user=u,item=i", "model": model})
    config = TrainConfig.parse({"columns": "user=u,item=i,weight=w", "model": "ials"})
    assert config.columns == {"user": "u", "item": "i", "weight": "w"}


@pytest.fixture(params=["csv", "json", "parquet", "frame"])
def read_unasked(request, tmp_path):
    """Read a frame as each kind of input, as a model of clicks does where no columns are named."""

    def reader(frame: pd.DataFrame):
        if request.param == "frame":
            return from_frame(frame, Reading(clicks=True))
        path = tmp_path / f"clicks.{request.param}"
        if request.param == "csv":
            frame.to_csv(path, index=False)
        elif request.param == "json":
            frame.to_json(path, orient="records", lines=True)
        else:
            pq.write_table(pa.Table.from_pandas(frame), path)
        return read_ratings(path, Reading(clicks=True))

    return reader


CLICKS = pd.DataFrame({"user_id": [1, 2, 1, 2], "item_id": [7, 7, 7, 8], "ts": [1.5e9, 1.6e9, 1.5e9, 1.6e9]})
OF_CLICKS = {"user": "user_id", "item": "item_id"}
CLICKS["ts"] = CLICKS["ts"].astype(int)


def test_clicks_need_no_columns_for_a_model_of_clicks(read_unasked):
    table = read_unasked(CLICKS)
    assert (table.values.tolist(), table.adds_up) == ([1, 2, 1], True)
    assert table.timestamps.tolist() == [1_600_000_000, 1_500_000_000, 1_600_000_000]


def test_ratings_are_read_where_there_are_some(read_unasked):
    table = read_unasked(CLICKS.assign(rating=[3, 4, 3, 5]))
    assert (table.values.tolist(), table.adds_up) == ([4, 3, 5], False)


def test_what_was_shown_is_no_click(read_unasked):
    with pytest.raises(DataError, match="If 'clicked' is 0 where something was shown and not clicked"):
        read_unasked(CLICKS.assign(clicked=[0, 1, 1, 0]))


def test_counts_that_nobody_named__are_said(read_unasked, caplog):
    assert read_unasked(CLICKS.assign(plays=[3, 4, 3, 5])).values.tolist() == [1, 2, 1]
    assert "column 'plays' is not read: each row counts once. Where it says how often, name it" in caplog.text


def test_columns_that_are_named_need_their_rating(tmp_path):
    CLICKS.to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(DataError, match="the column for the rating is missing"):
        read_ratings(
            tmp_path / "c.csv",
            Reading(clicks=True, columns={"user": "user_id", "item": "item_id", "rating": "x"}),
        )


def test_a_model_of_clicks_trains_on_them(tmp_path):
    many = pd.DataFrame({"user": np.arange(60) % 10, "item": np.arange(60) % 7})
    many.to_csv(tmp_path / "c.csv", index=False)
    config = TrainConfig(model="ials", rank=2, epochs=1, order="rating")
    of_file, of_frame = (daskals.fit(source, config) for source in (tmp_path / "c.csv", many))
    np.testing.assert_array_equal(of_file.predict([1], [1]).rating, of_frame.predict([1], [1]).rating)
    assert of_frame.update(pd.DataFrame({"user": [1], "item": [5]})).report["updates"][-1]["ratings"] == 1
    with pytest.raises(DataError, match='train with model="ials"'):
        daskals.fit(many, TrainConfig(rank=2, epochs=1))


@pytest.mark.parametrize("write", [str, str.title])
def test_true_and_false__are_ratings_of_1_and_0(read, write):
    text = f"user,song,liked\na,x,{write('true')}\nb,x,{write('false')}\nb,y,{write('true')}\n"
    table = read(text, {**COLUMNS, "rating": "liked"})
    assert table.values.tolist() == [1, 0, 1]


def test_true_and_false_in_records(tmp_path):
    lines = [{"user": k % 2, "item": k, "liked": k > 1} for k in range(4)]
    (tmp_path / "r.json").write_text("\n".join(json.dumps(line) for line in lines))
    table = read_ratings(
        tmp_path / "r.json", Reading(columns={"user": "user", "item": "item", "rating": "liked"})
    )
    assert table.values.tolist() == [0, 0, 1, 1]


def test_a_word_among_truths__is_no_rating(tmp_path):
    (tmp_path / "r.csv").write_text("user,item,rating\n1,2,true\n2,2,maybe\n")
    with pytest.raises(DataError, match="rating is no number: found 'true'"):
        read_ratings(tmp_path / "r.csv")
