"""Texts that are no UTF-8: read as what they are, and said; what is no such text is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import daskals.ratings.encodings as encodings
from daskals.errors import DataError
from daskals.ratings.encodings import encoding_of
from daskals.ratings.item_catalogue import read_items
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from daskals.ratings.text_table import read_text_table

RATINGS = """"User";"ISBN";"Book-Rating"
"montréal";"3ª442411-9";"7"
"zoë";"0195153448";"5"
"zoë";"3ª442411-9";"6"
"""


@pytest.mark.parametrize("packed", [False, True])
def test_ratings_in_latin1(tmp_path: Path, caplog: pytest.LogCaptureFixture, packed: bool) -> None:
    content = RATINGS.encode("latin-1")
    path = tmp_path / ("r.csv.gz" if packed else "r.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    table = read_ratings(path)
    assert table.user_ids.to_pylist() == ["montréal", "zoë"]
    assert table.item_ids.to_pylist() == ["3ª442411-9", "0195153448"]
    assert table.values.tolist() == [7, 5, 6]
    assert caplog.messages[1:] == [
        f'{path}: no UTF-8: read as Latin-1, in which line 2 says \'"montréal";"3ª442411-9";"7\'; if that '
        "looks wrong, write it in UTF-8: `iconv -f ENCODING -t UTF-8 FILE > NEW`"
    ]


def test_texts_that_nobody_reads__are_nobody_s_matter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("user,item,rating,city\n1,1,3,Köln\n2,2,4,Köln\n".encode("latin-1"))
    assert len(read_ratings(path).values) == 2
    assert caplog.messages == []


def test_a_name_in_latin1__is_found(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("hörer,item,rating\n1,1,3\n2,2,4\n".encode("latin-1"))
    table = read_ratings(path, Reading(columns={"user": "hörer", "item": "item", "rating": "rating"}))
    assert table.user_ids.to_pylist() == [1, 2]


def test_stray_quotes_in_latin1(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.csv"
    rows = "".join(f"{user},zoë,{user % 5}\n" for user in range(20))
    path.write_bytes(f'user,item,rating\n7,"die Brücke,3\n{rows}'.encode("latin-1"))
    assert read_ratings(path).item_ids.to_pylist() == ['"die Brücke', "zoë"]
    assert [message for message in caplog.messages if "no UTF-8" in message] == caplog.messages[:1]


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        ("“Señor” – Léon", "cp1252", "Windows-1252"),
        ("Señor Léon", "latin-1", "Latin-1"),
        ("Señor \x8d", "latin-1", "Latin-1"),
    ],
)
def test_a_catalogue_says_as_what_it_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, encoding: str, name: str
) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(f"id,title\n1,{text}\n2,None\n".encode(encoding))
    assert read_items(path).items["title"].to_pylist() == [text, "None"]
    assert f"read as {name}, in which line 2 says" in caplog.messages[0]


def test_titles_of_movies_csv(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,1,3\n2,2,4\n")
    (tmp_path / "movies.csv").write_bytes(
        "movieId,title,genres\n1,Amélie (2001),Drama\n2,B (2000),War\n".encode("latin-1")
    )
    table = read_ratings(tmp_path)
    assert table.catalogue is not None
    assert table.catalogue["title"].to_pylist()[0] == "Amélie (2001)"
    assert "read as Latin-1" in caplog.messages[0]


def test_pairs_in_latin1(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes("user,item\nzoë,1\n".encode("latin-1"))
    assert read_text_table(path, "pairs")["user"].to_pylist() == ["zoë"]


def test_a_folder_of_pairs__is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder; expected pairs\. Name the file in it\."):
        read_text_table(tmp_path, "pairs")
    with pytest.raises(DataError, match=r"does not exist; expected pairs\. Check the path\."):
        read_text_table(tmp_path / "none.csv", "pairs")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
def test_chunks_may_end_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    monkeypatch.setattr(encodings, "_CHUNK_BYTES", size)
    path = tmp_path / "r.csv"
    path.write_bytes("a,Œuvre\nüber,电影\nb,c\n".encode())
    assert encoding_of(path) == "utf-8"
    path.write_bytes("a,b\nzoë\r\nx“y”z\n".encode("cp1252"))
    assert encoding_of(path) == "cp1252"
    assert "line 2 says '" in caplog.messages[0]


def test_a_file_that_ends_too_early(tmp_path: Path) -> None:
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress(RATINGS.encode() * 999)[:-4])
    with pytest.raises(DataError, match="Truncated compressed stream"):
        encoding_of(path)
