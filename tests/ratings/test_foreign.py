"""Files of other kinds: each is told by name, with a remedy that works."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest
import scipy.io

from daskals.errors import DataError
from daskals.ratings.item_catalogue import read_items
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from tests.cases.four_ratings import NAMES, ROWS, assert_is_the_example

VALUES = np.array([[float(field) for field in row] for row in ROWS])
FRAME = pd.DataFrame(VALUES, columns=NAMES).astype({"userId": int, "movieId": int, "timestamp": int})
CSV = FRAME.to_csv(index=False).encode()


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        inside = tarfile.TarInfo("ratings.csv")
        inside.size = len(CSV)
        archive.addfile(inside, io.BytesIO(CSV))
    return made.getvalue()


def streamed() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(FRAME)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write(table)
    return sink.getvalue().to_pybytes()


def made(write, *arguments) -> bytes:
    sink = io.BytesIO()
    write(sink, *arguments)
    return sink.getvalue()


CONTENTS = {
    "an Excel workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "a spreadsheet": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "arrays of NumPy, x.npy": made(lambda sink: np.savez(sink, x=VALUES)),
    "an array of NumPy": made(np.save, VALUES),
    "a MATLAB file": made(scipy.io.savemat, {"rating": VALUES}),
    "a stream of Arrow": streamed(),
    "an Avro file": made(lambda sink: pl.from_pandas(FRAME).write_avro(sink)),
    "a pickle": pickle.dumps(FRAME),
    "data of R": gzip.compress(b"X\n\0\0\0\3" + bytes(300)),
    "an archive": tarred(),
    "a text in UTF-16": CSV.decode().encode("utf-16"),
    "a web page": b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n",
    "an ARFF file": b"% of Weka\n@RELATION 'user item rating'\n@ATTRIBUTE user NUMERIC\n@DATA\n1,2,3\n",
    "records of several lines": b"product/productId: B001\nreview/userId: A3\nreview/score: 5.0\n\n" * 3,
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_of_another_kind__is_told_by_name(tmp_path, kind):
    path = tmp_path / "ratings.csv"
    path.write_bytes(CONTENTS[kind])
    for read in (read_ratings, read_items):
        with pytest.raises(DataError, match=rf"ratings\.csv: {kind}.*; expected a text, JSON or Parquet"):
            read(path)


@pytest.mark.parametrize(
    "start",
    ["ORCID", "ARROW1", "FEA1", "Obj", "1234567,DUCK", "X", "Rar!", "PK", "MATLAB", "<user>", "{x}"],
)
def test_names_that_begin_alike__are_names(tmp_path, start):
    path = tmp_path / "r.csv"
    path.write_text(f"{start},user,item,rating\n{','.join('a' for _ in start.split(','))},7,30,4\n")
    columns = {"user": "user", "item": "item", "rating": "rating"}
    if start == "{x}":
        with pytest.raises(DataError, match="no JSON"):
            read_ratings(path)
    else:
        assert read_ratings(path, Reading(columns=columns, least=1)).user_ids.to_pylist() == [7]


def remedy(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_ratings(path)
    return caught.value.remedy


def follow(path: Path, **names: object) -> None:
    """Run the Python of a remedy, and read what it wrote."""
    code = remedy(path).partition(": ")[2]
    target = path.with_name("new.parquet" if "PARQUET" in code else "new.csv")
    known = {"FILE": str(path), "PARQUET": str(target), "CSV": str(target), **names}
    modules = {"pandas": pd, "numpy": np, "scipy": scipy, "pyarrow": pa, "duckdb": duckdb, "polars": pl}
    eval(code, {**known, **modules})
    assert_is_the_example(read_ratings(target))


def test_remedies_of_tables__work(tmp_path):
    FRAME.to_feather(tmp_path / "r.feather")
    pa.orc.write_table(pa.Table.from_pandas(FRAME), tmp_path / "r.orc")
    (tmp_path / "r.arrows").write_bytes(CONTENTS["a stream of Arrow"])
    (tmp_path / "r.avro").write_bytes(CONTENTS["an Avro file"])
    (tmp_path / "r.pkl").write_bytes(CONTENTS["a pickle"])
    for name in ("r.feather", "r.orc", "r.arrows", "r.avro", "r.pkl"):
        follow(tmp_path / name)


def test_remedies_of_arrays__work(tmp_path):
    for name, kind in (("r.npy", "an array of NumPy"), ("r.npz", "arrays of NumPy, x.npy"),
                       ("r.mat", "a MATLAB file")):  # fmt: skip
        (tmp_path / name).write_bytes(CONTENTS[kind])
        follow(tmp_path / name, NAME="rating" if name == "r.mat" else "x")


def test_remedies_of_databases__work(tmp_path):
    with sqlite3.connect(tmp_path / "r.db") as database:
        FRAME.to_sql("TABLE1", database, index=False)
    database.close()
    assert "sqlite3.connect(FILE)).to_parquet(PARQUET)" in remedy(tmp_path / "r.db")
    with duckdb.connect(str(tmp_path / "r.duckdb")) as connection:
        connection.from_df(FRAME).create("ratings")
    follow(tmp_path / "r.duckdb", TABLE="ratings")


@pytest.mark.parametrize("assigned", [False, True])
def test_records_of_python__become_json_as_told(tmp_path, assigned):
    records = FRAME.to_dict("records")
    path = tmp_path / "r.json"
    path.write_text("".join(f"{record}\n" for record in records))
    if assigned:  # as LibraryThing's
        lines = [f"reviews[({place}, 'x')] = {record}\n" for place, record in enumerate(records)]
        path.write_text("".join(["reviews = {}\n", *lines]))
    told = re.search(r"`python -c \"(.*)\" < FILE > NEW`", remedy(path))
    assert told is not None
    with path.open() as stream:
        found = subprocess.run([sys.executable, "-c", told[1]], stdin=stream, capture_output=True, check=True)
    path.write_bytes(found.stdout)
    assert_is_the_example(read_ratings(path))


@pytest.mark.parametrize("orient", ["split", "columns", "index", "table", "wrapped"])
def test_json_of_one_object__is_told(tmp_path, orient):
    path = tmp_path / "r.json"
    if orient == "wrapped":
        path.write_text(json.dumps({"ratings": FRAME.to_dict("records")}))
    else:
        FRAME.to_json(path, orient=orient)
    assert "in pandas with to_json(FILE, orient='records', lines=True)" in remedy(path)
