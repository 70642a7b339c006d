"""Ratings already in memory: pandas, Arrow, SciPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

from daskals.errors import DataError
from daskals.ratings.frames import from_frame, from_sparse
from daskals.ratings.reading import Reading


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame({"user": [7, 7, 5], "item": [30, 10, 30], "rating": [4.0, 3.5, 0.5]} | columns)


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_frame(kind):
    made = frame(timestamp=pd.to_datetime([100, 101, 102], unit="s"))
    table = from_frame(pa.Table.from_pandas(made) if kind == "arrow" else made)
    assert table.users.tolist() == [0, 0, 1]
    assert table.items.tolist() == [0, 1, 0]
    assert table.values.tolist() == [4.0, 3.5, 0.5]
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [100, 101, 102]
    assert table.user_ids.to_pylist() == [7, 5]
    assert table.item_ids.to_pylist() == [30, 10]
    assert table.catalogue is None
    assert table.sources == []


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (np.array([2**53 + 1, 2**63 - 1, -5]), [2**53 + 1, 2**63 - 1, -5]),
        (np.array([3, 1, 2], dtype=np.uint64), [3, 1, 2]),
        (np.array([3, 1, 2], dtype=np.int8), [3, 1, 2]),
        (["007", "7", "x"], ["007", "7", "x"]),
        (["3", "1", "2"], [3, 1, 2]),
        ([29.0, 7.0, 2.0**52], [29, 7, 2**52]),
        (np.array([29, 7, 1], dtype=np.float32), [29, 7, 1]),
        (pd.Categorical(["b", "a", "b"], categories=["a", "b", "unused"]), ["b", "a"]),
        (pd.array([2, 1, 2], dtype="Int64"), [2, 1]),
        (pd.array(["b", "a", "b"], dtype="string"), ["b", "a"]),
    ],
)
def test_ids_are_exact(users, expected):
    table = from_frame(frame(user=users, item=[1, 2, 3]))
    assert table.user_ids.to_pylist() == expected
    assert table.user_ids.type in (pa.int64(), pa.string())
    assert table.user_ids.take(pa.array(table.users)).to_pylist() == [
        expected[expected.index(type(expected[0])(user))] for user in users
    ]


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.large_string()), pa.string()]
)
def test_arrow_texts_of_every_type(kind):
    users = pa.array(["b", "a", "b"]).cast(kind)
    table = from_frame(pa.table({"user": users, "item": [1, 2, 3], "rating": [1, 2, 3]}))
    assert table.user_ids.type == pa.string()
    assert table.user_ids.to_pylist() == ["b", "a"]
    assert table.users.tolist() == [0, 1, 0]


def test_chunks_do_not_show():
    parts = [frame(user=["x", "y", "x"], item=[1, 2, 3]), frame(user=["z", "y", "x"])]
    chunks = pa.concat_tables([pa.Table.from_pandas(part) for part in parts])
    whole = from_frame(chunks.combine_chunks())
    split = from_frame(chunks)
    assert split.users.tolist() == whole.users.tolist() == [0, 1, 0, 2, 1, 0]
    assert split.user_ids.to_pylist() == ["x", "y", "z"]


def test_ratings_as_string_views():
    ratings = pa.array(["4", "3.5", "0.5"], pa.string_view())
    table = from_frame(pa.table({"user": [1, 2, 3], "item": [1, 2, 3], "rating": ratings}))
    assert table.values.tolist() == [4.0, 3.5, 0.5]


def test_dictionary_encoded_ratings():
    table = from_frame(frame(rating=pd.Categorical(["4", "3.5", "4"])))
    assert table.values.tolist() == [4.0, 3.5, 4.0]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([100.9, 101, 102]),
        pa.array([100, 101, 102], pa.uint64()),
        pa.array([100, 101, 102]).cast(pa.decimal128(21, 2)),
        pa.array(["100.5", "101", " 102.0 "]),
        pa.array([100_900_000, 101_000_000, 102_000_000], pa.timestamp("us", tz="Asia/Tokyo")),
        pa.array([100, 101, 102], pa.int16()),
    ],
)
def test_timestamps_of_every_type(times):
    table = from_frame(pa.Table.from_pandas(frame()).append_column("timestamp", times))
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [100, 101, 102]
    assert table.timestamps.dtype == np.int64


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize(
    "date", ["2020-01-02", "Thu Jan 02 00:00:00 +0000 2020", "January 2, 2020", "2.1.2020"]
)
def test_dates_in_texts_of_every_type(kind, date):
    """Texts of pandas 3 are large."""
    times = pa.array([date] * 3, pa.string()).cast(kind)
    table = from_frame(pa.Table.from_pandas(frame()).append_column("date", times))
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [1_577_923_200] * 3


@pytest.mark.parametrize("name", ["column_", "column", "f"])
def test_names_that_libraries_give_columns_without_any(name):
    """Polars, DuckDB and Arrow."""
    unnamed = pa.table({f"{name}{place}": [1, 2] for place in range(4)})
    told = f'perhaps columns={{"user": "{name}0", "item": "{name}1", "rating": "{name}2"}}.'
    with pytest.raises(DataError) as caught:
        from_frame(unnamed)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (pa.array([1.0, float("nan"), 2.0]), "'nan'"),
        (pa.array([1.0, 1e30, 2.0]), "'1e+30'"),
        (pa.array([1, 2**63, 2], pa.uint64()), f"'{2**63}'"),
        (pa.array(["1", "inf", "2"]), "'inf'"),
    ],
)
def test_timestamps_that_are_no_time(times, found):
    made = pa.Table.from_pandas(frame(item=[1, 2, 3])).append_column("timestamp", times)
    with pytest.raises(
        DataError, match=r"frame, row 2, column 'timestamp': timestamp is no time: found "
    ) as caught:
        from_frame(made)
    assert found in str(caught.value)
    assert from_frame(made, Reading(invalid="drop")).dropped == {"timestamp is no time": 1}


def test_decimal_ratings():
    ratings = pa.array([4, 3, 2]).cast(pa.decimal128(21, 1))
    assert from_frame(
        pa.table({"user": [1, 2, 3], "item": [1, 2, 3], "rating": ratings})
    ).values.tolist() == [4, 3, 2]


def test_columns_are_named():
    table = from_frame(
        frame().rename(columns={"rating": "stars"}),
        Reading(columns={"user": "user", "item": "item", "rating": "stars"}),
    )
    assert table.values.tolist() == [4.0, 3.5, 0.5]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (
            {"user": [7.0, np.nan, 5.5]},
            "frame, column 'user': ids of type double; expected 64-bit integers or strings",
        ),
        (
            {"user": [7.0, np.nan, 5.0]},
            "frame, row 2, column 'user': user id is empty: found nothing; expected",
        ),
        ({"user": [7, "x", 5]}, "frame, column 'user': values of mixed types"),
        ({"user": ["a", None, "b"]}, "frame, row 2, column 'user': user id is empty"),
        (
            {"user": [None, None, None]},
            "frame, row 1, column 'user': user id is empty: found nothing (the first of 3",
        ),
        ({"item": pd.array([1, None, 2], dtype="Int64")}, "frame, row 2, column 'item': item id is empty"),
        ({"rating": [1.0, np.nan, 2.0]}, "frame, row 2, column 'rating': rating is empty"),
        ({"rating": [1.0, 2.0, np.inf]}, "frame, row 3, column 'rating': rating is not finite: found 'inf'"),
        ({"rating": ["1", "2", "x"]}, "frame, row 3, column 'rating': rating is no number: found 'x'"),
        ({"timestamp": pd.to_datetime([1, None, 2])}, "frame, row 2, column 'timestamp': timestamp is empty"),
        ({"user": [1, 1, 1]}, "frame: ratings of 1 user; expected at least two users"),
    ],
)
def test_faults(columns, found):
    with pytest.raises(DataError) as caught:
        from_frame(frame(**columns))
    assert str(caught.value).startswith(found)


def test_faults_are_dropped_and_counted():
    table = from_frame(frame(rating=[1.0, None, 2.0], item=["a", "b", "c"]), Reading(invalid="drop"))
    assert table.dropped == {"rating is empty": 1}
    assert table.item_ids.to_pylist() == ["a", "c"]
    assert table.n_input == 3


def test_missing_column_and_empty_frame():
    with pytest.raises(
        DataError, match="frame: the column for the rating is missing; columns found: 'user', 'item'"
    ):
        from_frame(frame()[["user", "item"]])
    with pytest.raises(
        DataError, match="frame: no ratings; expected at least one row of user, item and rating"
    ):
        from_frame(frame().iloc[:0])
    with pytest.raises(DataError, match="frame: no ratings"):
        from_frame(pd.DataFrame({"user": [], "item": [], "rating": []}, dtype=np.float64))
    with pytest.raises(DataError, match="frame: no ratings"):
        from_frame(
            pa.Table.from_batches(
                [], pa.schema({"user": pa.int64(), "item": pa.string(), "rating": pa.float32()})
            )
        )


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil", "dok"])
@pytest.mark.parametrize("form", ["array", "matrix"])
def test_sparse(layout, form):
    dense = np.zeros((4, 5), dtype=np.float64)
    dense[3, 1], dense[0, 4], dense[0, 1] = 2.5, 4.0, 1.0
    matrix = getattr(scipy.sparse, f"{layout}_{form}")(dense)
    table = from_sparse(matrix)
    triples = zip(
        table.user_ids.take(pa.array(table.users)).to_pylist(),
        table.item_ids.take(pa.array(table.items)).to_pylist(),
        table.values.tolist(),
        strict=True,
    )
    assert sorted(triples) == [(0, 1, 1.0), (0, 4, 4.0), (3, 1, 2.5)]
    assert table.timestamps is None


def test_sparse__stored_zeros_are_ratings_and_duplicates_are_settled():
    entries = ([0.0, 3.0, 5.0], ([0, 1, 1], [0, 1, 1]))
    table = from_sparse(scipy.sparse.coo_array(entries, shape=(2, 2)))
    assert table.values.tolist() == [0.0, 5.0]
    assert table.duplicates == 1


def test_sparse__faults():
    with pytest.raises(DataError, match="matrix: a ndarray; expected a sparse matrix of users by items"):
        from_sparse(np.eye(3))
    matrix = scipy.sparse.coo_array(([1.0, np.nan], ([0, 1], [0, 1])), shape=(2, 2))
    with pytest.raises(DataError, match="row 2, column 'rating': rating is not finite: found 'nan'"):
        from_sparse(matrix)
    assert (
        from_sparse(scipy.sparse.csr_array(np.diag([1.0, np.nan, 2.0])), Reading(invalid="drop")).n_ratings
        == 2
    )
