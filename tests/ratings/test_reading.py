"""Reading files of ratings: every MovieLens generation, delimited text, Parquet; ids to the last digit."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import daskals.ratings.delimited as delimited
from daskals.ratings.movielens import STANDARD_GENRES
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_predefined, read_ratings
from daskals.ratings.table import RatingsTable

HEADER = "userId,movieId,rating,timestamp\n"
ROWS = "7,30,4.0,100\n7,10,3.5,101\n5,30,0.5,102\n5,20,5.0,103\n"


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def assert_is_the_example(table: RatingsTable) -> None:
    """ROWS, however they came in."""
    assert table.users.tolist() == [0, 0, 1, 1]
    assert table.users.dtype == np.int32
    assert table.items.tolist() == [0, 1, 0, 2]
    assert table.items.dtype == np.int32
    assert table.values.tolist() == [4.0, 3.5, 0.5, 5.0]
    assert table.values.dtype == np.float32
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [100, 101, 102, 103]
    assert table.timestamps.dtype == np.int64
    assert table.positions.tolist() == [0, 1, 2, 3]
    assert table.positions.dtype == np.int64
    assert table.user_ids.type == pa.int64()
    assert table.user_ids.to_pylist() == [7, 5]
    assert table.item_ids.to_pylist()[:3] == [30, 10, 20]
    assert (table.n_input, table.duplicates, table.dropped) == (4, 0, {})


def test_ml_latest_small_has_its_published_counts(latest_small):
    table = read_ratings(latest_small)
    assert (table.n_users, table.n_rated_items, table.n_items, table.n_ratings) == (610, 9724, 9742, 100836)
    assert table.n_input == 100836
    assert table.catalogue is not None
    toy_story = table.catalogue.slice(table.item_ids.index(1).as_py(), 1).to_pylist()[0]
    assert toy_story == {
        "title": "Toy Story (1995)",
        "year": 1995,
        "genres": ["Adventure", "Animation", "Children", "Comedy", "Fantasy"],
        "imdb_id": "0114709",
        "tmdb_id": 862,
    }
    assert table.tags is not None
    assert table.tags.num_rows == 3683
    assert table.tags.slice(0, 1).to_pylist() == [
        {"user_id": 2, "item_id": 60756, "tag": "funny", "timestamp": 1445714994}
    ]
    assert [source["name"] for source in table.sources] == [
        "ratings.csv",
        "movies.csv",
        "tags.csv",
        "links.csv",
    ]


def test_csv_folder__unrated_items_follow_in_file_order(tmp_path):
    write(tmp_path / "ratings.csv", HEADER + ROWS)
    write(
        tmp_path / "movies.csv",
        "movieId,title,genres\n99,千と千尋の神隠し (2001),Animation|Fantasy\n"
        '10,"American President, The (1995)",(no genres listed)\n8,Untitled,\n30,"Say ""Hi"" (19)",Drama\n',
    )
    table = read_ratings(tmp_path)
    assert_is_the_example(table)
    assert table.item_ids.to_pylist() == [30, 10, 20, 99, 8]
    assert (table.n_items, table.n_rated_items) == (5, 3)
    assert table.catalogue is not None
    assert table.catalogue.column("title").to_pylist() == [
        'Say "Hi" (19)',
        "American President, The (1995)",
        None,
        "千と千尋の神隠し (2001)",
        "Untitled",
    ]
    assert table.catalogue.schema.field("year").type == pa.int32()
    assert table.catalogue.column("year").to_pylist() == [None, 1995, None, 2001, None]
    assert table.catalogue.column("genres").to_pylist() == [
        ["Drama"],
        ["(no genres listed)"],
        [],
        ["Animation", "Fantasy"],
        [],
    ]
    assert table.tags is None


def test_csv_folder__links_and_tags(tmp_path):
    write(tmp_path / "ratings.csv", HEADER + ROWS)
    write(tmp_path / "movies.csv", "movieId,title,genres\n30,C,X\n10,A,X\n20,B,X\n")
    write(tmp_path / "links.csv", "movieId,imdbId,tmdbId\n10,0114709,862\n30,0000007,\n")
    write(tmp_path / "tags.csv", 'userId,movieId,tag,timestamp\n7,30,"a, ""b""",55\n')
    table = read_ratings(tmp_path)
    assert table.catalogue is not None
    assert table.catalogue.column("imdb_id").to_pylist() == ["0000007", "0114709", None]
    assert table.catalogue.column("tmdb_id").to_pylist() == [None, 862, None]
    assert table.tags is not None
    assert table.tags.to_pylist() == [{"user_id": 7, "item_id": 30, "tag": 'a, "b"', "timestamp": 55}]


def test_tags__ids_stay_texts_where_those_of_the_ratings_are(tmp_path):
    write(tmp_path / "ratings.csv", HEADER + "a,030,4,1\nb,010,3,2\n")
    write(tmp_path / "movies.csv", "movieId,title,genres\n030,C,X\n")
    write(tmp_path / "tags.csv", "userId,movieId,tag,timestamp\n7,30,good,\n")
    tags = read_ratings(tmp_path).tags
    assert tags is not None
    assert tags.to_pylist() == [{"user_id": "7", "item_id": "30", "tag": "good", "timestamp": None}]


def test_catalogue__item_listed_twice_counts_the_first_time(tmp_path):
    write(tmp_path / "ratings.csv", HEADER + ROWS)
    write(tmp_path / "movies.csv", "movieId,title,genres\n30,first,X\n30,second,Y\n40,third,Z\n40,fourth,Z\n")
    table = read_ratings(tmp_path)
    assert table.item_ids.to_pylist() == [30, 10, 20, 40]
    assert table.catalogue is not None
    assert table.catalogue.column("title").to_pylist() == ["first", None, None, "third"]


def test_catalogue__texts_among_listed_ids_make_all_item_ids_texts(tmp_path):
    write(tmp_path / "ratings.csv", HEADER + ROWS)
    write(tmp_path / "movies.csv", "movieId,title,genres\n30,C,X\ntt1,A,X\n")
    table = read_ratings(tmp_path)
    assert table.item_ids.to_pylist() == ["30", "10", "20", "tt1"]
    assert table.catalogue is not None
    assert table.catalogue.column("title").to_pylist() == ["C", None, None, "A"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_dat_folder(tmp_path, encoding):
    write(tmp_path / "ratings.dat", ROWS.replace(",", "::"))
    write(
        tmp_path / "movies.dat",
        "movie".join(
            ["10::Misérables, Les: II (1995)::Drama|Musical\n20::", ' "X" (1999)::Horror\n30::C::\n']
        ),
        encoding,
    )
    table = read_ratings(tmp_path)
    assert_is_the_example(table)
    assert table.catalogue is not None
    assert table.catalogue.column("title").to_pylist() == [
        "C",
        "Misérables, Les: II (1995)",
        'movie "X" (1999)',
    ]
    assert table.catalogue.column("year").to_pylist() == [None, 1995, 1999]
    assert table.catalogue.column("genres").to_pylist() == [[], ["Drama", "Musical"], ["Horror"]]


def test_dat_folder__tags(tmp_path):
    write(tmp_path / "ratings.dat", ROWS.replace(",", "::"))
    write(tmp_path / "movies.dat", "10::A::Drama\n")
    write(tmp_path / "tags.dat", "7::10::so-so: fine::12\n")
    table = read_ratings(tmp_path)
    assert table.tags is not None
    assert table.tags.to_pylist() == [{"user_id": 7, "item_id": 10, "tag": "so-so: fine", "timestamp": 12}]


def flags(*genres: str) -> str:
    return "|".join("1" if name in genres else "0" for name in STANDARD_GENRES)


def write_ml_100k(folder: Path) -> Path:
    write(folder / "u.data", ROWS.replace(",", "\t"))
    write(
        folder / "u.item",
        f"10|Été (1995)|01-Jan-1995||http://x|{flags('Drama', 'War')}\n"
        f"20|unknown||||{flags('unknown')}\n"
        f"30|GoldenEye|24-Mar-1996||http://y|{flags()}\n",
        "latin-1",
    )
    return folder


@pytest.mark.parametrize("genre_file", ["absent", "beside"])
def test_ml_100k_folder(tmp_path, genre_file):
    write_ml_100k(tmp_path)
    if genre_file == "beside":
        write(tmp_path / "u.genre", "".join(f"{name}|{k}\n" for k, name in enumerate(STANDARD_GENRES)) + "\n")
    table = read_ratings(tmp_path)
    assert_is_the_example(table)
    assert table.catalogue is not None
    assert table.catalogue.column("title").to_pylist() == ["GoldenEye", "Été (1995)", "unknown"]
    assert table.catalogue.column("year").to_pylist() == [1996, 1995, None]
    assert table.catalogue.column("genres").to_pylist() == [[], ["Drama", "War"], ["unknown"]]


def test_official_pair__base_brings_its_test(tmp_path):
    write_ml_100k(tmp_path)
    write(tmp_path / "u1.base", "7\t30\t4\t100\n5\t10\t3\t101\n")
    write(tmp_path / "u1.test", "5\t30\t2\t102\n7\t20\t1\t99\n")
    table = read_ratings(tmp_path / "u1.base")
    assert table.predefined_test is not None
    assert table.predefined_test.tolist() == [False, False, True, True]
    assert table.values.tolist() == [4, 3, 2, 1]
    assert table.positions.tolist() == [0, 1, 2, 3]
    assert table.n_items == 3
    assert [source["name"] for source in table.sources] == ["u1.base", "u1.test", "u.item"]
    again = read_predefined(tmp_path / "u1.base", tmp_path / "u1.test")
    assert again.predefined_test is not None
    assert again.predefined_test.tolist() == table.predefined_test.tolist()


def test_official_pair__mask_follows_dropped_rows(tmp_path):
    write(tmp_path / "u1.base", "7\t30\t4\t100\n5\t10\tx\t101\n5\t10\t2\t101\n9\t9\n")
    write(tmp_path / "u1.test", "5\t30\t2\t102\n7\t20\t1\t99\n")
    table = read_ratings(tmp_path / "u1.base", Reading(invalid="drop"))
    assert table.predefined_test is not None
    assert table.predefined_test.tolist() == [False, False, True, True]
    assert table.positions.tolist() == [0, 2, 4, 5]
    assert table.dropped == {"wrong number of fields": 1, "rating is no number": 1}


def test_base_without_its_test_is_an_ordinary_file(tmp_path):
    table = read_ratings(write(tmp_path / "u1.base", ROWS.replace(",", "\t")))
    assert_is_the_example(table)
    assert table.predefined_test is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", HEADER + ROWS),
        ("tabs.tsv", (HEADER + ROWS).replace(",", "\t")),
        ("crlf.csv", (HEADER + ROWS).replace("\n", "\r\n")),
        ("bom.csv", "\ufeff" + HEADER + ROWS),
        ("no-final-newline.csv", (HEADER + ROWS).rstrip()),
        ("blank-lines.csv", "\n" + HEADER + "\n" + ROWS.replace("\n", "\n\n")),
        ("blanks-in-header.csv", HEADER.replace(",", " , ") + ROWS),
        ("blanks-in-fields.csv", HEADER + ROWS.replace(",", ", ")),
        ("quoted.csv", "".join(f'"{line}"\n'.replace(",", '","') for line in (HEADER + ROWS).splitlines())),
        ("names.csv", "ts,score,item_id,user_id\n100,4,30,7\n101,3.5,10,7\n102,.5,30,5\n103,+5e0,20,5\n"),
        ("newline.csv", 'userId,note,movieId,rating,timestamp\n7,"a\nb",30,4,100\n7,,10,3.5,101\n'
                        '5,",",30,.5,102\n5,"",20,5,103\n'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", ["plain", "gzip"])
def test_text_files(tmp_path, name, content, packed):
    path = write(tmp_path / name, content)
    if packed == "gzip":
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(content.encode()))
    assert_is_the_example(read_ratings(path))


def test_columns_are_named_by_role(tmp_path):
    path = write(
        tmp_path / "x.csv", "a,b,c,rating,d\n1,7,30,4.0,100\n2,7,10,3.5,101\n3,5,30,.5,102\n4,5,20,5,103\n"
    )
    columns = {"user": "b", "item": "c", "rating": "rating", "timestamp": "d"}
    assert_is_the_example(read_ratings(path, Reading(columns=columns)))
    del columns["timestamp"]
    assert read_ratings(path, Reading(columns=columns)).timestamps is None


def test_input_without_timestamps(tmp_path):
    assert read_ratings(write(tmp_path / "x.csv", "user,item,rating\n1,2,3\n2,3,4\n")).timestamps is None


def test_dates_become_seconds(tmp_path):
    rows = [
        "2015-03-01 12:00:30",
        "2015-03-01T12:00:30Z",
        "2015-03-01 12:00",
        "2015-03-01",
        "1425211230",
        "1425211230.75",
    ]
    body = "".join(f"{k},{k},3,{row}\n" for k, row in enumerate(rows))
    table = read_ratings(write(tmp_path / "x.csv", HEADER + body))
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [
        1425211230,
        1425211230,
        1425211200,
        1425168000,
        1425211230,
        1425211230,
    ]


def example_frame() -> pa.Table:
    return pa.table(
        {
            "userId": pa.array([7, 7, 5, 5], pa.int32()),
            "movieId": pa.array([30, 10, 30, 20], pa.int64()),
            "rating": [4.0, 3.5, 0.5, 5.0],
            "timestamp": pa.array([100, 101, 102, 103], pa.timestamp("s")),
            "unused": ["a", "b", "c", "d"],
        }
    )


def test_parquet_file(tmp_path):
    pq.write_table(example_frame(), tmp_path / "x.parquet")
    assert_is_the_example(read_ratings(tmp_path / "x.parquet"))


def test_parquet_directory__files_in_the_order_of_their_names(tmp_path):
    frame = example_frame()
    (tmp_path / "part").mkdir()
    pq.write_table(frame.slice(2), tmp_path / "part" / "1.parquet")
    pq.write_table(frame.slice(0, 2), tmp_path / "part" / "0.parquet")
    table = read_ratings(tmp_path)
    assert_is_the_example(table)
    assert [source["name"] for source in table.sources] == ["0.parquet", "1.parquet"]


def test_parquet_directory__rating_types_may_differ(tmp_path):
    frame = example_frame()
    pq.write_table(frame.slice(0, 2), tmp_path / "0.parquet")
    floats = frame.slice(2).column("rating").cast(pa.float32())
    pq.write_table(frame.slice(2).set_column(2, "rating", floats), tmp_path / "1.parquet")
    assert_is_the_example(read_ratings(tmp_path))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([str(2**53 + 1), str(2**53), str(2**63 - 1), str(-(2**63)), "-5", "0"],
         [2**53 + 1, 2**53, 2**63 - 1, -(2**63), -5, 0]),
        (["007", "7"], ["007", "7"]),
        (["1", "2.0"], ["1", "2.0"]),
        (["1", "+2"], ["1", "+2"]),
        (["1", "-0"], ["1", "-0"]),
        (["1", str(2**63)], ["1", str(2**63)]),
        (["A", "é", "日本"], ["A", "é", "日本"]),
        (["NaN", "null", "NA"], ["NaN", "null", "NA"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reading", ["fast", "careful"])
def test_ids_are_exact(tmp_path, texts, expected, reading):
    body = "".join(f"{text},{k % 2},3,1\n" for k, text in enumerate(texts))
    careless = "1,1,x,1\n" if reading == "careful" else ""
    table = read_ratings(write(tmp_path / "x.csv", HEADER + body + careless), Reading(invalid="drop"))
    assert table.user_ids.to_pylist() == expected
    flipped = "".join(f"{k % 2},{text},3,1\n" for k, text in enumerate(texts))
    table = read_ratings(write(tmp_path / "y.csv", HEADER + flipped + careless), Reading(invalid="drop"))
    assert table.item_ids.to_pylist() == expected


def test_a_dropped_text_id_does_not_make_integers_texts(tmp_path):
    table = read_ratings(write(tmp_path / "x.csv", HEADER + ROWS + "abc,30,bad,1\n"), Reading(invalid="drop"))
    assert table.user_ids.to_pylist() == [7, 5]


def test_numbers_follow_the_kept_ratings(tmp_path):
    body = "9,90,x,1\n7,30,4,100\n9,90,3,5\n8,30,2,6\n"
    table = read_ratings(write(tmp_path / "x.csv", HEADER + body), Reading(invalid="drop"))
    assert table.user_ids.to_pylist() == [7, 9, 8]
    assert table.item_ids.to_pylist() == [30, 90]
    assert table.users.tolist() == [0, 1, 2]
    assert table.positions.tolist() == [1, 2, 3]


def test_blocks_do_not_show(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    users, items = rng.integers(0, 50, 4000), rng.permutation(4000)
    body = "".join(f"u{u},{i},{i % 10 / 2},{i}\n" for u, i in zip(users, items, strict=True))
    path = write(tmp_path / "x.csv", HEADER + body)
    whole = read_ratings(path)
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 1000)
    split = read_ratings(path)
    first = list(dict.fromkeys(users.tolist()))
    assert split.user_ids.to_pylist() == [f"u{u}" for u in first] == whole.user_ids.to_pylist()
    assert split.users.tolist() == [first.index(u) for u in users]
    assert split.items.tolist() == list(range(4000))
    np.testing.assert_array_equal(split.values, (items % 10 / 2).astype(np.float32))


def test_ratings_keep_their_exact_value(tmp_path):
    texts = ["3.7", "-2", "1e-3", "100", "0.1", "16777217"]
    body = "".join(f"{k},{k},{text},1\n" for k, text in enumerate(texts))
    table = read_ratings(write(tmp_path / "x.csv", HEADER + body))
    np.testing.assert_array_equal(table.values, np.array(texts, dtype=np.float32))


def test_all_ratings_equal_are_fine(tmp_path):
    assert set(read_ratings(write(tmp_path / "x.csv", HEADER + "1,1,3,1\n2,2,3,1\n")).values.tolist()) == {
        3.0
    }


def test_sources_are_fingerprinted(tmp_path):
    path = write(tmp_path / "x.csv", HEADER + ROWS)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    expected = {"name": "x.csv", "bytes": len(content), "sha256": digest, "rows": content.count(b"\n") - 1}
    assert read_ratings(path).sources == [expected]
