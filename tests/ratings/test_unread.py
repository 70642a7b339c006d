"""Columns by plain words, and what is said of those that stay unread: kinds of events."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import DataError
from daskals.fitting.fit import fit
from daskals.ingest import append_ratings, ingest, open_ratings
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


TWICE = pd.DataFrame({"user": [1, 1, 2], "item": [7, 7, 8], "rating": [2.0, 2.0, 1.0]})
AGAIN = pd.DataFrame({"user": [1, 2], "item": [7, 9], "rating": [1.0, 1.0]})


@pytest.mark.parametrize("clicks", [True, False])
def test_counts_that_take_the_place_of_others_are_told(tmp_path: Path, caplog, client, clicks: bool) -> None:
    """A file that grows holds a pair's rows again, one of a day does not: which it is, nobody can tell."""
    caplog.set_level(logging.WARNING)
    columns = {"user": "user", "item": "item", **({} if clicks else {"rating": "rating"})}
    for name, frame in (("old", TWICE), ("new", AGAIN)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    ingest(tmp_path / "old.csv", tmp_path / "store", ReadConfig(columns=columns))
    append_ratings(tmp_path / "new.csv", tmp_path / "store", ReadConfig(columns=columns))
    told = "pairs that were known and come again (1) count what the new rows say"
    assert (told in caplog.text) == clicks
    caplog.clear()
    model = fit(TWICE, TrainConfig(model="ials", rank=1, epochs=1, split="none", columns=columns), client)
    model.update(AGAIN, columns)
    assert (told in caplog.text) == clicks


def opened(source, columns=None):
    return open_ratings(source, ReadConfig(columns=columns))
