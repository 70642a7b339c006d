"""Folders as their writers mean them: what is data in them, and what their names say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskals.errors import DataError
from daskals.ratings.source import ratings_files, read_ratings
from daskals.retrain.new_ratings import incoming_files

GOOD = pd.DataFrame({"user": [1, 2, 1], "item": [10, 20, 20], "rating": [1.0, 2.0, 3.0]})
NO_DATA = ("_temporary/0/part-1", ".ipynb_checkpoints/a-checkpoint", "_SUCCESS-1", ".part-0", "a/.hidden/b",
           "a/_tmp/b", "_committed")  # fmt: skip


@pytest.mark.parametrize("name", NO_DATA)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_begins_with_a_mark_is_no_data(tmp_path, name, suffix):
    folder = tmp_path / ".cache" / "_data"  # what the folder itself is called says nothing
    good = folder / "a" / f"ratings-1.{suffix}"
    bad = folder / f"{name}.{suffix}"
    for path in (good, bad):
        path.parent.mkdir(parents=True, exist_ok=True)
        GOOD.to_parquet(path) if suffix == "parquet" else GOOD.to_csv(path, index=False)
    assert incoming_files(folder) == [good]
    if suffix == "parquet":
        assert ratings_files(folder) == [good]
        assert read_ratings(folder).n_ratings == 3


@pytest.mark.parametrize("inside", ["", "lake/ratings"])
@pytest.mark.parametrize(
    ("kind", "mark"), [("Delta", "_delta_log/0.json"), ("Iceberg", "metadata/v1.metadata.json")]
)
def test_a_table_with_a_log__is_refused_by_name(tmp_path, inside, kind, mark):
    folder = tmp_path / inside
    (folder / mark).parent.mkdir(parents=True)
    (folder / mark).write_text("{}")
    GOOD.to_parquet(folder / "ratings.parquet")
    GOOD.to_csv(folder / "ratings.csv")
    for find in (ratings_files, incoming_files) if inside else (ratings_files,):
        with pytest.raises(DataError, match=f"{folder}: a {kind} table, in whose folder"):
            find(tmp_path)


def test_partition_columns__are_columns(tmp_path):
    for user, name in ((1, "userId=1"), (2, "userId=2")):
        part = tmp_path / "year=2015" / name
        part.mkdir(parents=True)
        pq.write_table(pa.table({"item": [10, 20], "rating": [1.0 * user, 3.0]}), part / "0.parquet")
    table = read_ratings(tmp_path)
    assert table.user_ids.to_pylist() == [1, 2]
    assert table.values.tolist() == [1, 3, 2, 3]
    table = read_ratings(tmp_path, columns={"user": "item", "item": "userId", "rating": "rating"})
    assert table.item_ids.to_pylist() == [1, 2]


def test_partition_columns__may_be_text_or_nothing(tmp_path):
    for name in ("shop=a%2Fb", "shop=c", "shop=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / name).mkdir()
        GOOD.drop(columns="item").assign(user=[1, 2, 3]).to_parquet(tmp_path / name / "0.parquet")
    columns = {"user": "user", "item": "shop", "rating": "rating"}
    with pytest.raises(DataError, match="row 1, column 'shop': item id is empty"):
        read_ratings(tmp_path, columns=columns)
    table = read_ratings(tmp_path, columns=columns, invalid="drop")
    assert table.item_ids.to_pylist() == ["a/b", "c"]


def test_a_file_named_itself__has_no_partitions(tmp_path):
    folder: Path = tmp_path / "user=7"
    folder.mkdir()
    GOOD.to_parquet(folder / "r.parquet")
    assert read_ratings(folder / "r.parquet").user_ids.to_pylist() == [1, 2]
