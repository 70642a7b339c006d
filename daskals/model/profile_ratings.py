"""Ratings of one person handed over: a mapping, pairs, a pandas or an Arrow frame; ids or titles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from daskals.errors import DataError
from daskals.types import Float32, Int64

ProfileRatings: TypeAlias = Mapping[Any, float] | Iterable[tuple[Any, float]] | pd.DataFrame | pa.Table
"""Ratings of one person or item: what was rated (an original id or a title), and the rating."""

KEY_COLUMNS = ("item", "item_id", "movieId", "title", "user", "user_id", "userId", "id")


def read_profile_ratings(
    given: ProfileRatings,
    row_of: Callable[[Any], int],
    limits: tuple[float, float],
    name_of: Callable[[int], str],
) -> tuple[Int64, Float32]:
    """Check ratings and find their rows; both come by ascending row, shape (ratings,).

    Parameters
    ----------
    given
        The ratings. A frame has a column `rating` and one of `KEY_COLUMNS`.
    row_of
        Finds the row of an id or a title, or raises DataError.
    limits
        Lowest and highest rating of the scale.
    name_of
        Names a row in messages.

    Raises
    ------
    DataError
        If a key is not known, a rating is off the scale, or something is rated twice.
    """
    rows: dict[int, float] = {}
    low, high = limits
    for key, value in _pairs(given):
        row = row_of(key)
        try:
            rating = float(value)
        except (TypeError, ValueError):
            rating = math.nan
        if not low <= rating <= high:
            raise DataError(
                f"a rating of {value!r}", where=name_of(row), expected=f"a number from {low:g} to {high:g}"
            )
        if row in rows:
            raise DataError(
                "is rated twice", where=name_of(row), expected="one rating", remedy="Leave one of them out"
            )
        rows[row] = rating
    ascending = sorted(rows.items())
    return (
        np.array([row for row, _ in ascending], np.int64),
        np.array([rating for _, rating in ascending], np.float32),
    )


def read_profile_file(path: Path) -> pa.Table:
    """Read one person's ratings from a CSV or Parquet file with a column `rating` and one of ids or titles.

    Raises
    ------
    DataError
        If the file is missing, cannot be read, or lacks a column.
    """
    expected = f"a CSV or Parquet file with a column rating and one of {', '.join(KEY_COLUMNS)}"
    if not path.is_file():
        raise DataError("does not exist", where=str(path), expected=expected)
    try:
        return pq.read_table(path) if path.suffix in {".parquet", ".pq"} else arrow_csv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path), expected=expected) from None


def _pairs(given: ProfileRatings) -> Iterable[tuple[Any, Any]]:
    if isinstance(given, Mapping):
        return given.items()
    if isinstance(given, pd.DataFrame | pa.Table):
        names = list(given.columns) if isinstance(given, pd.DataFrame) else given.column_names
        key = next((name for name in KEY_COLUMNS if name in names), None)
        if key is None or "rating" not in names:
            raise DataError(
                f"the columns {', '.join(map(str, names)) or 'of nothing'}",
                where="ratings",
                expected=f"a column rating, and one of {', '.join(KEY_COLUMNS)}",
            )
        columns = [given[name].tolist() if isinstance(given, pd.DataFrame) else given[name].to_pylist()
                   for name in (key, "rating")]  # fmt: skip
        return zip(*columns, strict=True)
    return _checked_pairs(given)


def _checked_pairs(given: Iterable[tuple[Any, float]]) -> Iterable[tuple[Any, Any]]:
    for pair in given:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise DataError(
                f"found {pair!r}", where="ratings", expected="pairs of an id or a title and a rating"
            )
        yield pair[0], pair[1]
