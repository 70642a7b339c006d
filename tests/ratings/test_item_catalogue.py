"""Catalogues that somebody names: files and tables, their columns, their genres, and what is refused."""

from __future__ import annotations

import gzip

import pandas as pd
import pyarrow as pa
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings, resolve_store
from daskals.model.filters import Filters
from daskals.ratings.item_catalogue import read_items

pytestmark = pytest.mark.usefixtures("no_baseline")

RATINGS = pd.DataFrame(
    {
        "who": [1, 1, 2, 2, 3, 3, 3],
        "what": ["b1", "b2", "b1", "b3", "b2", "b3", "b1"],
        "stars": [5, 3, 4, 2, 1, 5, 4],
    }
)
COLUMNS = {"user": "who", "item": "what", "rating": "stars"}
BOOKS = pd.DataFrame(
    {
        "isbn": ["b3", "b1", "b9"],
        "name": ["Emma", "Dune", "Unread"],
        "kinds": ["Romance", "Children's|Sci-Fi", ""],
        "written": [1815, 1965, 2001],
    }
)
BOOK_COLUMNS = {"item": "isbn", "title": "name", "genres": "kinds", "year": "written"}
SMALL = TrainConfig.parse({"model": "als", "rank": 2, "epochs": 2, "split": "none"})


def expect(model) -> None:
    assert model.item_ids.to_pylist() == ["b1", "b2", "b3", "b9"]
    assert model.catalogue["title"].to_pylist() == ["Dune", None, "Emma", "Unread"]
    assert model.catalogue["year"].to_pylist() == [1965, None, 1815, 2001]
    assert model.catalogue["genres"].to_pylist() == [["Children", "Sci-Fi"], [], ["Romance"], []]


@pytest.mark.parametrize("form", ["table", "csv", "semicolons", "tab", "gz", "parquet"])
def test_fit__of_a_frame_with_a_catalogue(form, tmp_path):
    path = tmp_path / f"books.{ {'semicolons': 'csv', 'gz': 'csv.gz', 'tab': 'tsv'}.get(form, form) }"
    if form == "parquet":
        BOOKS.to_parquet(path)
    elif form != "table":
        text = BOOKS.to_csv(index=False, sep={"semicolons": ";", "tab": "\t"}.get(form, ","))
        path.write_bytes(gzip.compress(text.encode()) if form == "gz" else text.encode())
    config = SMALL.model_copy(update={"catalogue_columns": BOOK_COLUMNS})
    model = fit(RATINGS, config, columns=COLUMNS, catalogue=BOOKS if form == "table" else path)
    expect(model)
    assert list(model.recommend(1, 2, include_seen=True, filters=Filters(genres=("Romance",)))["title"]) == [
        "Emma"
    ]
    for genre in ("Children", "Children's"):
        found = model.recommend(1, 1, include_seen=True, filters=Filters(genres=(genre,)))
        assert list(found["title"]) == ["Dune"]
        model.fold_in_item([genre])


def test_fit__of_a_file_with_a_catalogue(tmp_path, monkeypatch):
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    ratings, books = tmp_path / "stars.csv", tmp_path / "books.csv"
    RATINGS.to_csv(ratings, index=False)
    BOOKS.to_csv(books, index=False)
    options = {
        "columns": "user=who,item=what,rating=stars",
        "catalogue": str(books),
        "catalogue_columns": "item=isbn,title=name,genres=kinds,year=written",
    }
    expect(fit(ratings, SMALL.model_copy(update=ReadConfig.parse(options).model_dump(exclude_unset=True))))
    expect(fit(ratings, SMALL.model_copy(update={"catalogue_columns": BOOK_COLUMNS}), columns=COLUMNS,
               catalogue=BOOKS))  # fmt: skip
    first = resolve_store(ratings, ReadConfig.parse(options))
    BOOKS.assign(name=["Emma", "Dune", "Read"]).to_csv(books, index=False)
    second = resolve_store(ratings, ReadConfig.parse(options))
    assert first.catalogue()["title"].to_pylist()[-1] == "Unread"
    assert second.catalogue()["title"].to_pylist()[-1] == "Read"


@pytest.mark.parametrize(
    ("table", "genres"),
    [
        (["a|b", "c"], [["a", "b"], ["c"]]),
        (["a, b", " c "], [["a", "b"], ["c"]]),
        (["a; b, c", None], [["a", "b, c"], []]),
        ([["a", "b"], ["c"]], [["a", "b"], ["c"]]),
        (pa.array(["a|b", ""]).dictionary_encode(), [["a", "b"], []]),
    ],
)
def test_genres_of_every_form(table, genres):
    found = read_items(pa.table({"ID": [1, 2], "Genre": table}))
    assert found.ids.to_pylist() == ["1", "2"]
    assert found.items["genres"].to_pylist() == genres


def test_years_come_from_titles_or_dates():
    assert read_items(pa.table({"item": [1], "title": ["Dune (1984)"]})).items["year"].to_pylist() == [1984]
    dated = read_items(pa.table({"item": [1, 2], "year": ["1984-12-14", "soon"]})).items
    assert dated["year"].to_pylist() == [1984, None]
    assert dated.column_names == ["year"]


def test_a_catalogue_without_genres_leaves_the_model_without():
    books = BOOKS.rename(columns={"isbn": "item", "name": "title"})[["item", "title"]]
    with open_ratings(RATINGS, ReadConfig(columns=COLUMNS), books) as store:
        assert store.catalogue().column_names == ["title", "year"]
        assert store.genres().names == []
    model = fit(RATINGS, SMALL.model_copy(update={"model": "auto"}), columns=COLUMNS, catalogue=books)
    assert model.report["model"]["taken"] == "als"
    assert model.recommend("1" if model.user_ids.type == pa.string() else 1, 1)["title"].notna().all()


@pytest.mark.parametrize(
    ("source", "columns", "error", "message"),
    [
        ("/nowhere/books.csv", None, DataError, r"/nowhere/books.csv: cannot be read"),
        (pa.table({"film": [1]}), None, DataError, "a column of item ids is missing; columns found: film"),
        (BOOKS, {"item": "isbn", "title": "titel"}, DataError, "the column 'titel' is missing; columns"),
        (BOOKS, {"title": "name"}, ConfigError, "no column named for item; expected item="),
        (BOOKS, {"item": "isbn", "rating": "name"}, ConfigError, "'rating' is nothing a column can be"),
        (pa.table({"item": [1, None], "title": ["a", "b"]}), None, DataError, "1 items without an id"),
        (pa.table({"item": [1]}), None, DataError, "ids and nothing about them"),
        (7, None, DataError, "catalogue: a int; expected a pandas, Polars or Dask frame"),
    ],
)
def test_catalogues_that_cannot_be_used(source, columns, error, message):
    with pytest.raises(error, match=message):
        read_items(source, columns)


def test_options_of_a_catalogue_are_checked():
    with pytest.raises(ConfigError, match=r"found 'item=a,stars=b'; expected item=NAME.,title=NAME"):
        ReadConfig.parse({"catalogue_columns": "item=a,stars=b"})


def test_a_catalogue_that_escapes_quotes_by_a_backslash(tmp_path):
    """As Book-Crossing's books: in Latin-1, between semicolons, out of web pages."""
    lines = [
        '"ISBN";"Book-Title";"Year-Of-Publication"',
        r'"0195153448";"Peterman Rides \"Again\"; or, F\u00fcr Elise &amp; Co &#039;s";"2002"',
        r'"0002005018";"C:\\Clara Callan";"2001"',
    ]
    content = "\r\n".join(lines).replace(r"\u00fc", "ü")
    (tmp_path / "books.csv").write_bytes(content.encode("latin-1"))
    items = read_items(tmp_path / "books.csv")
    assert items.items["title"].to_pylist() == [
        'Peterman Rides "Again"; or, Für Elise & Co \'s',
        r"C:\Clara Callan",
    ]
    assert items.items["year"].to_pylist() == [2002, 2001]


def test_backslashes_of_a_catalogue_without_escapes__stay(tmp_path):
    (tmp_path / "items.csv").write_text('id,title\n1,"a\\b ""c"""\n')
    assert read_items(tmp_path / "items.csv").items["title"].to_pylist() == ['a\\b "c"']
    (tmp_path / "items.csv").write_text("id,title\n1,a,b\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_items(tmp_path / "items.csv")


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


WRITTEN = [
    ("[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}]", ["Animation", "Comedy"]),
    ('[{"name": "Drama"}]', ["Drama"]),
    ("['Indie', 'Free to Play']", ["Indie", "Free to Play"]),
    ('["War", null]', ["War"]),
    ("[]", []),
    ("", []),
]


def test_genres_written_out_as_lists(tmp_path):
    """Each piece between two commas was a genre."""
    table = pa.table({"id": [str(k) for k in range(len(WRITTEN))], "genres": [text for text, _ in WRITTEN]})
    assert read_items(table).items["genres"].to_pylist() == [names for _, names in WRITTEN]


@pytest.mark.parametrize("text", ["[Drama", "[1, [2", "[]]", "[__import__('os')]"])
def test_brackets_that_are_no_list__are_texts(text):
    assert read_items(pa.table({"id": ["1"], "genres": [text]})).items["genres"].to_pylist()[0][0][0] == "["


def test_genres_between_slashes():
    items = read_items(pa.table({"movie_id": [1, 2], "genres": ["Drama/War", "War"]})).items
    assert items["genres"].to_pylist() == [["Drama", "War"], ["War"]]


def test_a_catalogue_without_names(tmp_path):
    """The Netflix Prize's titles: Latin-1, commas in titles, the year in the middle."""
    path = write(tmp_path / "t.csv", "1,2003,Dinosaur Planet\n2,NULL,Café, the\n3,1999,X\n", "latin-1")
    catalogue = read_items(path, {"item": "1", "year": "2", "title": "3"})
    assert catalogue.ids.to_pylist() == ["1", "2", "3"]
    assert catalogue.items["title"].to_pylist() == ["Dinosaur Planet", "Café, the", "X"]
    assert catalogue.items["year"].to_pylist() == [2003, None, 1999]
    with pytest.raises(DataError, match=r"looks like no names .* from 1 with catalogue_columns={"):
        read_items(path)


def test_a_few_rows_of_a_catalogue_that_do_not_fit__are_left_out(tmp_path, caplog):
    rows = "".join(f"{k},T{k}\n" for k in range(200))
    path = write(tmp_path / "c.csv", f"id,title\n{rows}7,a,b\n")
    assert len(read_items(path).ids) == 200
    assert "c.csv: 1 rows with too many or too few fields are left out" in caplog.text
    path = write(tmp_path / "c.csv", "id,title\n1,A\n7,a,b\n")
    with pytest.raises(DataError, match=r"c\.csv: cannot be read"):
        read_items(path)


def test_a_catalogue_of_few_of_the_items__is_said(tmp_path, caplog):
    """Goodbooks' books have two numbers, and both are small ones."""
    write(tmp_path / "r.csv", RATINGS.rename(columns=COLUMNS_BACK).to_csv(index=False))
    some = pd.DataFrame({"item": ["b1", "x", "y"], "title": ["A", "B", "C"]})
    resolve_store(tmp_path / "r.csv", ReadConfig(catalogue=str(write(tmp_path / "c.csv", some.to_csv()))))
    assert "2 of 3 rated items are not in the catalogue: where it numbers them otherwise" in caplog.text


COLUMNS_BACK = {name: role for role, name in COLUMNS.items()}


@pytest.mark.parametrize("s", ["", "s"])
def test_a_catalogue_beside_ratings__with_columns_of_others(tmp_path, s):
    write(tmp_path / f"rating{s}.csv", "userId,movieId,rating\n1,10,4\n2,20,3\n")
    text = "MOVIE_ID,NAME,GENRES,RELEASE_DATE\n10,Heat,Crime/Drama,1995-12-15\n20,Speed,Action,\n"
    write(tmp_path / f"movie{s}.csv", text)
    catalogue = resolve_store(tmp_path).catalogue()
    assert catalogue["title"].to_pylist() == ["Heat", "Speed"]
    assert catalogue["year"].to_pylist() == [1995, None]
    assert catalogue["genres"].to_pylist() == [["Crime", "Drama"], ["Action"]]


def test_names_in_the_singular__hold_what_those_in_the_plural_do(tmp_path):
    write(tmp_path / "rating.csv", '"userId","movieId","rating"\n1,10,4\n2,20,3\n')
    write(tmp_path / "movie.csv", "movieId,title,genres\n10,Heat (1995),Crime|Drama\n20,Speed,Action\n")
    write(tmp_path / "link.csv", "movieId,imdbId,tmdbId\n10,0113277,949\n")
    catalogue = resolve_store(tmp_path).catalogue()
    assert catalogue["imdb_id"].to_pylist() == ["0113277", None]
    write(tmp_path / "movie.csv", "movieId,title,genres\n10,Ronin (1998),Crime\n20,Speed,Action\n")
    assert resolve_store(tmp_path).catalogue()["title"].to_pylist() == ["Ronin (1998)", "Speed"]
