"""Files by the programs that people's files come from: each writes the same ratings, read as the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import scipy.io
import scipy.sparse

from daskals.ratings.source import read_ratings

FRAME = pd.DataFrame(
    {
        "userId": [7, 7, 5, 12],
        "movieId": [30, 10, 30, 20],
        "rating": [4.0, 3.5, 0.5, 5.0],
        "timestamp": pd.to_datetime([1_425_208_800, 1_000_000_000, 1_600_000_001, 946_684_800], unit="s"),
    }
)
SECONDS = [1_425_208_800, 1_000_000_000, 1_600_000_001, 946_684_800]
ROWS = list(zip(FRAME["userId"], FRAME["movieId"], FRAME["rating"], SECONDS, strict=True))

Writer = Callable[[Path], Path]


def pandas_csv(folder: Path) -> Path:
    FRAME.to_csv(folder / "r.csv", index=False)
    return folder / "r.csv"


def pandas_csv_with_index_and_gaps(folder: Path) -> Path:
    wider = pd.concat([FRAME, FRAME.iloc[:1].assign(movieId=np.nan)])  # which makes the ids floats
    wider.iloc[:-1].to_csv(folder / "r.csv.gz")
    return folder / "r.csv.gz"


def pandas_parquet(folder: Path) -> Path:
    FRAME.to_parquet(folder / "r.parquet")
    return folder / "r.parquet"


def polars_csv(folder: Path) -> Path:
    pl.from_pandas(FRAME).write_csv(folder / "r.tsv", separator="\t")
    return folder / "r.tsv"


def polars_parquet(folder: Path) -> Path:
    pl.from_pandas(FRAME).with_columns(pl.col("timestamp").cast(pl.Datetime("ns"))).write_parquet(
        folder / "r.pq"
    )
    return folder / "r.pq"


def polars_partitions(folder: Path) -> Path:
    frame = pl.from_pandas(FRAME).with_columns(pl.col("userId").cast(pl.Int64))
    ds.write_dataset(
        frame.to_arrow(),
        folder / "parts",
        format="parquet",
        partitioning=["userId"],
        partitioning_flavor="hive",
    )
    return folder / "parts"


def duckdb_copy(options: str, name: str) -> Writer:
    def write(folder: Path) -> Path:
        ratings = FRAME  # noqa: F841 - DuckDB finds it by its name
        duckdb.sql(f"COPY (SELECT * FROM ratings) TO '{folder / name}' ({options})")
        return folder / name

    return write


def arrow_csv_quoted(folder: Path) -> Path:
    options = arrow_csv.WriteOptions(quoting_style="all_valid", delimiter=";")
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    arrow_csv.write_csv(
        table.set_column(0, "userId", table["userId"].cast(pa.string())), folder / "r.txt", options
    )
    return folder / "r.txt"


def arrow_parquet_int96(folder: Path) -> Path:
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    pq.write_table(table, folder / "r.parquet", use_deprecated_int96_timestamps=True)
    return folder / "r.parquet"


def dask_parquet(folder: Path) -> Path:
    dd.from_pandas(FRAME, npartitions=2).to_parquet(folder / "parts", write_index=False)
    return folder / "parts"


WRITERS: dict[str, Writer] = {
    "pandas to_csv": pandas_csv,
    "pandas to_csv, gzip, index, float ids": pandas_csv_with_index_and_gaps,
    "pandas to_parquet": pandas_parquet,
    "Polars write_csv": polars_csv,
    "Polars write_parquet": polars_parquet,
    "Polars through Arrow, hive folders": polars_partitions,
    "DuckDB COPY csv": duckdb_copy("FORMAT csv, HEADER", "r.csv"),
    "DuckDB COPY csv, bars, zstd": duckdb_copy(
        "FORMAT csv, HEADER, DELIMITER '|', COMPRESSION zstd", "r.csv.zst"
    ),
    "DuckDB COPY parquet": duckdb_copy("FORMAT parquet", "r.parquet"),
    "DuckDB COPY parquet, folders": duckdb_copy("FORMAT parquet, PARTITION_BY (userId)", "parts"),
    "Arrow write_csv, all in quotes": arrow_csv_quoted,
    "Arrow write_table, INT96": arrow_parquet_int96,
    "Dask to_parquet": dask_parquet,
}


def read(path: Path) -> list[tuple[object, ...]]:
    table = read_ratings(path)
    assert table.timestamps is not None
    users, items = table.user_ids.to_pylist(), table.item_ids.to_pylist()
    return sorted(
        (users[user], items[item], float(value), int(time))
        for user, item, value, time in zip(
            table.users, table.items, table.values, table.timestamps, strict=True
        )
    )


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_program_writes__is_read_as_what_it_wrote(tmp_path, name):
    assert read(WRITERS[name](tmp_path)) == sorted(ROWS)


@pytest.mark.parametrize("kind", ["npz", "mtx"])
def test_what_scipy_writes__is_read_as_what_it_wrote(tmp_path, kind):
    matrix = scipy.sparse.coo_array((FRAME["rating"], (FRAME["userId"], FRAME["movieId"])))
    path = tmp_path / f"r.{kind}"
    if kind == "npz":
        scipy.sparse.save_npz(path, matrix.tocsr())
    else:
        scipy.io.mmwrite(path, matrix)
    table = read_ratings(path)
    first = int(kind == "mtx")
    users, items = table.user_ids.to_pylist(), table.item_ids.to_pylist()
    found = {
        (users[u], items[i], float(v)) for u, i, v in zip(table.users, table.items, table.values, strict=True)
    }
    assert found == {(user + first, item + first, rating) for user, item, rating, _ in ROWS}
