"""Tables of every kind in memory: Arrow streams, dictionaries of every type, Dask, and what is refused."""

from __future__ import annotations

import logging
from decimal import Decimal

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
import scipy.sparse

from daskals.config import ReadConfig
from daskals.errors import DataError
from daskals.ingest import open_ratings
from daskals.ratings.frames import from_frame, from_sparse
from daskals.ratings.reading import Reading
from daskals.ratings.tables import Table

ROWS = {"user": [7, 7, 5, 9], "item": ["b", "a", "b", "c"], "rating": [4.0, 3.5, 0.5, 1.0]}


class Streaming:
    """What has nothing but an Arrow stream, as a Polars frame or a DuckDB relation."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class OneBatch:
    """What has nothing but an Arrow array."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__(requested_schema)


def decoded(table) -> list[tuple]:
    return list(
        zip(
            table.user_ids.take(pa.array(table.users)).to_pylist(),
            table.item_ids.take(pa.array(table.items)).to_pylist(),
            table.values.tolist(),
            strict=True,
        )
    )


FORMS = {
    "pandas": pd.DataFrame,
    "arrow": lambda rows: pa.table(rows),
    "batch": lambda rows: pa.RecordBatch.from_pydict(rows),
    "reader": lambda rows: pa.table(rows).to_reader(max_chunksize=2),
    "stream": lambda rows: Streaming(pa.table(rows)),
    "one batch": lambda rows: OneBatch(pa.RecordBatch.from_pydict(rows)),
    "dask": lambda rows: dd.from_pandas(pd.DataFrame(rows), npartitions=3),
    "dask with categories": lambda rows: dd.from_pandas(
        pd.DataFrame(rows).astype({"item": "category"}), npartitions=2
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_all_tables_give_the_same_ratings(form):
    wide = {"noise": [1j and "x"] * 4, **ROWS}
    assert decoded(from_frame(form(wide))) == list(zip(*ROWS.values(), strict=True))
    with open_ratings(form(wide), ReadConfig()) as store:
        assert store.n_ratings == 4
        assert store.item_ids.to_pylist() == ["b", "a", "c"]


def test_dask_frames_are_computed_by_partitions_and_of_the_columns_that_are_read(monkeypatch):
    frame = dd.from_pandas(pd.DataFrame({**ROWS, "noise": ["x"] * 4}), npartitions=4)
    computed = []
    compute = type(frame).compute

    def watched(self, *args, **kwargs):
        found = compute(self, *args, **kwargs)
        computed.append((len(found), list(found.columns)))
        return found

    monkeypatch.setattr(type(frame), "compute", watched)
    assert len(from_frame(frame).values) == 4
    assert computed == [(1, ["user", "item", "rating"])] * 4


@pytest.mark.parametrize("index", [pa.uint8(), pa.uint16(), pa.uint32(), pa.int8(), pa.int64()], ids=str)
@pytest.mark.parametrize("value", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_dictionaries_of_every_type_with_and_without_nulls(index, value):
    texts = pa.array(["5", "3", "4"], value)  # pyarrow before 25 crashes in streams of what it cast to views
    for places in ([0, 1, 0, 2], [0, 1, None, 2]):
        column = pa.DictionaryArray.from_arrays(pa.array(places, index), texts)
        for name in ("item", "rating"):
            table = from_frame(Streaming(pa.table({**ROWS, name: column})), Reading(invalid="drop"))
            assert table.n_ratings == 4 - places.count(None)
            found = [str(row[("user", "item", "rating").index(name)])[0] for row in decoded(table)]
            assert found == ["535"[place] if place < 2 else "4" for place in places if place is not None]


def test_ids_as_decimals_without_a_fraction_are_integers():
    ids = pa.array([Decimal(7), Decimal(2**62), Decimal(5), Decimal(-1)], pa.decimal128(38, 0))
    table = from_frame(pa.table({**ROWS, "user": ids}))
    assert table.user_ids.type == pa.int64()
    assert table.user_ids.to_pylist() == [7, 2**62, 5, -1]
    for wrong, message in (
        (pa.array([Decimal(10**30)] * 4, pa.decimal128(38, 0)), "ids of type decimal128.38, 0. that do not"),
        (pa.array([Decimal("7.50")] * 4, pa.decimal128(38, 2)), "ids of type decimal128.38, 2.; expected"),
    ):
        with pytest.raises(DataError, match=rf"frame, column 'user': {message}"):
            from_frame(pa.table({**ROWS, "user": wrong}))


def test_run_ends_and_extension_types_are_what_they_hold():
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int32()), pa.array(["x", "y"]))
    assert from_frame(pa.table({**ROWS, "item": ends}), Reading(duplicates="first")).item_ids.to_pylist() == [
        "x",
        "y",
    ]
    extended = pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "text", "test"), pa.array(ROWS["item"]))
    assert from_frame(pa.table({**ROWS, "item": extended})).item_ids.to_pylist() == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([1, 2], "frame: a list; expected a pandas, Polars or Dask frame"),
        (Streaming(pa.chunked_array([[1, 2]])), "frame: cannot be read as a table"),
        (pd.DataFrame({**ROWS, "rating": [1j] * 4}), "column 'rating': values of type complex128; expected"),
    ],
)
def test_what_is_no_table_is_refused(source, message):
    with pytest.raises(DataError, match=message):
        from_frame(source)


def test_a_stream_that_breaks_is_told():
    schema = pa.schema({name: pa.array(values).type for name, values in ROWS.items()})

    def broken():
        yield pa.RecordBatch.from_pydict(ROWS, schema)
        raise OSError("the connection is gone")

    with pytest.raises(DataError, match=r"cannot be read as a table .*the connection is gone"):
        from_frame(pa.RecordBatchReader.from_batches(schema, broken()))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (
            lambda: scipy.sparse.coo_array(np.ones((2, 2, 2))),
            "matrix: a matrix of 3 dimensions; expected two",
        ),
        (lambda: scipy.sparse.coo_array(np.ones(3)), "matrix: a matrix of 1 dimension; expected two: users"),
        (
            lambda: scipy.sparse.csr_array(np.eye(2) * 1j),
            "matrix: values of type complex128; expected real numbers",
        ),
    ],
)
def test_matrices_that_are_no_ratings_are_refused(matrix, message):
    try:
        made = matrix()
    except ValueError:
        pytest.skip("SciPy has matrices of one and of three dimensions since 1.13 and 1.15")
    with pytest.raises(DataError, match=message):
        from_sparse(made)


@pytest.mark.parametrize(
    "ratings",
    [
        pa.array([1, 2**24 + 1, 2**24 + 2, 3]),
        pa.array([1.0, 2.0**24 + 1, 2.0**24 + 2, 3]),
        pa.array(["1", str(2**24 + 1), str(2**24 + 2), "3"]),
        pa.array([1, 2**24 + 1, None, 3]).dictionary_encode(),
        pa.array(["1", f" {2**24 + 1}", "none", "3"]),
    ],
    ids=["integers", "floats", "texts", "dictionary", "texts that are none"],
)
def test_ratings_that_float32_changes_are_noted_once(ratings, caplog):
    with caplog.at_level(logging.WARNING):
        from_frame(pa.table({**ROWS, "rating": ratings}), Reading(invalid="drop"))
    assert [record.message for record in caplog.records] == [
        "frame, column 'rating': 1 ratings above 2^24 are rounded to 24 bits, the first from 16777217 to "
        "16777216; divide them by a number first if their differences matter"
    ]


def test_ratings_that_float32_keeps_are_not_noted(caplog):
    with caplog.at_level(logging.WARNING):
        from_frame(pa.table({**ROWS, "rating": [2.0**24, 2.0**30, 0.1, 3.0]}))
    assert not caplog.records


def test_table__reads_the_columns_of_some_names_only():
    table = Table(Streaming(pa.table(ROWS)))
    assert table.names == ["user", "item", "rating"]
    assert table.read({"stars": "rating"}).column_names == ["stars"]


def test_polars_and_duckdb_themselves():
    wanted = list(zip(*ROWS.values(), strict=True))
    frame = polars.DataFrame(ROWS)
    assert decoded(from_frame(frame)) == wanted
    assert decoded(from_frame(frame.with_columns(item=polars.col("item").cast(polars.Categorical)))) == wanted
    kinds = polars.Enum(["a", "b", "c"])
    assert decoded(from_frame(frame.with_columns(item=polars.col("item").cast(kinds)))) == wanted
    with pytest.raises(DataError, match="Collect what is lazy before"), open_ratings(object(), ReadConfig()):
        pass
    known = frame.to_arrow()  # noqa: F841 - DuckDB finds it by its name
    for item in ("item", "item::ENUM('a', 'b', 'c')"):
        relation = duckdb.sql(f'SELECT "user"::HUGEINT AS "user", {item} AS item, rating FROM known')
        assert decoded(from_frame(relation)) == wanted


@pytest.mark.parametrize("index", [["user", "item"], ["user"], ["timestamp"]])
def test_an_index_with_names__is_columns_too(index):
    frame = pd.DataFrame(
        {"user": [7, 7, 5], "item": ["a", "b", "a"], "rating": [4.0, 3, 5], "timestamp": [1, 2, 3]}
    )
    table = from_frame(frame.set_index(index))
    assert (table.user_ids.to_pylist(), table.item_ids.to_pylist()) == ([7, 5], ["a", "b"])
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [1, 2, 3]


def test_the_index_of_a_dask_frame__is_a_column_too():
    frame = pd.DataFrame({"user": [5, 7, 7], "item": ["a", "b", "a"], "rating": [4.0, 3, 5]})
    parted = dd.from_pandas(frame.set_index("user"), npartitions=2)
    assert from_frame(parted).user_ids.to_pylist() == [5, 7]


def test_periods_of_pandas__are_times():
    frame = pd.DataFrame({"user": [7, 7, 5], "item": ["a", "b", "a"], "rating": [4.0, 3, 5]})
    days = pd.PeriodIndex(["2015-03-01", "2015-03-02", "2015-03-03"], freq="D")
    table = from_frame(frame.assign(timestamp=days))
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [1_425_168_000 + 86_400 * day for day in range(3)]


def test_a_pivoted_frame__is_told_how_to_melt(caplog):
    frame = pd.DataFrame({"user": [7, 7, 5], "item": [1, 2, 1], "rating": [4.0, 3, 5]})
    wide = frame.pivot(index="user", columns="item", values="rating")
    wide = wide.reindex(columns=range(20))
    for table in (wide, wide.reset_index()):
        with pytest.raises(
            DataError, match=r"frame.melt\(id_vars='user', var_name='item', value_name='rating'\)"
        ):
            from_frame(table)
