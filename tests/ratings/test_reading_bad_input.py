"""Input that cannot be used: what was found where, what was expected, the remedy; or dropped and counted."""

from __future__ import annotations

import contextlib
import gzip
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import daskals.ratings.delimited as delimited
from daskals.config import ReadConfig
from daskals.errors import ConfigError, DataError
from daskals.ratings.columns import check_columns
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_predefined, read_ratings
from daskals.ratings.table import RatingsTable

HEADER = "userId,movieId,rating,timestamp\n"
GOOD = "1,10,4.0,100\n2,20,3.5,101\n3,10,0.5,102\n"
DROP = 'Correct the row, or leave out all such rows with invalid="drop".'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def message(path: Path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_ratings(path, Reading(**options))
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.replace(str(path), "FILE").replace(str(path.parent), "FOLDER")


NUMBER = "a finite number"
ID = "an integer or a text"
TIME = "whole seconds since 1970 or a date like 2015-03-01 12:00:00"

BAD_ROWS = {
    "word": ("7,10,abc,5", "rating", "rating is no number", "'abc'", NUMBER),
    "nan": ("7,10,nan,5", "rating", "rating is not finite", "'nan'", NUMBER),
    "NaN": ("7,10,NaN,5", "rating", "rating is not finite", "'NaN'", NUMBER),
    "infinite": ("7,10,-inf,5", "rating", "rating is not finite", "'-inf'", NUMBER),
    "too large": ("7,10,1e39,5", "rating", "rating is not finite", "'1e39'", NUMBER),
    "no rating": ("7,10,,5", "rating", "rating is empty", "nothing", NUMBER),
    "blank rating": ("7,10, ,5", "rating", "rating is empty", "' '", NUMBER),
    "no user": (",10,3,5", "userId", "user id is empty", "nothing", ID),
    "quoted nothing": ('"",10,3,5', "userId", "user id is empty", "nothing", ID),
    "blank user": (" ,10,3,5", "userId", "user id is empty", "nothing", ID),
    "no item": ("7,,3,5", "movieId", "item id is empty", "nothing", ID),
    "no time": ("7,10,3,", "timestamp", "timestamp is empty", "nothing", TIME),
    "bad time": ("7,10,3,noon", "timestamp", "timestamp is no time", "'noon'", TIME),
    "late time": (f"7,10,3,{2**63}", "timestamp", "timestamp is no time", f"'{2**63}'", TIME),
    "short": ("7,10", None, "wrong number of fields", "2 in '7,10'", "4 fields"),
    "long": ("7,10,3,5,6", None, "wrong number of fields", "5 in '7,10,3,5,6'", "4 fields"),
}


@pytest.mark.parametrize(
    ("row", "column", "reason", "found", "expected"), BAD_ROWS.values(), ids=list(BAD_ROWS)
)
def test_bad_row(tmp_path, row, column, reason, found, expected):
    path = write(tmp_path / "r.csv", HEADER + GOOD + row + "\n" + GOOD.replace("1", "5"))
    place = "FILE, row 4" if column is None else f"FILE, row 4, column '{column}'"
    assert message(path) == f"{place}: {reason}: found {found}; expected {expected}. {DROP}"
    table = read_ratings(path, Reading(invalid="drop"))
    assert table.dropped == {reason: 1}
    assert table.n_input == 7
    assert 3 not in table.positions.tolist()
    assert table.n_ratings + table.duplicates == 6


def test_first_bad_row_is_named_and_all_are_counted(tmp_path):
    path = write(tmp_path / "r.csv", HEADER + GOOD + "7,10\n1,1,x,1\n,,y,\n1,1,nan,1\n")
    assert message(path).startswith(
        "FILE, row 4: wrong number of fields: found 2 in '7,10' (the first of 4 bad rows); expected 4 fields"
    )
    table = read_ratings(path, Reading(invalid="drop"))
    assert table.dropped == {
        "wrong number of fields": 1,
        "user id is empty": 1,
        "rating is no number": 1,
        "rating is not finite": 1,
    }
    assert table.positions.tolist() == [0, 1, 2]
    assert table.n_input == 7


def test_row_far_into_a_file_is_located_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 4096)
    rows = [f"{k % 97},{k},3.5,{k}" for k in range(5000)]
    rows[4321] = "1,2,?,3"
    assert message(write(tmp_path / "r.csv", HEADER + "\n".join(rows))).startswith(
        "FILE, row 4,322, column 'rating'"
    )
    rows[3210] = "1,2"
    assert message(write(tmp_path / "r.csv", HEADER + "\n".join(rows))).startswith(
        "FILE, row 3,211: wrong number"
    )


def test_rows_are_counted_without_blank_lines_and_newlines_in_quotes(tmp_path):
    content = '\nuserId,movieId,rating,note\n1,1,3,"a\nb"\n\n2,2,3,\n3,3\n'
    columns = {"user": "userId", "item": "movieId", "rating": "rating"}
    assert message(write(tmp_path / "r.csv", content), columns=columns).startswith(
        "FILE, row 3: wrong number"
    )


def test_double_colons_count_fields_not_colons(tmp_path):
    path = write(tmp_path / "ratings.dat", "1::2::3::4\n2::3::4\n")
    assert message(path).startswith(
        "FILE, row 2: wrong number of fields: found 3 in '2::3::4'; expected 4 fields"
    )


def test_second_file_of_a_pair_is_named(tmp_path):
    base = write(tmp_path / "u1.base", "1\t2\t3\t4\n2\t3\t4\t4\n")
    test = write(tmp_path / "u1.test", "1\t3\t3\t4\n1\t4\tx\t4\n")
    with pytest.raises(DataError, match=re.escape(f"{test}, row 2, column 'rating': rating is no number")):
        read_ratings(base)


GZIP = gzip.compress((HEADER + GOOD * 9999).encode())


def test_what_is_wrong_with_most_rows__is_told_first(tmp_path):
    rows = "".join(f"{'' if row == 1 else row},{row},3,1/{row}/2011 8:26\n" for row in range(1, 10))
    path = write(tmp_path / "r.csv", HEADER + rows)
    assert message(path) == (
        "FILE, row 1, column 'timestamp': timestamp is no time: found '1/1/2011 8:26' (the first of 9 bad "
        f"rows: user id is empty in 1, timestamp is no time in 9); expected {TIME}. Write such times, leave "
        'out all such rows with invalid="drop", or read none: columns without a timestamp, '
        'columns={"user": "…", "item": "…"}.'
    )


UNREADABLE = {
    "empty": ("r.csv", b"", "FILE: the file is empty; expected a header and ratings"),
    "blank": ("r.csv", b"\n \n", "FILE: the file is empty; expected a header and ratings"),
    "empty, no header": ("u.data", b"", "FILE: the file is empty; expected ratings"),
    "header only": ("r.csv", HEADER.encode(), "FILE: a header but no ratings; expected at least one row"),
    "half a header": ("r.csv", HEADER.strip().encode(), "FILE: a header but no ratings; expected at least"),
    "one column": (
        "r.csv",
        b"\nrating\n3\n",
        "FILE, line 2: only one column found, 'rating'; expected columns separated by commas",
    ),
    "half a character": (
        "r.csv",
        (HEADER + "x,1,1,1\n").encode() + "é".encode()[:1],
        "FILE: cannot be read (byte 0xc3 in line 3 is no UTF-8, for the file ends within a character); "
        "expected a complete text file in UTF-8. Fetch the file again.",
    ),
    "damage in UTF-8": (
        "r.csv",
        (HEADER + "é,1,1,1\nü,2,1,1\n").encode() + b"\xe9,1,2,1\n",
        "FILE: cannot be read (byte 0xe9 in line 4 is no UTF-8, as the file is elsewhere); expected a "
        "complete text file in UTF-8. Correct the line, or leave such bytes out: "
        "`iconv -c -f UTF-8 -t UTF-8 FILE > NEW`.",
    ),
    "another script": (
        "r.csv",
        (HEADER + GOOD).encode() + "电影,1,1,1\n".encode("gb18030"),
        "FILE: cannot be read (byte 0xb5 in line 5 is no UTF-8, nor Latin-1, in which such bytes stand one "
        "by one between letters); expected a complete text file in UTF-8. Write it anew from the encoding "
        "that it is in, as from GB18030 by `iconv -f GB18030 -t UTF-8 FILE > NEW`.",
    ),
    "utf-16": ("r.csv", HEADER.encode("utf-16"), "FILE: a text in UTF-16; expected a text"),
    "utf-16 without a mark": ("r.csv", HEADER.encode("utf-16-le"), "(its first line holds zero bytes"),
    "cut gzip": (
        "r.csv.gz",
        GZIP[:100],
        "FILE: cannot be read (Truncated compressed stream); "
        "expected a complete text file in UTF-8, compressed with gzip",
    ),
    "gzip without its end": ("r.csv.gz", GZIP[:-4], "FILE: cannot be read (Truncated compressed stream)"),
    "no gzip": ("r.csv.gz", HEADER.encode(), "FILE: cannot be read (zlib inflate failed"),
    "no parquet": ("r.parquet", HEADER.encode(), "expected a complete Parquet file"),
    "missing column": (
        "r.csv",
        b"userId,thing,rating\n1,2,3\n",
        "FILE: the column for the item is missing; columns found: 'userId', 'thing', 'rating'; "
        "expected a column for the item, called movieId, item, itemId, book_id, isbn, parent_asin or",
    ),
    "column twice": (
        "r.csv",
        b"userId,movieId,rating,rating\n1,2,3,3\n",
        "FILE: the column 'rating' stands there twice; "
        "columns found: 'userId', 'movieId', 'rating', 'rating'; expected one column of that name",
    ),
    "one user": (
        "r.csv",
        HEADER.encode() + b"1,1,3,4\n1,2,4,5\n",
        "ratings of 1 user; expected at least two",
    ),
    "one item": (
        "r.csv",
        HEADER.encode() + b"1,1,3,4\n2,1,4,5\n",
        "ratings of 1 item; expected at least two",
    ),
}


@pytest.mark.parametrize(("name", "content", "found"), UNREADABLE.values(), ids=list(UNREADABLE))
@pytest.mark.parametrize("invalid", ["error", "drop"])
def test_unreadable_file(tmp_path, name, content, found, invalid):
    text = message(write(tmp_path / name, content), invalid=invalid)
    assert found in text
    assert text.count(". ") >= 1, "a remedy follows"


def test_truncated_gzip_beyond_the_head(tmp_path):
    rows = "".join(f"{k % 1009},{k},3.5,{k * 7919 % 100003}\n" for k in range(200_000))
    packed = gzip.compress((HEADER + rows).encode(), compresslevel=1)
    assert "Truncated compressed stream" in message(
        write(tmp_path / "r.csv.gz", packed[: len(packed) * 3 // 4])
    )


def test_line_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)
    path = write(tmp_path / "r.csv", HEADER + GOOD + f"{'9' * 300},1,1,1\n" + GOOD)
    assert message(path).startswith("FILE: cannot be read (straddling object straddles two block boundaries")


def test_catalogue_that_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path / "ratings.dat", GOOD.replace(",", "::"))
    write(tmp_path / "movies.dat", "1::A::B\n")

    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(DataError, match=r"movies\.dat: cannot be read \(\[Errno 13\] Permission denied\)"):
        read_ratings(tmp_path)


def test_parquet_pages_that_are_damaged(tmp_path):
    frame = pa.table({"user": list(range(999)), "item": list(range(999)), "rating": [1.0] * 999})
    path = tmp_path / "r.parquet"
    pq.write_table(frame, path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:900] = b"\xff" * 896
    assert "expected a complete Parquet file" in message(write(path, bytes(content)))


def test_nothing_left_after_dropping(tmp_path):
    path = write(tmp_path / "r.csv", HEADER + "1,1,x,1\n2,2,y,1\n")
    assert message(path, invalid="drop").startswith(
        "FILE: ratings of 0 users (2 rows were dropped); expected"
    )


def test_missing_path(tmp_path):
    expected = "FILE: no such file or folder; expected a MovieLens folder, a CSV"
    assert message(tmp_path / "none").startswith(expected)
    base = write(tmp_path / "u1.base", GOOD)
    with pytest.raises(DataError, match="no such file or folder"):
        read_predefined(base, tmp_path / "absent")


def test_folder_without_ratings(tmp_path):
    assert message(tmp_path).startswith("FILE: a folder without ratings; it holds nothing; expected one of")
    for k in range(12):
        write(tmp_path / f"{k:02}.txt", "")
    assert "it holds 00.txt, 01.txt, 02.txt" in message(tmp_path)
    assert "09.txt and 2 more; expected" in message(tmp_path)


def test_named_column_is_missing(tmp_path):
    path = write(tmp_path / "r.csv", HEADER + GOOD)
    text = message(path, columns={"user": "userId", "item": "film", "rating": "rating"})
    assert text == (
        "FILE: the column for the item is missing; "
        "columns found: 'userId', 'movieId', 'rating', 'timestamp'; "
        "expected the column 'film' for the item. "
        'Name the columns with columns={"user": "…", "item": "…", "rating": "…"}, and timestamp=…, '
        "weight=… where there are."
    )
    wanted = {"user": "userId", "item": "movieId", "rating": "rating", "timestamp": "when"}
    assert "expected the column 'when' for the timestamp" in message(path, columns=wanted)


def test_many_columns_are_listed_in_part(tmp_path):
    names = ",".join(f"c{k}" for k in range(30))
    assert "'c18', 'c19' and 10 more; expected" in message(write(tmp_path / "r.csv", f"{names}\n{names}\n"))


def test_parquet_faults(tmp_path):
    frame = pa.table({"user": [1, None, 3], "item": [1, 2, 3], "rating": [1.0, 2.0, float("inf")]})
    path = tmp_path / "r.parquet"
    pq.write_table(frame, path)
    assert message(path).startswith(
        "FILE, row 2, column 'user': user id is empty: found nothing (the first of 2 bad rows)"
    )
    pq.write_table(frame.slice(2), path)
    assert message(path).startswith(
        "FILE, row 1, column 'rating': rating is not finite: found 'inf'; expected"
    )


def test_parquet_directory__row_is_counted_in_its_file(tmp_path):
    for k, last in enumerate(["2", "x"]):
        frame = pa.table({"user": ["a", "b"], "item": ["a", "b"], "rating": ["1", last]})
        pq.write_table(frame, tmp_path / f"{k}.parquet")
    with pytest.raises(
        DataError, match=r"1\.parquet, row 2, column 'rating': rating is no number: found 'x'"
    ):
        read_ratings(tmp_path)


@pytest.mark.parametrize(
    ("column", "array", "found"),
    [
        (
            "user",
            pa.array([1.0, 2.0**60]),
            "column 'user': ids of type double; expected 64-bit integers or strings",
        ),
        ("user", pa.array([1, 2**63], pa.uint64()), "column 'user': ids of type uint64 that do not fit"),
        (
            "item",
            pa.array([b"a", b"b"]),
            "column 'item': ids of type binary; expected 64-bit integers or strings",
        ),
        ("rating", pa.array([[1], [2]]), "column 'rating': values of type list<"),
        (
            "rating",
            pa.array([b"1", b"2"]),
            "column 'rating': values of type binary; expected a finite number",
        ),
        ("timestamp", pa.array([[1], [2]]), "column 'timestamp': values of type list<"),
    ],
)
def test_parquet_types_that_cannot_be_meant(tmp_path, column, array, found):
    columns = {name: pa.array([1, 2]) for name in ("user", "item", "rating", "timestamp")}
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({**columns, column: array}), path)
    assert found in message(path)


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("userID,artistID,weight", "user=userID,item=artistID,weight=weight"),
        ("item_id,user_id,play_count", "user=user_id,item=item_id,weight=play_count"),
        ("user,track_id,device", "user=user,item=track_id"),
    ],
)
def test_clicks_without_a_rating_are_told_how_to_be_trained_on(tmp_path, header, named):
    (tmp_path / "clicks.csv").write_text(f"{header}\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError) as caught:
        read_ratings(tmp_path / "clicks.csv")
    told = caught.value.for_command()
    assert f"If its rows are clicks or plays, train with --model ials --columns {named};" in told
    columns = dict(pair.split("=") for pair in named.split(","))
    assert len(read_ratings(tmp_path / "clicks.csv", Reading(columns=columns)).values) == 2


def test_parquet_files_that_differ(tmp_path):
    pq.write_table(pa.table({"user": [1, 2], "item": [1, 2], "rating": [1, 2]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"user": [1, 2], "item": [1, 2]}), tmp_path / "1.parquet")
    with pytest.raises(
        DataError,
        match=r"1\.parquet: the column for the rating is missing; columns found: 'user', 'item'; ex",
    ):
        read_ratings(tmp_path)
    pq.write_table(pa.table({"user": ["1"], "item": [1], "rating": [1]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"files whose columns differ in type .*; expected one type a column"):
        read_ratings(tmp_path)


def test_catalogue_without_its_columns(tmp_path):
    write(tmp_path / "ratings.csv", HEADER + GOOD)
    movies = write(tmp_path / "movies.csv", "movieId,director\n1,2\n")
    with pytest.raises(
        DataError, match=re.escape(f"{movies}: no column title; columns found: movieId, director; expected")
    ):
        read_ratings(tmp_path)
    write(movies, "movieId,title,genres\n1,2\n")
    with pytest.raises(
        DataError, match=r"movies\.csv: cannot be read .*; expected a file of a MovieLens folder"
    ):
        read_ratings(tmp_path)


def test_damaged_movies_dat(tmp_path):
    write(tmp_path / "ratings.dat", GOOD.replace(",", "::"))
    write(tmp_path / "movies.dat", "1::A::B\n2::C\n")
    with pytest.raises(
        DataError, match=r"movies\.dat: cannot be read .*; expected a file of a MovieLens folder"
    ):
        read_ratings(tmp_path)


def test_columns_of_an_option():
    columns = ReadConfig.parse({"columns": "user=u, item=i,rating=stars"}).columns
    assert columns == {"user": "u", "item": "i", "rating": "stars"}


@pytest.mark.parametrize(
    "text",
    ["user", "user=,item=i,rating=r", "user=u,item=i,rating=r,when=t", "user=u,user=v,item=i,rating=r"],
)
def test_columns_that_cannot_be_read(text):
    with pytest.raises(ConfigError, match=r"columns: found 'user.*; expected user=NAME,item=NAME"):
        ReadConfig.parse({"columns": text})


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"user": "u", "rating": "i"}, "no column named for item"),
        ({"user": "u"}, "no column named for item and rating"),
        ({"user": "u", "item": "i", "rating": "r", "when": "t"}, "'when' is nothing a column can be"),
        ({"user": "u", "item": "u", "rating": "r"}, "one column named for two things"),
    ],
)
def test_columns_that_cannot_be_meant(columns, found):
    with pytest.raises(ConfigError) as caught:
        check_columns(columns)
    assert str(caught.value) == (
        f"columns: {found}; expected user, item and rating, perhaps timestamp and weight, a column each. "
        'Name them as the header has them, as in columns={"user": "userId", "item": "movieId", '
        '"rating": "rating"}.'
    )


def test_mapping_of_columns_is_checked_too(tmp_path):
    with pytest.raises(ConfigError, match="no column named for item and rating"):
        read_ratings(write(tmp_path / "r.csv", HEADER + GOOD), Reading(columns={"user": "userId"}))


DAMAGE = [b"\n", b",", b'"', b'""', b"\r", b"\0", b"nan", b"\xff", b"::", b"\t", b" ", b"-", b"9" * 25, b""]


@pytest.mark.long
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["r.csv", "ratings.dat", "u.data", "r.csv.gz"]),
    wounds=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.sampled_from(DAMAGE)), max_size=4),
    invalid=st.sampled_from(["error", "drop"]),
)
def test_damaged_bytes_are_an_error_or_give_a_sound_table(tmp_path, name, wounds, invalid):
    rows = "".join(f"{k % 7},{k % 5},{k % 9 / 2 + 0.5},{k}\n" for k in range(12))
    separator = {"ratings.dat": "::", "u.data": "\t"}.get(name)
    content = bytearray((rows.replace(",", separator) if separator else HEADER + rows).encode())
    if name == "r.csv.gz":
        content = bytearray(gzip.compress(bytes(content)))
    for place, length, damage in wounds:
        start = int(place * len(content))
        content[start : start + length] = damage
    path = write(tmp_path / name, bytes(content))
    with contextlib.suppress(DataError):
        assert_sound(read_ratings(path, Reading(invalid=invalid)))


def assert_sound(table: RatingsTable) -> None:
    assert np.isfinite(table.values).all()
    assert table.n_input == table.n_ratings + table.duplicates + sum(table.dropped.values())
    assert (np.diff(table.positions) > 0).all()
    assert sorted(set(table.users.tolist())) == list(range(table.n_users))
    assert None not in table.user_ids.to_pylist()
