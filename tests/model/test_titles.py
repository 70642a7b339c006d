"""Titles as people type them: exact, without year or article, by some words, mistyped, not there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from daskals.errors import DataError
from daskals.model.titles import TitleIndex, plain_title, year_typed

TITLES = [
    "Toy Story (1995)",
    "Toy Story 2 (1999)",
    "Lion King, The (1994)",
    "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
    "Hamlet (1990)",
    "Hamlet (1996)",
    "Star Wars: Episode IV - A New Hope (1977)",
    "Star Wars: Episode V - The Empire Strikes Back (1980)",
    "2001: A Space Odyssey (1968)",
    "1984 (1956)",
    None,
]
INDEX = TitleIndex(pa.array(TITLES), np.array([90, 80, 70, 60, 5, 50, 40, 30, 20, 10, 99]))


@pytest.mark.parametrize(
    ("typed", "row", "is_exact"),
    [
        ("Toy Story (1995)", 0, True),
        ("toy story (1995) ", 0, True),
        ("toy story", 0, False),
        ("Toy Story 1995", 0, False),
        ("toy stroy", 0, False),
        ("toy story 2", 1, False),
        ("the lion king", 2, False),
        ("Lion King", 2, False),
        ("amélie", 3, False),
        ("Le fabuleux destin d'Amelie Poulain", 3, False),
        ("hamlet", 5, False),
        ("hamlet 1990", 4, False),
        ("star wars", 6, False),
        ("empire strikes", 7, False),
        ("2001 a space odyssey", 8, False),
        ("1984", 9, False),
    ],
)
def test_resolve__finds_what_is_meant(typed, row, is_exact):
    match = INDEX.resolve(typed)
    assert (match.row, match.title, match.is_exact) == (row, TITLES[row], is_exact)


@pytest.mark.parametrize("typed", ["qwertz", "hamlet 2031", "", "   ", "!!"])
def test_resolve__suggests_three_where_nothing_is_like_it(typed):
    with pytest.raises(DataError, match="no title is like") as error:
        INDEX.resolve(typed)
    nearest = str(error.value).partition("the nearest are ")[2].removesuffix(".").split("; ")
    assert len(nearest) == 3
    assert {name.strip("'\"") for name in nearest} < set(TITLES[:-1])


def test_nearest__takes_no_short_title_inside_the_text():
    titles = ["It (1990)", "Us (2019)", "Interstellar (2014)", "The Interstellar Voyage of Kubrick (2020)"]
    index = TitleIndex(pa.array(titles), np.array([900, 800, 70, 5]))
    assert index.nearest("interstelar it", 1).tolist() == [2]
    assert index.nearest("voyage of kubrik", 1).tolist() == [3]
    assert index.nearest("it", 1).tolist() == [0]


def test_search__follows_what_is_typed():
    assert INDEX.search("to").tolist() == [0, 1]
    assert INDEX.search("story to").tolist() == [0, 1]
    assert INDEX.search("toy story 1999").tolist() == [1]
    assert INDEX.search("", 3).tolist() == [0, 1, 2]
    assert INDEX.search("", 3, np.arange(11) > 1).tolist() == [2, 3, 5]
    assert INDEX.search("haml").tolist() == [5, 4]
    assert INDEX.search("toy stroy", 1).tolist() == [0]
    assert INDEX.search("qwertz").tolist() == []


def test_plain_title_and_year():
    assert plain_title("Lion King, The (1994)") == plain_title("The lion king") == "lion king"
    assert plain_title("Monsters, Inc. (2001)") == "monsters inc"
    assert plain_title("A") == "a"
    assert year_typed("Hamlet (1990)") == year_typed("hamlet 1990") == 1990
    assert year_typed("1984") is None
    assert year_typed("Room 237") is None
