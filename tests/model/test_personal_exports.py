"""Ratings of one person as Letterboxd, IMDb and MovieLens export them."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.model.personal_exports import read_export
from tests.cases.movies import TRAINING, write_movies

pytestmark = pytest.mark.usefixtures("no_baseline")

LETTERBOXD = """Date,Name,Year,Letterboxd URI,Rating
2024-01-02,Toy Story,1995,https://boxd.it/2aHI,4.5
2024-01-03,Hamlet,1996,https://boxd.it/1,3
2024-01-03,The Matrix,1999,https://boxd.it/2a1m,
2024-01-04,"Never, Ever",2001,https://boxd.it/9,2
"""
IMDB = """Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Year,Genres
tt0114709,9,2024-01-02,A Toy's Story,Toy Story,https://www.imdb.com/title/tt0114709/,Movie,8.3,1995,Animation
tt7777777,6,2024-01-03,Hamlet,Hamlet,https://www.imdb.com/title/tt7777777/,Movie,7.7,1996,Drama
tt8888888,4,2024-01-04,"Never, Ever","Never, Ever",https://www.imdb.com/title/tt8888888/,Movie,5.0,2001,Drama
"""
MOVIELENS = """movie_id,imdb_id,tmdb_id,rating,average_rating,title
1,0114709,862,4.5,3.9,Toy Story (1995)
4,,,3,3.7,Hamlet (1996)
99999,,,2,3.0,"Never, Ever (2001)"
100000,,,-1,3.0,Hidden (2001)
"""
EXPORTS = {"Letterboxd": LETTERBOXD, "IMDb": IMDB, "MovieLens": MOVIELENS}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    plain = fit(write_movies(tmp_path_factory.mktemp("exports") / "ml-planted"), TRAINING)
    links = [None] * len(plain.item_ids)
    links[plain.find_item("Toy Story (1995)")] = "0114709"
    catalogue = plain.catalogue
    if "imdb_id" in catalogue.column_names:
        catalogue = catalogue.drop_columns("imdb_id")
    return replace(plain, catalogue=catalogue.append_column("imdb_id", pa.array(links, pa.string())))


@pytest.mark.parametrize("source", EXPORTS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_fold_in__of_an_export_takes_what_is_known_and_lists_the_rest(model, source, mark, tmp_path, caplog):
    path = tmp_path / "anything.csv"
    path.write_bytes(mark + EXPORTS[source].encode())
    with caplog.at_level(logging.WARNING):
        person = model.fold_in(path)
    rated = {"Toy Story (1995)": 4.5, "Hamlet (1996)": 3.0}
    np.testing.assert_array_equal(person.row, model.fold_in(rated).row)
    assert "1 titles are not known: Never, Ever (2001)" in caplog.text
    assert read_export(model, path).source == source
    np.testing.assert_array_equal(model.fold_in(str(path)).rated, person.rated)


def test_read_export__stretches_to_the_models_scale_and_keeps_within_it(model):
    ten = replace(model, limits=(1.0, 10.0))
    toy = model.item_ids[model.find_item("Toy Story (1995)")].as_py()
    assert read_export(ten, LETTERBOXD.encode()).ratings[toy] == 9.0
    assert read_export(ten, IMDB.encode()).ratings[toy] == 9.0
    lowest = LETTERBOXD.replace("2aHI,4.5", "2aHI,0.5").encode()
    assert read_export(replace(model, limits=(1.0, 5.0)), lowest).ratings[toy] == 1.0


def test_read_export__of_movielens_goes_by_its_ids_where_a_model_has_no_titles(model):
    bare = replace(model, catalogue=None)
    assert read_export(bare, MOVIELENS.encode()).ratings[1] == 4.5


@pytest.mark.parametrize("content", [b"title,rating\nToy Story,5\n", b"\x89PNG\xff\xfe", b""])
def test_read_export__knows_what_is_no_export(model, content):
    assert read_export(model, content) is None


def test_read_export__says_where_nothing_is_known(model):
    with pytest.raises(DataError, match="a file of Letterboxd with 3 rated titles, none of which the model"):
        read_export(replace(model, catalogue=None), LETTERBOXD.encode())


def test_fold_in__of_an_ordinary_file_or_none(model, tmp_path):
    (tmp_path / "mine.csv").write_text("title,rating\nToy Story (1995),5\n")
    np.testing.assert_array_equal(
        model.fold_in(tmp_path / "mine.csv").row, model.fold_in({"Toy Story (1995)": 5}).row
    )
    with pytest.raises(DataError, match="does not exist; expected a CSV or Parquet file"):
        model.fold_in(tmp_path / "absent.csv")
