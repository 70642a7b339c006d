"""Observations without ratings: rows that count once each, or as their weight says, and add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskals.config import TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.ratings.frames import from_frame
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
            return read_ratings(path, columns=columns, **options)
        frame = pd.read_csv(path)
        if request.param == "frame":
            return from_frame(frame, columns=columns, **options)
        pq.write_table(pa.Table.from_pandas(frame), tmp_path / "plays.parquet")
        return read_ratings(tmp_path / "plays.parquet", columns=columns, **options)

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
        read_ratings(path, columns={**COLUMNS, "weight": "n"})


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
