"""Ratings of one person handed over: a mapping, pairs, a pandas or an Arrow frame; ids or titles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.config.arguments import shown
from daskals.errors import DataError
from daskals.model.lookup import LookupModel
from daskals.model.profile import RatedRows
from daskals.ratings.columns import KNOWN_NAMES, LIKELY_COUNTS, find_known, first_known
from daskals.ratings.text_table import read_text_table
from daskals.types import Side

ProfileRatings: TypeAlias = (
    Mapping[Any, float] | Iterable[tuple[Any, float]] | Iterable[Any] | pd.DataFrame | pa.Table
)
"""Ratings of one person or item: what was rated (an original id or a title), and the rating; of clicks what
was clicked, each once or with how often."""

ONCE = 1.0
"""What is clicked counts where nothing says how often."""

ANY_ID = ("id",)
"""Names of a column of ids that do not say whose."""

TITLES = ("title",)


def read_profile_ratings(given: ProfileRatings, model: LookupModel, side: Side) -> RatedRows:
    """Check ratings and find their rows; both come by ascending row.

    Parameters
    ----------
    given
        The ratings. A frame has a column of ratings and one of ids of the side, or of titles: a column of
        ids holds nothing else, nor does one of titles. A mapping's or a pair's key may be either; a text
        that is written like an id is one. For a model of clicks keys alone, or a frame without ratings, are
        enough: each counts once, or as a frame's column of counts says, and what stands there twice adds up.
    model
        Finds the rows, and tells the scale.
    side
        What was rated with: "item" for a person's ratings, "user" for an item's.

    Raises
    ------
    DataError
        If a key is not known, a rating is missing or off the scale, something is rated twice, or a frame
        holds the ratings of several people (or items).
    """
    find, pairs = _keyed(given, model, side)
    return checked_rows(((find(key), value) for key, value in pairs), model, side)


def checked_rows(pairs: Iterable[tuple[int, Any]], model: LookupModel, side: Side) -> RatedRows:
    """Check ratings whose rows are known; both come by ascending row, counts of a row added up.

    Parameters
    ----------
    pairs
        Rows and their ratings.
    model, side
        As in `read_profile_ratings`.

    Raises
    ------
    DataError
        If a rating is off the scale, or something is rated twice.
    """
    rows: dict[int, float] = {}
    low, high = model.profile_limits
    name_of = model.item_name if side == "item" else model.user_name
    for row, value in pairs:
        try:
            rating = float(value)
        except (TypeError, ValueError):
            rating = math.nan
        if not low <= rating <= high:
            given = shown(value) if math.isnan(rating) else f"{rating:g}"
            scale = f"from {low:g} to {high:g}" if model.predicts_ratings else "above 0"
            raise DataError(
                f"a {model.observed_as} of {given}", where=name_of(row), expected=f"a number {scale}"
            )
        if row in rows and not model.predicts_ratings:
            rating += rows[row]
        elif row in rows:
            raise DataError(
                "is rated twice", where=name_of(row), expected="one rating", remedy="Leave one of them out"
            )
        rows[row] = rating
    ascending = sorted(rows.items())
    return RatedRows(
        np.array([row for row, _ in ascending], np.int64),
        np.array([rating for _, rating in ascending], np.float32),
    )


def read_profile_file(path: Path) -> pa.Table:
    """Read one person's ratings from a CSV or Parquet file with a column `rating` and one of ids or titles.

    Raises
    ------
    DataError
        If the file is missing or cannot be read.
    """
    return read_text_table(path, "a CSV or Parquet file with a column rating, and one of item ids or titles")


def _keyed(
    given: ProfileRatings, model: LookupModel, side: Side
) -> tuple[Callable[[Any], int], Iterable[tuple[Any, Any]]]:
    """Return what finds the row of a key, and the pairs of key and rating."""
    if isinstance(given, pd.DataFrame | pa.Table):
        return _of_frame(given, model, side)
    find = model.find_item if side == "item" else model.find_user
    if isinstance(given, Mapping):
        return find, given.items()
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(
            f"found {shown(given)}",
            where="ratings",
            expected="a mapping, pairs or a frame of ids or titles and ratings",
        )
    return find, _checked_pairs(given, bare=not model.predicts_ratings)


def _of_frame(
    given: pd.DataFrame | pa.Table, model: LookupModel, side: Side
) -> tuple[Callable[[Any], int], Iterable[tuple[Any, Any]]]:
    names = [str(name) for name in (given.columns if isinstance(given, pd.DataFrame) else given.column_names)]
    rating, ids = _named(model, names, "rating"), _named(model, names, side)
    if rating is None and not model.predicts_ratings:
        rating = _named(model, names, "weight") or first_known(names, LIKELY_COUNTS)
    ids = ids or next((name for name in names if name.casefold() in ANY_ID), None)
    title = next((name for name in names if side == "item" and name.casefold() in TITLES), None)
    key = ids or title
    if key is None or (rating is None and model.predicts_ratings):
        own = _own_columns(model).get(side)
        usual = (*KNOWN_NAMES[side][:4], *ANY_ID, *(TITLES if side == "item" else ()))
        known = dict.fromkeys([*([own] if own else []), *usual])
        raise DataError(
            f"the columns {', '.join(names) or 'of nothing'}",
            where="ratings",
            expected=f"{'a column rating, and ' if model.predicts_ratings else ''}one of {', '.join(known)}",
        )
    _require_one(given, names, "user" if side == "item" else "item")
    find: Callable[[Any], int] = model.find_item_by_title
    if ids is not None:
        find = model.find_item_by_id if side == "item" else model.find_user
    values = [ONCE] * len(given) if rating is None else _values(given, rating)
    return find, zip(_values(given, key), values, strict=True)


def _named(model: LookupModel, names: list[str], role: str) -> str | None:
    """Return the column of a role: as the ratings that trained the model call it, else as it is usual."""
    own = _own_columns(model).get(role)
    return own if own in names else find_known(names, role)


def _own_columns(model: LookupModel) -> Mapping[str, str]:
    """Return role → name of the columns that were named at training."""
    return model.report.get("config", {}).get("columns") or {}


def _require_one(given: pd.DataFrame | pa.Table, names: list[str], side: Side) -> None:
    """Refuse the ratings of several people as one person's, and of several items as one's."""
    column = find_known(names, side)
    if column is None:
        return
    several = dict.fromkeys(value for value in _values(given, column) if value is not None)
    if len(several) > 1:
        first = ", ".join(repr(value) for value in list(several)[:2])
        raise DataError(
            f"the ratings of {len(several):,} {side}s, {first} and so on",
            where=f"ratings, column '{column}'",
            expected=f"the ratings of one {side}",
            remedy=f"Keep the rows of one {side}",
        )


def _values(given: pd.DataFrame | pa.Table, name: str) -> list[Any]:
    return list(given[name].tolist() if isinstance(given, pd.DataFrame) else given[name].to_pylist())


def _checked_pairs(given: Iterable[Any], *, bare: bool) -> Iterable[tuple[Any, Any]]:
    """Yield pairs; of clicks (`bare`) keys may stand alone."""
    for pair in given:
        if isinstance(pair, tuple | list) and len(pair) == 2:
            yield pair[0], pair[1]
        elif bare and not isinstance(pair, tuple | list):
            yield pair, ONCE
        else:
            raise DataError(
                f"found {shown(pair)}",
                where="ratings",
                expected=f"{'ids or titles, or ' if bare else ''}pairs of an id or a title and "
                f"{'how often' if bare else 'a rating'}",
            )
