"""Columns by plain words, and what is said of those that stay unread: kinds of events."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ConfigError, DataError
from daskals.fitting.fit import fit
from daskals.ingest import append_ratings, ingest, open_ratings
from daskals.ratings.columns import KNOWN_NAMES, PLAIN_NAMES, find_column
from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from jobs.update import main as update

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


def counts_of(store) -> dict[tuple[int, int], float]:
    users = np.repeat(store.user_ids.to_numpy(), np.diff(store.indptr("user")))
    items = store.item_ids.to_numpy()[store.read_column("user", "indices", 0, store.n_ratings)]
    values = store.read_column("user", "values", 0, store.n_ratings)
    values = store.scale[values] if len(store.scale) else values
    return {(int(u), int(i)): float(v) for u, i, v in zip(users, items, values, strict=True)}


def test_weights_beside_ratings_are_told_where_they_are_not_named(caplog) -> None:
    frame = pd.DataFrame(
        {"user": [1, 1, 2], "item": [7, 8, 7], "rating": [4, 5, 3], "Weight": [1.0, 2.0, 0.5]}
    )
    named = {"user": "user", "item": "item", "rating": "rating"}
    table = from_frame(frame)
    assert table.weights is None
    assert "column 'Weight' is not read: each row counts once" in caplog.text
    assert '"weight": "Weight"' in caplog.text
    caplog.clear()
    assert from_frame(frame, Reading(columns={**named, "weight": "Weight"})).weights is not None
    from_frame(frame.assign(Weight=["a", "b", "c"]))  # no numbers
    from_frame(frame.rename(columns={"Weight": "views"}))  # of ratings it may say anything
    assert "is not read" not in caplog.text


def test_counts_add_up_where_that_is_asked_for(tmp_path: Path, caplog, client) -> None:
    caplog.set_level(logging.WARNING)
    columns = {"user": "user", "item": "item"}
    adding = ReadConfig(columns=columns, duplicates="sum")
    for name, frame in (("old", TWICE), ("new", AGAIN), ("newest", AGAIN[:1])):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    ingest(tmp_path / "old.csv", tmp_path / "store", adding)
    store = append_ratings(tmp_path / "new.csv", tmp_path / "store", adding)
    assert counts_of(store) == {(1, 7): 3, (2, 8): 1, (2, 9): 1}
    store = append_ratings(tmp_path / "newest.csv", tmp_path / "store", adding)
    assert counts_of(store) == {(1, 7): 4, (2, 8): 1, (2, 9): 1}
    with pytest.raises(DataError, match=r"new\.csv is in the store already, and would count twice"):
        append_ratings(tmp_path / "new.csv", tmp_path / "store", adding)
    config = TrainConfig(model="ials", rank=1, epochs=1, split="none", columns=columns, keep_ratings=9)
    model = fit(TWICE, config, client).update(AGAIN, columns, adding)
    whole = fit(pd.concat([TWICE, AGAIN]), config, client)
    assert sorted(model.kept.values) == sorted(whole.kept.scale[whole.kept.values]) == [1, 1, 3]
    assert "come again" not in caplog.text


def test_a_sum_in_one_reading__is_of_ratings_too() -> None:
    table = from_frame(TWICE, Reading(duplicates="sum"))
    assert table.values.tolist() == [4, 1]


def test_a_sum_for_a_model_of_ratings__is_refused(client) -> None:
    model = fit(TWICE, TrainConfig(model="als", rank=1, epochs=1, split="none", order="rating"), client)
    with pytest.raises(
        ConfigError, match=r'duplicates: found sum, for a model of ratings; .* model="ials", ad'
    ):
        model.update(AGAIN, config=ReadConfig(duplicates="sum"))


def test_values_that_are_no_rating__are_left_out_of_an_update(client, tmp_path: Path) -> None:
    """It was refused as off the scale."""
    model = fit(TWICE, TrainConfig(model="als", rank=1, epochs=1, split="none", order="rating"), client)
    given = pd.DataFrame({"user": [1, 2], "item": [8, 7], "rating": [-1.0, 2.0]})
    newer = model.update(given, config=ReadConfig(leave_out_ratings=(-1.0,)))
    assert newer.report["updates"][-1]["ratings"] == 1
    model.save(tmp_path / "model")
    given.to_csv(tmp_path / "new.csv", index=False, header=False)
    options = ["--no-header", "--columns", "1,2,3", "--leave-out-ratings", "-1", "--out", tmp_path / "out"]
    done = CliRunner().invoke(
        update, [str(part) for part in (tmp_path / "model", tmp_path / "new.csv", *options)]
    )
    assert "1 ratings: 1 users (0 new) and 1 items (0 new) were solved" in done.output


def opened(source, columns=None):
    return open_ratings(source, ReadConfig(columns=columns))


def test_ratings_of_a_pair_are_not_added_up():
    with pytest.raises(ConfigError, match="duplicates: found sum with model als; expected last, first, mean"):
        TrainConfig.parse({"model": "als", "duplicates": "sum"})
    assert TrainConfig.parse({"model": "ials", "duplicates": "sum"}).duplicates == "sum"
