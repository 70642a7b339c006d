"""What to do about a file in which a column is not found: told by what its first line holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from daskals.ratings.guessing import LEAST_ROWS, guess_columns
from daskals.ratings.likely_names import likely_columns
from daskals.ratings.times import LIKELY_FIRST, LIKELY_LAST

_VALUE = re.compile(
    r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?"
    r"|\d{4}-\d{2}-\d{2}([ T].*)?"
    r"|[0-9a-f]{32,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
"""A number, a date, a hash or a UUID: what stands in rows and seldom names a column."""

_TIME = re.compile(r"\d{9,10}|\d{12,13}")

_PLAIN = re.compile(r"[\w=,:./…-]*[\w…]")

_ROLES = ("user", "item", "rating", "timestamp", "weight")

_MOST_FIELDS = 12
"""Fields a row of ratings has; more of them are a matrix, with a column for each item."""

_UNNAMED = ("column_", "column", "f")
"""What Polars, DuckDB and Arrow call columns without names, before their numbers from 0."""

_MODEL = "--model=ials "

_SEEN = "That looks like a rating and not like names"


def remedy_of(
    found: Sequence[str],
    role: str,
    chosen: Mapping[str, str | None],
    *,
    counts: str | None,
    times: str | None,
    flags: str | None,
    rows: Sequence[Sequence[str]] = (),
    known: Mapping[str, str | None] | None = None,
    clicks: bool = False,
) -> str:
    """Say what to do where the column of a role is not found.

    Parameters
    ----------
    found
        Names of the columns.
    role
        What has no column; `named` where it has none of the name that was given.
    chosen
        Role → column of those found before.
    counts, times, flags
        Columns that may say how often somebody did what a row records, when, and whether they did.
    rows
        The first rows as texts where they are known, the one that was taken for names left out.
    known
        Role → column of all that are found, and None.
    clicks
        Whether rows without a rating are taken for clicks, so that no model need be named for them.
    """
    model = "" if clicks else _MODEL
    if any(_VALUE.fullmatch(name.strip()) for name in found):
        return _remedy_without_header(found, chosen.get("user"), rows, model)
    for kind in _UNNAMED:
        if role == "user" and list(found[:3]) == [f"{kind}{place}" for place in range(3)]:
            first = columns_option(dict(zip(_ROLES, found[:3], strict=False)))
            return f"Those are names for columns without any: perhaps {first}"
    if role == "rating":
        named = {"user": str(chosen["user"]), "item": str(chosen["item"])}
        timed = named | ({"timestamp": times} if times else {})
        rated = f"else name the rating with {columns_option(named | {'rating': '…'})}"
        if flags:
            return (
                f"If '{flags}' is 0 where something was shown and not clicked, "
                f"{'read it' if clicks else 'train'} with {model}"
                f"{columns_option(timed | {'rating': flags})} --leave-out-ratings=0; {rated}"
            )
        counted = columns_option(timed | ({"weight": counts} if counts else {}))
        return f"If its rows are clicks or plays, train with {_MODEL}{counted}; {rated}"
    told = "Name the columns with --columns=user=…,item=…,rating=…, and timestamp=…, weight=… where there are"
    if role != "named":
        more = (f",timestamp={times}" if times else "") + (f",weight={counts}" if counts else "")
        told += f"; of clicks and plays, which have no rating, with {model}--columns=user=…,item=…{more}"
    if _is_matrix(found, chosen.get("user"), rows, role):
        return f"{told}; where each column is an item, {_melted(str(chosen['user']))}"
    guess: dict[str, str] = {} if role == "named" else likely_columns(found, known or {})
    if {"user", "item"} <= set(guess):
        if times:
            guess["timestamp"] = times
        asked = "" if "rating" in guess else model
        return f"Perhaps {asked}{columns_option(guess)}; else name the columns that hold them"
    return told


def _is_matrix(found: Sequence[str], user: str | None, rows: Sequence[Sequence[str]], role: str) -> bool:
    """Tell whether each column beside the users' may be an item: whether all hold ratings or nothing."""
    others = [place for place, name in enumerate(found) if name != user]
    if not rows and len(found) <= _MOST_FIELDS:
        return False
    if role != "item" or len(others) < 2 or any(found[place].lower().endswith("id") for place in others):
        return False
    return all(_VALUE.fullmatch(row[place].strip() or "0") for row in rows for place in others)


def columns_option(columns: Mapping[str, str]) -> str:
    """Write role → name as the option that says so, in quotes where a shell would take it apart."""
    said = ",".join(f"{role}={name}" for role, name in columns.items())
    return f"--columns={said}" if _PLAIN.fullmatch(said) else f'--columns="{said}"'


def is_time(text: str) -> bool:
    """Tell whether a text is a time in seconds or milliseconds of the years 1995 to 2040."""
    text = text.strip()
    if not _TIME.fullmatch(text):
        return False
    return LIKELY_FIRST <= int(text) // (1 if len(text) <= 10 else 1000) < LIKELY_LAST


def _remedy_without_header(
    found: Sequence[str], user: str | None, rows: Sequence[Sequence[str]], model: str
) -> str:
    """Say how to count columns, by as many as there are; `user`: of users, `model`: the option for clicks."""
    if len(found) > _MOST_FIELDS and user is not None:
        return f"Where each column is an item, {_melted(user)}"
    if len(found) > _MOST_FIELDS and all(
        _VALUE.fullmatch(field.strip() or "0") for row in (found, *rows) for field in row
    ):
        return f"Where each column is an item, {_melted_without_names([found, *rows])}"
    if len(found) > 2 and list(found) == [str(place) for place in range(len(found))]:
        return "Those are pandas' names for columns without any: --columns=user=0,item=1,rating=2"
    if len(found) == 2:
        return f"That looks like a click and not like names: {model}--no-header --columns=user=1,item=2"
    if len(found) == 3 and is_time(found[2]):
        clicks = f"{model}--no-header --columns=user=1,item=2,timestamp=3"
        return f"Its last column looks like times; where its rows are clicks, train with {clicks}"
    guess = guess_columns([found, *rows])
    if guess:
        named = columns_option({role: str(guess[role]) for role in _ROLES if role in guess})
        asked = "" if "rating" in guess else model
        return f"{_SEEN}: perhaps {asked}--no-header {named}; tell by other numbers if it is not so"
    if len(found) <= 4 and _VALUE.fullmatch(found[2].strip()):
        return f"{_SEEN}: count the columns with --no-header --columns=user=1,item=2,rating=3"
    return (
        f"{_SEEN}: tell by numbers which column is which, with --no-header --columns=user=…,item=…,rating=…, "
        f"or of clicks and plays with {model}--no-header --columns=user=…,item=…, and weight=… of counts"
    )


def _melted_without_names(rows: Sequence[Sequence[str]]) -> str:
    """Say how a matrix without names becomes rows; a first column that counts the others' ratings is none."""
    counts = len(rows) >= LEAST_ROWS and all(_is_count_of(row) for row in rows)
    without = ".drop(columns=0)" if counts else ""
    said = "leave out the first column, which counts the others, and " if counts else ""
    return (
        f"{said}write a row for each rating, in pandas by `pandas.read_csv(FILE, header=None){without}"
        ".rename_axis('user').reset_index().melt('user', var_name='item', value_name='rating').dropna()"
        ".to_csv(NEW, index=False)`"
    )


def _is_count_of(row: Sequence[str]) -> bool:
    """Tell whether the first number is how many of the others are not the one that is there most often."""
    values = [field.strip() for field in row[1:] if field.strip()]
    most = max(map(values.count, set(values)), default=0)
    return row[0].strip().removesuffix(".0") in {str(len(values)), str(len(values) - most)}


def _melted(user: str) -> str:
    return (
        "write a row for each rating, in pandas by "
        f"`frame.melt(id_vars='{user}', var_name='item', value_name='rating').dropna()`"
    )
