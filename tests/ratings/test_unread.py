"""Columns by plain words, and what is said of those that stay unread: kinds of events."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.config import ReadConfig
from daskals.errors import DataError
from daskals.ingest import open_ratings
from daskals.ratings.columns import KNOWN_NAMES, PLAIN_NAMES, find_column

EVENTS = pd.DataFrame(
    {
        "visitorid": [1, 1, 1, 2, 2],
        "itemid": [7, 7, 8, 7, 9],
        "event": ["view", "view", "view", "view", "addtocart"],
    }
)
OF_EVENTS = {"user": "visitorid", "item": "itemid"}


@pytest.mark.parametrize(
    ("role", "word"), [(role, word) for role in PLAIN_NAMES for word in PLAIN_NAMES[role]]
)
def test_a_plain_word_is_taken_where_it_is_the_only_one(role: str, word: str) -> None:
    other = PLAIN_NAMES[role][0 if word != PLAIN_NAMES[role][0] else 1]
    assert find_column([word.title(), "rating"], role) == word.title()
    assert find_column([word, other], role) is None
    known = KNOWN_NAMES[role][0]
    assert find_column([word, known, other], role) == known


def test_a_first_row_that_holds_such_a_word_is_no_header(tmp_path: Path) -> None:
    remark = "# a session about a film\n"
    (tmp_path / "r.csv").write_text(remark + "anna,book,5\nberta,game,4\nanna,game,3\n")
    with opened(tmp_path / "r.csv", {"user": "1", "item": "2", "rating": "3"}) as store:
        assert (store.n_ratings, store.item_ids.to_pylist()) == (3, ["book", "game"])


def test_no_name_is_in_two_tables() -> None:
    names = [name for table in (KNOWN_NAMES, PLAIN_NAMES) for role in table for name in set(table[role])]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("header", ["listener,artist,track,rating", "customer,session,sku,rating"])
def test_which_of_two_is_meant_is_asked(tmp_path: Path, header: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"{header}\n1,2,3,4\n2,3,4,5\n")
    with pytest.raises(DataError, match=r"the column for the (item|user) is missing"), opened(path):
        pass


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "frame"])
def test_kinds_of_events_that_all_count_once_are_told(tmp_path: Path, caplog, monkeypatch, kind: str) -> None:
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / f"r.{kind}"
    if kind == "csv":
        EVENTS.to_csv(path, index=False)
    elif kind == "jsonl":
        EVENTS.to_json(path, orient="records", lines=True)
    elif kind == "parquet":
        EVENTS.to_parquet(path)
    caplog.set_level(logging.WARNING)
    with opened(EVENTS if kind == "frame" else path, OF_EVENTS) as store:
        values = store.read_column("user", "values", 0, store.n_ratings)
        np.testing.assert_array_equal(store.scale[values] if len(store.scale) else values, [2, 1, 1, 1])
    told = [text for text in caplog.messages if "'event' is not read" in text]
    assert len(told) == 1
    assert "each row counts once, whatever it says ('view', 'addtocart'), and the rows" in told[0]
    remedy = '"item": "itemid", "weight": "…"' if kind == "frame" else "user=visitorid,item=itemid,weight=…"
    assert remedy in told[0]


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        (EVENTS.assign(event="view"), OF_EVENTS),
        (EVENTS.assign(n=[1, 1, 1, 1, 5]), {**OF_EVENTS, "weight": "n"}),
        (EVENTS.drop(columns="event"), OF_EVENTS),
        (EVENTS.assign(rating=3), None),
    ],
    ids=["one kind", "weighed", "no kinds", "ratings"],
)
def test_nothing_is_told_where_kinds_say_nothing(caplog, frame: pd.DataFrame, columns) -> None:
    caplog.set_level(logging.WARNING)
    with opened(frame, columns):
        pass
    assert "is not read" not in caplog.text


def opened(source, columns=None):
    return open_ratings(source, ReadConfig(columns=columns))
