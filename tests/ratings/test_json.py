"""Records of JSON: any form, values as they are, and what is wrong by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskals.errors import DataError
from daskals.ratings.item_catalogue import read_items
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from tests.cases.four_ratings import NAMES, ROWS, assert_is_the_example

RECORDS: list[dict[str, Any]] = [
    dict(zip(NAMES, (int(user), int(item), float(rating), int(time)), strict=True))
    for user, item, rating, time in ROWS
]


def lines(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "content",
    [
        lines(RECORDS),
        lines(RECORDS).rstrip(),
        "\ufeff" + lines(RECORDS),
        lines(RECORDS).replace("\n", "\r\n\n"),
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        lines([{"text": "a, \"b\"\n", "votes": [0, {"x": 1}], **record} for record in RECORDS]),
        lines([dict(reversed(record.items())) for record in RECORDS]),
        lines([{**record, "userId": str(record["userId"])} for record in RECORDS]),
        lines([{**record, "rating": str(record["rating"])} for record in RECORDS]),
        # a rating without a point, then one with; a number, then a text
        lines([{**RECORDS[0], "rating": 4}, *RECORDS[1:3], {**RECORDS[3], "userId": "5"}]),
    ],
    ids=["lines", "no end", "mark", "crlf", "array", "indented", "more fields", "other order", "text ids",
         "text ratings", "mixed"],
)  # fmt: skip
def test_records_of_any_form(tmp_path, content):
    assert_is_the_example(read_ratings(write(tmp_path / "ratings.txt", content)))


def test_compressed_records_with_dates_and_text_ids(tmp_path):
    records = [
        {"reviewerID": "A0", "asin": f"B{k}", "overall": 5.0 - k, "ts": f"2018-07-07 22:09:1{k}"}
        for k in range(3)
    ]
    (tmp_path / "reviews_5.json.gz").write_bytes(
        gzip.compress(lines([*records, {**records[0], "reviewerID": "0"}]).encode())
    )
    table = read_ratings(tmp_path / "reviews_5.json.gz")
    assert table.user_ids.to_pylist() == ["A0", "0"]
    assert table.item_ids.to_pylist() == ["B0", "B1", "B2"]
    assert table.values.tolist() == [5.0, 4.0, 3.0, 5.0]
    assert np.diff(table.timestamps).tolist() == [1, 1, -2]


def test_a_type_that_changes_late(tmp_path):
    records = [{"user": k % 50, "item": k, "rating": 3} for k in range(1500)]
    table = read_ratings(
        write(tmp_path / "r.json", lines([*records, {"user": "0007", "item": 1, "rating": 4}]))
    )
    assert table.user_ids.to_pylist()[-1] == "0007"
    assert table.user_ids.to_pylist()[0] == "0"
    assert len(table.values) == 1501


@pytest.mark.parametrize("orient", ["records", "lines"])
def test_what_pandas_writes(tmp_path, orient):
    pd.DataFrame(RECORDS).to_json(tmp_path / "r.json", orient="records", lines=orient == "lines")
    assert_is_the_example(read_ratings(tmp_path / "r.json"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines(RECORDS) + '{"userId": 1, ', r"r.json, line 5: no JSON .*one JSON object a line"),
        ("[1, 2", r"r.json, line 1: only one column|r.json: "),
        ("[]", r"r.json: no records"),
        (json.dumps([RECORDS[0], 3]), r"r.json, record 2: '3'"),
        (lines([RECORDS[0], [1]]), r"r.json, line 2: '\[1\]'"),
        (lines([{**RECORDS[0], "movieId": {"a": 1}}]), r"line 1, field 'movieId': \{\"a\": 1\}; expected"),
        (lines([RECORDS[0], {**RECORDS[1], "rating": True}]), r"line 2, field 'rating': true; expected"),
        (lines([{"who": 1, "what": 2}]), r"column for the user is missing; columns found: 'who', 'what'"),
        (lines([*RECORDS, {"userId": 1, "movieId": 2}]), r"r.json, row 5, column 'rating': rating is empty"),
        (pd.DataFrame(RECORDS).to_json(), r"field 'userId': .*orient='records', lines=True"),
    ],
)  # fmt: skip
def test_what_is_no_record__is_named(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_ratings(write(tmp_path / "r.json", content))


def test_rows_to_drop(tmp_path):
    path = write(tmp_path / "r.json", lines([*RECORDS, {"userId": 1, "movieId": 2}]))
    table = read_ratings(path, Reading(invalid="drop"))
    assert_is_the_example(table)
    assert table.dropped == {"rating is empty": 1}


def test_a_catalogue_of_records(tmp_path):
    books = [
        {"book_id": 1, "title": "One", "genre": ["Poetry", "Prose"], "shelves": [{"count": 3}]},
        {"book_id": "2", "title": None, "genre": "Prose", "year": 1984},
    ]
    items = read_items(write(tmp_path / "books.json", lines(books)))
    assert items.ids.to_pylist() == ["1", "2"]
    assert items.items["title"].to_pylist() == ["One", None]
    assert items.items["genres"].to_pylist() == [["Poetry", "Prose"], ["Prose"]]
    assert items.items["year"].to_pylist() == [None, 1984]
    named = read_items(tmp_path / "books.json", {"item": "book_id", "genres": "title"})
    assert named.items["genres"].to_pylist() == [["One"], []]
    assert pa.types.is_string(named.ids.type)


# --- ratings under headings --------------------------------------------------------------------------------


HEADED = "30:\n7,4.0,1970-01-02\n5,0.5,1970-01-03\n10:\n7,3.5,1970-01-02\n20:\n5,5.0,1970-01-04\n"


@pytest.mark.parametrize("content", [HEADED, HEADED.rstrip(), HEADED.replace("\n", "\r\n"), HEADED + "9:\n"])
def test_ratings_under_headings(tmp_path, content):
    table = read_ratings(write(tmp_path / "combined.txt", content))
    users = table.user_ids.take(pa.array(table.users)).to_pylist()
    items = table.item_ids.take(pa.array(table.items)).to_pylist()
    assert list(zip(users, items, table.values.tolist(), strict=True)) == [
        (7, 30, 4.0), (5, 30, 0.5), (7, 10, 3.5), (5, 20, 5.0)
    ]  # fmt: skip
    assert (table.timestamps // 86_400).tolist() == [1, 2, 1, 3]


def test_headings_across_chunks(tmp_path, monkeypatch):
    path = write(tmp_path / "combined.txt", HEADED)
    whole = read_ratings(path)
    for size in range(1, 30):
        monkeypatch.setattr("daskals.ratings.headed._CHUNK_BYTES", max(size, 4))
        table = read_ratings(path)
        assert table.item_ids == whole.item_ids
        assert table.items.tolist() == whole.items.tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [("1:\n7,4\n5,x\n", r"row 2, column 'rating': rating is no number: found 'x'"),
     ("1:\n7,4\n5,3,2005-01-01\n", r"combined.txt: cannot be read \(.*Expected 2 columns, got 3"),
     ("1:\n7,4\n\n5,3\n", r"3 lines under headings, 2 of them ratings")],
)  # fmt: skip
def test_rows_under_headings_that_are_none(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_ratings(write(tmp_path / "combined.txt", content))


# --- parts of one text -------------------------------------------------------------------------------------


def test_parts_as_spark_writes_them(tmp_path):
    header = ",".join(NAMES) + "\n"
    for number, rows in enumerate((ROWS[:1], ROWS[1:])):
        write(tmp_path / f"part-{number:05}-c000.csv", header + "".join(",".join(row) + "\n" for row in rows))
    write(tmp_path / "part-00002-c000.csv", "")
    write(tmp_path / "_SUCCESS", "")
    write(tmp_path / ".part-00000-c000.csv.crc", "crc")
    assert_is_the_example(read_ratings(tmp_path))


def test_parts_of_json(tmp_path):
    write(tmp_path / "part-0.json", lines(RECORDS[:2]))
    write(
        tmp_path / "part-1.json",
        lines([{**record, "userId": str(record["userId"])} for record in RECORDS[2:]]),
    )
    assert_is_the_example(read_ratings(tmp_path))


def test_parts_beside_other_files__are_not_guessed_at(tmp_path):
    write(tmp_path / "part-0.json", lines(RECORDS))
    write(tmp_path / "books.json", lines(RECORDS))
    with pytest.raises(DataError, match=r"several files of ratings, books.json, part-0.json; expected one"):
        read_ratings(tmp_path)


def test_records_within_records__become_rows_as_told(tmp_path, monkeypatch):
    """As Otto's sessions hold their clicks."""
    clicks = [[{"item": k + j, "ts": 1659304800025 + j} for j in range(3)] for k in range(4)]
    sessions = [{"session": k, "events": events} for k, events in enumerate(clicks)]
    write(tmp_path / "r.jsonl", lines(sessions))
    with pytest.raises(DataError, match="'events' holds records of 'item', 'ts'") as caught:
        read_ratings(tmp_path / "r.jsonl", Reading(clicks=True))
    told = str(caught.value).split("`")[1]
    monkeypatch.chdir(tmp_path)
    exec(told, {"pandas": pd, "FILE": "r.jsonl", "NEW": "new.csv"})
    table = read_ratings(tmp_path / "new.csv", Reading(clicks=True))
    assert (table.n_users, table.n_ratings, table.timestamps is None) == (4, 12, False)
    write(
        tmp_path / "r.jsonl", lines([{"session": 1, "events": [1]}, {"session": 2, "events": [{"item": 3}]}])
    )
    with pytest.raises(DataError, match="the column for the item is missing") as plain:
        read_ratings(tmp_path / "r.jsonl")
    assert "holds records" not in str(plain.value)
