"""Arguments that are nothing such: each is one message, with what was found, where and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import daskals
from daskals.config.arguments import MOST_SHOWN, shown
from daskals.errors import ConfigError, DataError, NumericalError
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.times import TimeRows, seconds_of
from daskals.store.timing import Timing

pytestmark = pytest.mark.usefixtures("no_baseline")

FRAME = pd.DataFrame(
    [(user, item, float(1 + (user * item) % 5)) for user in range(6) for item in range(5)],
    columns=["user", "item", "rating"],
)
ITEMS = pd.DataFrame(
    {"item": range(5), "title": list("vwxyz"), "genres": [["Drama"], ["Noir"]] * 2 + [["Noir"]]}
)
CONFIG = daskals.TrainConfig(model="als", rank=3, epochs=1, split="none")


@pytest.fixture(scope="module")
def model() -> Model:
    return daskals.fit(FRAME, CONFIG, catalogue=ITEMS)


def of_item(model: Model) -> object:
    return model.fold_in_item(["Drama"])


def of_person(model: Model) -> object:
    return model.fold_in({0: 5})


Ask = Callable[[Model], object]

OPTIONS: dict[str, tuple[Ask, str]] = {
    "n as text": (lambda m: m.recommend(0, "3"), "n: found '3'; expected a whole number from 1 to 5"),
    "n of halves": (lambda m: m.recommend(0, 2.5), "n: found 2.5; expected a whole number"),
    "n true": (lambda m: m.recommend(0, True, include_seen=True), "n: found True"),
    "n of nothing": (lambda m: m.recommend(0, None, include_seen=True), "n: found None"),
    "n below one": (lambda m: m.popular(0), "n: found 0; expected a whole number from 1 up"),
    "popular n": (lambda m: m.popular("x"), "n: found 'x'"),
    "alpha": (lambda m: m.recommend(0, alpha="x"), "alpha: found 'x'; expected a number from 0 up"),
    "weight": (lambda m: m.recommend(0, bias_weight=[1]), r"bias_weight: found \[1\]"),
    "diversity": (lambda m: m.recommend(0, diversity="x"), "diversity: found 'x'; expected a number"),
    "output": (lambda m: m.popular(output="polars"), "output: found 'polars'; expected 'pandas' or"),
    "users as text": (lambda m: m.recommend(users="12"), "users: found '12'; expected a list"),
    "users as one": (lambda m: m.recommend(users=3), "users: found 3"),
    "filters": (lambda m: m.recommend(0, filters={"deny": (1,)}), "filters: found {'deny'.*Filters"),
    "genres as text": (lambda _: Filters(genres="Drama"), "genres: found 'Drama'; expected a list"),
    "years as one": (lambda _: Filters(years=1990), "years: found 1990; expected the first year and"),
    "years as text": (lambda _: Filters(years=("1990", "1999")), "years: found .*'1990'"),
    "least ratings": (lambda _: Filters(min_ratings="3"), "min_ratings: found '3'; expected a whole"),
    "allow": (lambda _: Filters(allow="Alien"), "allow: found 'Alien'; expected a list"),
    "deny": (lambda _: Filters(deny=3), "deny: found 3; expected a list"),
    "items": (lambda m: m.scores(0, "v"), "items: found 'v'; expected a list"),
    "one pair": (lambda m: m.predict(0, 1), "users: found 0; expected a list or a column"),
    "texts for pairs": (lambda m: m.predict([0, 1], "12"), "items: found '12'"),
    "tables for pairs": (lambda m: m.predict(FRAME[["user"]], FRAME[["item"]]), "users: found"),
    "new genres": (lambda m: m.fold_in_item("Drama"), "genres: found 'Drama'; expected a list"),
    "new year": (lambda m: m.fold_in_item(["Drama"], year="1999"), "year: found '1999'; expected a year"),
    "new start": (lambda m: m.fold_in_item(["Drama"], start="mean"), "start: found 'mean'; expected 'g"),
    "updating by text": (lambda m: m.update(FRAME, "user=a"), "columns: found 'user=a'; expected a map"),
    "saving nowhere": (lambda m: m.save(None), "path: found None; expected a path"),
    "loading": (lambda _: Model.load(3), "path: found 3; expected a path"),
    "loading by any name": (lambda _: daskals.load_model(3), "where: found 3; expected a path"),
    "a table to ingest": (lambda _: daskals.ingest(FRAME, "s"), "source: found user item"),
    "options": (lambda _: daskals.fit(FRAME, {"rank": 2}), "config: found {'rank': 2}; expected a daskals"),
    "no options": (lambda _: daskals.fit(FRAME, {}), "config: found {}; expected a daskals.TrainConfig"),
    "client": (lambda _: daskals.fit(FRAME, CONFIG, 3), "client: found 3; expected a connected"),
    "callbacks": (lambda _: daskals.cross_validate(FRAME, CONFIG, None, print), "callbacks: found <built"),
    "columns": (lambda _: daskals.fit(FRAME, CONFIG, columns="user"), "columns: found 'user'; expected a m"),
}
"""What is refused with a ConfigError."""

DATA: dict[str, tuple[Ask, str]] = {
    "a table for a user": (lambda m: m.recommend(FRAME), "the model does not know user user item rating"),
    "ratings of nothing": (lambda m: m.fold_in(None), "ratings: found None; expected a mapping, pairs"),
    "ratings as bytes": (lambda m: m.fold_in(b"x"), "ratings: found b'x'"),
    "an item for a user": (lambda m: m.recommend(of_item(m)), "user: found the profile of an item"),
    "an item's reasons": (lambda m: m.explain(of_item(m), 0), "expected the profile of a person, as fold_in"),
    "an item like users": (lambda m: m.similar_users(of_item(m)), "user: found the profile of an item"),
    "a user like items": (lambda m: m.similar_items(of_person(m)), "item: found the profile of a person"),
    "a new user scored": (lambda m: m.scores_of_new(of_person(m), [0]), "item: found the profile of a"),
    "an id scored": (lambda m: m.scores_of_new(0, [0]), "item: found 0; expected the profile of an item"),
    "an id for a profile": (lambda m: m.predict_profile(5), "profile: found 5; expected the profile"),
}
"""What is refused with a DataError."""


@pytest.mark.parametrize("name", [*OPTIONS, *DATA])
def test_what_is_nothing_such_is_told(name: str, model: Model) -> None:
    ask, text = (OPTIONS | DATA)[name]
    with pytest.raises(ConfigError if name in OPTIONS else DataError, match=text) as caught:
        ask(model)
    assert "\n" not in str(caught.value)


def test_an_existing_folder_is_treated_by_a_known_word_only(model: Model, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="existing: found 'maybe'; expected 'refuse' or 'replace' or 'keep'"
    ):
        model.save(tmp_path / "m", existing="maybe")
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_numbers(model: Model) -> None:
    listed = model.recommend(np.int64(0), np.int32(2), diversity=np.float32(0.5), include_seen=True)
    assert len(listed) == 2
    filters = Filters(min_ratings=np.int64(1), years=(None, np.int64(2000)), genres=["Drama"])
    assert filters.years == (None, 2000)


def test_a_long_value_is_shown_in_part() -> None:
    assert shown("x" * 500) == f"'{'x' * (MOST_SHOWN - 2)}…"


NEW_YEAR = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "when",
    [
        "2020-01-01", "2020-01-01T02:00:00+02:00", "2020-01-01T00:00:00Z", NEW_YEAR, float(NEW_YEAR),
        datetime(2020, 1, 1), datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        pd.Timestamp("2020-01-01", tz="UTC"), pd.Series(pd.to_datetime(["2020-01-01"], utc=True)),
        np.datetime64("2020-01-01"), "2020",
    ],
)  # fmt: skip
def test_a_date_is_read_whatever_its_zone_and_without_a_warning(when: object) -> None:
    assert seconds_of(when).tolist() == [NEW_YEAR]


@pytest.mark.parametrize(
    "when", ["x", None, float("nan"), 1e30, True, b"x", pd.NaT, [None], "2020-13-01", [3j]]
)
def test_what_is_no_date_is_told(when: object) -> None:
    with pytest.raises(ConfigError, match=r"as_of: found .*, which is no date; expected a day such as"):
        seconds_of(when)


def test_a_model_is_as_of_one_date() -> None:
    bins = np.array([18_262, 18_263])  # of the new year 2020, and of the day after
    dates = TimeRows(Timing("day", bins, np.array([3, 4])), np.zeros((3, 2), np.float32), 1)
    assert dates.row_of("2020-01-02") == 1
    for several, n in ((["2020-01-01", "2020-01-02"], 2), ([], 0)):
        with pytest.raises(ConfigError, match=f"as_of: found {n} dates; expected one"):
            dates.row_of(several)


def test_ratings_that_float32_cannot_square_are_told() -> None:
    huge = daskals.fit(FRAME.assign(rating=FRAME["rating"] * 1e30), CONFIG)
    with pytest.raises(
        NumericalError, match=r"user 1 of 1 to be placed: .*; expected ratings .*divide the ratings"
    ):
        huge.fold_in({0: 4e30})
