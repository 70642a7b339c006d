"""Folders as their writers mean them: what is data in them, and what their names say."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskals.errors import DataError
from daskals.ratings.finding import ratings_files
from daskals.ratings.item_catalogue import read_items
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
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
    table = read_ratings(tmp_path, Reading(columns={"user": "item", "item": "userId", "rating": "rating"}))
    assert table.item_ids.to_pylist() == [1, 2]


def test_partition_columns__may_be_text_or_nothing(tmp_path):
    for name in ("shop=a%2Fb", "shop=c", "shop=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / name).mkdir()
        GOOD.drop(columns="item").assign(user=[1, 2, 3]).to_parquet(tmp_path / name / "0.parquet")
    columns = {"user": "user", "item": "shop", "rating": "rating"}
    with pytest.raises(DataError, match="row 1, column 'shop': item id is empty"):
        read_ratings(tmp_path, Reading(columns=columns))
    table = read_ratings(tmp_path, Reading(columns=columns, invalid="drop"))
    assert table.item_ids.to_pylist() == ["a/b", "c"]


def test_a_file_named_itself__has_no_partitions(tmp_path):
    folder: Path = tmp_path / "user=7"
    folder.mkdir()
    GOOD.to_parquet(folder / "r.parquet")
    assert read_ratings(folder / "r.parquet").user_ids.to_pylist() == [1, 2]


# --- files among others ------------------------------------------------------------------------------------

CSV = GOOD.to_csv(index=False)
BESIDE = {
    "Books.csv": "item,title,rating\n10,A,4.5\n",
    "README.txt": "Ratings of users.\n",
    "a.xlsx": "PK\3\4",
    "empty.csv": "",
    "plot.png": "\x89PNG",
    "tags.json": '{"user": 1, "tag": "x"}',
    "users.csv": "user\n1\n",
}


def folder_of(folder: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="latin-1")
    return folder


@pytest.mark.parametrize("name", ["Ratings.csv", "interactions.json", "r.txt"])
def test_the_one_file_that_holds_ratings(tmp_path, caplog, name):
    content = GOOD.to_json(orient="records", lines=True) if name.endswith("json") else CSV
    table = read_ratings(folder_of(tmp_path, BESIDE | {name: content}))
    assert table.values.tolist() == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: its ratings are in {name}",
        f"{tmp_path}: ratings without titles, though Books.csv may have them. Name it with --catalogue "
        f"{tmp_path / 'Books.csv'}.",
    ]


def test_titles_that_are_read__are_not_said(tmp_path, caplog):
    folder_of(tmp_path, {"ratings.csv": CSV, "books.csv": "item,title\n10,A\n"})
    titles = "movieId,title,genres\n10,A,B\n20,C,D\n"
    read_ratings(tmp_path, Reading(catalogue=read_items(tmp_path / "books.csv")))
    assert "without titles" not in caplog.text
    folder_of(tmp_path, {"movies.csv": titles})
    read_ratings(tmp_path)
    assert "without titles" not in caplog.text


def test_the_one_file_that_has_the_columns_named(tmp_path):
    frame = GOOD.rename(columns={"user": "who", "item": "what", "rating": "stars"})
    folder_of(tmp_path, BESIDE | {"log.csv": frame.to_csv(index=False)})
    columns = {"user": "who", "item": "what", "rating": "stars"}
    assert read_ratings(tmp_path, Reading(columns=columns)).n_ratings == 3
    with pytest.raises(DataError, match=r"a folder without ratings; it holds Books.csv, README.txt, a.xlsx"):
        read_ratings(tmp_path)


def test_the_only_file_needs_no_names(tmp_path):
    folder_of(tmp_path, {"log.tsv": "1\t10\t3\n2\t20\t4\n", ".DS_Store": "x"})
    assert read_ratings(tmp_path).user_ids.to_pylist() == [1, 2]


def test_files_whose_names_differ_by_numbers__are_one_input(tmp_path):
    months = {f"2020-{month:02}.csv": f"user,item,rating\n{month},{month},{month}\n" for month in (1, 2, 11)}
    assert read_ratings(folder_of(tmp_path, BESIDE | months)).values.tolist() == [1, 2, 11]


def test_files_under_headings__are_one_input(tmp_path):
    beside = {"qualifying.txt": "1:\n7,2005-12-19\n", "movie_titles.csv": "1,2003,Dinosaur Planet\n"}
    parts = {"combined_data_1.txt": "1:\n7,3,2005-09-06\n5,4,2005-09-07\n",
             "combined_data_2.txt": "2:\n7,5,2005-09-08\n"}  # fmt: skip
    table = read_ratings(folder_of(tmp_path, beside | parts))
    assert (table.user_ids.to_pylist(), table.item_ids.to_pylist()) == ([7, 5], [1, 2])
    assert table.values.tolist() == [3, 4, 5]


def test_several_files_of_ratings__are_refused(tmp_path):
    folder_of(tmp_path, BESIDE | {"train.csv": CSV, "test.csv": CSV})
    with pytest.raises(DataError, match=r"several files of ratings, test.csv, train.csv; expected one"):
        read_ratings(tmp_path)


CLICKS = GOOD.drop(columns="rating").to_csv(index=False)


def test_the_file_of_clicks__where_the_model_needs_no_rating(tmp_path, caplog):
    folder_of(tmp_path, {"events.csv": CLICKS, "items.csv": "item,title\n10,A\n"})
    assert read_ratings(tmp_path, Reading(clicks=True)).n_ratings == 3
    assert f"{tmp_path}: its ratings are in events.csv" in caplog.text
    told = (
        r"events\.csv: the column for the rating is missing; .* If its rows are clicks or plays, train with "
    )
    with pytest.raises(DataError, match=told):
        read_ratings(tmp_path)
    folder_of(tmp_path, {"clicks.csv": CLICKS})
    told = (
        r'clicks and plays train with model="ials", perhaps data="FOLDER/clicks.csv" or data="FOLDER/events'
    )
    with pytest.raises(DataError, match=told.replace("FOLDER", str(tmp_path))):
        read_ratings(tmp_path)
    with pytest.raises(DataError, match=r"several files of ratings, clicks\.csv, events\.csv"):
        read_ratings(tmp_path, Reading(clicks=True))


def test_ratings_go_before_clicks(tmp_path):
    folder_of(tmp_path, {"events.csv": CLICKS, "stars.csv": CSV})
    assert read_ratings(tmp_path, Reading(clicks=True)).values.tolist() == [1, 2, 3]


def test_a_folder_in_a_folder__is_looked_into(tmp_path):
    inner = tmp_path / "a"
    inner.mkdir()
    (tmp_path / "__MACOSX").mkdir()
    folder_of(inner, {"ratings.csv": CSV, "other.csv": CSV})
    assert read_ratings(tmp_path).values.tolist() == read_ratings(inner).values.tolist() == [1, 2, 3]


def test_a_folder_of_nothing_but_folders__names_their_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        folder_of(tmp_path / name, {"x.txt": "a\n"})
    with pytest.raises(DataError, match=r"it holds one/x\.txt, two/x\.txt;"):
        read_ratings(tmp_path)


ROWS = "".join(f"{row * 7 % 5} {row % 4 + 100} {row % 5 + 1}\n" for row in range(20))
TRUST = "".join(f" {row} {row * 3 % 20} 1\n" for row in range(20))
LINKS = "".join(f"{row}\t{row + 1}\n" for row in range(20))
CHECKINS = "".join(f"{row % 5}\t2010-10-{row + 1:02}T23:55:27Z\t30.2\t{row * 7 % 11}\n" for row in range(20))
GLOBO = "user_id,session_id,click_article_id,click_timestamp\n1,2,3,1506826800026\n"
REVIEWS = ',user,rating,comment,ID,name\n0,Torsten,10,"so\nso",30549,Pandemic\n1,Ann,9,,822,Carcassonne\n'


def test_the_one_file_without_names_that_looks_like_ratings(tmp_path, caplog):
    table = read_ratings(folder_of(tmp_path, {"a.txt": ROWS, "trust.txt": TRUST, "links.txt": LINKS}))
    assert table.item_ids.to_pylist() == [100, 101, 102, 103]
    assert caplog.messages[:2] == [
        f"{tmp_path}: its ratings are in a.txt",
        f"{tmp_path / 'a.txt'}: separated by blanks; no header: its columns are user, item, rating",
    ]


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (
            {"checkins.txt": CHECKINS, "edges.txt": LINKS},
            r'checkins\.txt: .* columns={"user": "1", "item": "4"',
        ),
        ({"reviews.csv": REVIEWS, "games.csv": "ID,name\n1,A\n"}, r"reviews\.csv: .* Perhaps columns="),
        ({"train.txt": ROWS * 2, "test.txt": ROWS}, r'perhaps data=".*/train\.txt" or data=".*/test\.txt"'),
        (
            {"clicks_1.csv": GLOBO, "clicks_2.csv": GLOBO, "a.csv": "article_id,category_id\n1,2\n"},
            r'clicks_1\.csv: .*"item": "click_article_id"',
        ),
        ({"orders.csv": "order_id,user_id\n1,7\n", "a.txt": "a\n"}, r"a folder without ratings"),
        ({"big.txt": "\xff\xfea\0" * 99, "a.txt": "a\n"}, r"big\.txt: a text in UTF-16"),
        ({"empty.json": "[]", "a.txt": "a\n"}, r"a folder without ratings; .* Name the file that holds the "),
    ],
)
def test_of_a_folder_without_names__what_may_be_meant_is_told(tmp_path, contents, told):
    with pytest.raises(DataError, match=told):
        read_ratings(folder_of(tmp_path, contents))


def test_of_several_files_the_one_called_ratings(tmp_path):
    answers = '{"user": 1, "item": 1, "tag": 3, "score": 5}\n'
    folder_of(tmp_path, {"answers.json": answers, "Ratings.json": GOOD.to_json(orient="records", lines=True)})
    assert read_ratings(tmp_path).values.tolist() == [1, 2, 3]


def test_parquet_files_of_other_things__are_not_read_with_the_ratings(tmp_path, caplog):
    GOOD.to_parquet(tmp_path / "stars.parquet")
    pd.DataFrame({"item": [10, 20], "title": ["A", "B"]}).to_parquet(tmp_path / "titles.parquet")
    assert read_ratings(tmp_path).n_ratings == 3
    assert caplog.messages[0] == f"{tmp_path}: its ratings are in stars.parquet"
    clicks = GOOD.drop(columns="rating")
    clicks.to_parquet(tmp_path / "likes.parquet")
    assert read_ratings(tmp_path, Reading(clicks=True)).n_ratings == 3
    (tmp_path / "stars.parquet").unlink()
    clicks.assign(seconds=[1, 2, 3]).to_parquet(tmp_path / "listens.parquet")
    with pytest.raises(DataError, match=r"several files of ratings, likes\.parquet, listens\.parquet"):
        read_ratings(tmp_path, Reading(clicks=True))


def test_parquet_files_of_one_kind__are_one_input(tmp_path, caplog):
    for name in ("3f2504e0-4f89-11d3-9a0c-0305e82c3301-0", "7d44a8b1-4f89-11d3-9a0c-0305e82c3302-0"):
        GOOD.to_parquet(tmp_path / f"{name}.parquet")
    assert len(ratings_files(tmp_path)) == 2
    assert caplog.messages == []
    GOOD.to_parquet(tmp_path / "more.parquet")
    assert len(ratings_files(tmp_path)) == 3
    assert caplog.messages[0].startswith("read as one input: 3f2504e0")
    (tmp_path / "more.parquet").write_bytes(b"PAR1")
    assert len(ratings_files(tmp_path)) == 3


def test_titles_without_names__are_said_with_their_columns(tmp_path, caplog):
    """As the Netflix Prize's, with commas in titles that nobody quoted."""
    titles = "".join(
        f"{row},{'NULL' if row == 3 else 2000 + row},{'Lost, The' if row == 1 else 'Found'}\n"
        for row in range(1, 7)
    )
    folder_of(tmp_path, {"combined_data_1.txt": "1:\n7,3,2005-09-06\n5,4,2005-09-07\n2:\n7,5,2005-09-08\n",
                         "movie_titles.csv": titles, "numbers.csv": "1,2,3\n" * 9})  # fmt: skip
    assert read_ratings(tmp_path).n_ratings == 3
    file, columns = caplog.messages[1].rstrip(".").partition("--catalogue ")[2].split(" --catalogue-columns ")
    named = dict(pair.split("=") for pair in columns.split(","))
    assert read_items(file, named).items["title"].to_pylist()[:2] == ["Lost, The", "Found"]


def test_two_files_that_tell_together_who_chose_what__are_joined_as_told(tmp_path, monkeypatch):
    orders = "order_id,user_id,eval_set\n1,7,prior\n2,5,prior\n"
    rows = "order_id,product_id,reordered\n1,10,0\n1,20,1\n2,10,0\n"
    folder_of(
        tmp_path, {"orders.csv": orders, "order_products.csv": rows, "products.csv": "product_id,x\n10,1\n"}
    )
    with pytest.raises(DataError, match="tell together who chose what") as caught:
        read_ratings(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(str(caught.value).split("`")[1], {"pandas": pd})
    assert read_ratings(tmp_path / "NEW.csv", Reading(clicks=True)).n_ratings == 3
    (tmp_path / "NEW.csv").unlink()
    folder_of(tmp_path, {"orders.csv": orders.replace("order_id", "id")})
    with pytest.raises(DataError, match="Name the file that holds the ratings"):
        read_ratings(tmp_path)
