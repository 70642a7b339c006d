"""Which columns of a file without names may hold what, told from its first rows: for advice, never taken.

Users come before items, as nearly everybody writes them; times, counted rows and kinds of events are known by
what they look like. What is left open is left to whoever knows the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from daskals.ratings.likely_times import looks_like_times

LEAST_ROWS = 5
"""Rows there have to be before anything is told from them."""

MOST_RATINGS = 21
"""Distinct values that the first rows of ratings have at most: half points from 0 to 10."""

LARGE = 1000
"""Of counts of people's first rows some are smaller."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z][A-Za-z _-]*")

Column = Sequence[str]


def guess_columns(rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return role → place of the columns that may hold it, from 1; without a user and an item nothing.

    Parameters
    ----------
    rows
        The first rows, as texts, all of one length.
    """
    if len(rows) < LEAST_ROWS:
        return {}
    columns = [tuple(field.strip() for field in column) for column in zip(*rows, strict=True)]
    timed = [are_times(column) for column in columns]
    left = [place for place, column in enumerate(columns) if not timed[place] and _may_tell(column)]
    ids = [place for place in left if _may_be_ids(columns[place])]
    if len(ids) < 2:
        return {}
    user, item = ids[:2]
    after = [place for place in left if place > item and len(set(columns[place])) > 1]
    after = [place for place in after if are_numbers(columns[place])]
    found = {"user": user, "item": item}
    ratings = [place for place in after if _may_be_ratings(columns[place])]
    if ratings:
        found["rating"] = ratings[-1]
    elif after and _may_be_counts(columns[after[-1]]):
        found["weight"] = after[-1]
    if any(timed):
        found["timestamp"] = timed.index(True)
    return {role: place + 1 for role, place in found.items()}


def are_times(column: Column) -> bool:
    """Tell whether texts are dates or times since 1970, of the years in which people rate."""
    return looks_like_times("", pa.array(column, pa.string()))


def are_counted(column: Column) -> bool:
    """Tell whether texts are whole numbers that go up by one: the numbers of rows."""
    if len(column) < LEAST_ROWS or not all(text.isdecimal() for text in column):
        return False
    first = int(column[0])
    return [int(text) for text in column] == list(range(first, first + len(column)))


def are_kinds(column: Column) -> bool:
    """Tell whether texts are a few words, as kinds of events or of goods are."""
    kinds = set(column)
    return 0 < 2 * len(kinds) <= len(column) and all(_WORD.fullmatch(kind) for kind in kinds)


def are_numbers(column: Column) -> bool:
    """Tell whether all texts are numbers."""
    return all(_NUMBER.fullmatch(text) for text in column)


def _may_tell(column: Column) -> bool:
    """Tell whether a column may hold ids or numbers: neither gaps nor counted rows nor kinds of events."""
    return all(column) and not are_counted(column) and not are_kinds(column)


def _may_be_ids(column: Column) -> bool:
    return not are_numbers(column) or all(text.isdecimal() for text in column)


def _may_be_ratings(column: Column) -> bool:
    values = {float(text) for text in column}
    halves = all((2 * value).is_integer() and abs(value) <= 100 for value in values)
    return halves and len(values) <= min(MOST_RATINGS, max(2, 3 * len(column) // 4))


def _may_be_counts(column: Column) -> bool:
    """Tell whether numbers may say how often: above 0, and not all as large as numbers of categories are."""
    return 0 < min(map(float, column)) < LARGE
