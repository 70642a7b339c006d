"""What makes ratings doubtful though they are numbers: counts taken for ratings, averages of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from daskals.errors import DataError
from daskals.ratings.missing_columns import columns_option
from daskals.ratings.notes import tell
from daskals.types import Float32, Int32

N_ROWS = 100_000
"""Rows that are looked at."""

LEAST_AGAIN = 100
"""Rows beyond one of each item there have to be before all of an item's ratings count as the same."""

LONG_TAIL = 20
"""How many times the median the highest of counts is at least: no stars or points go so far."""


class Sides(NamedTuple):
    """Numbers of users and items of each rating, shape (n_ratings,), below 0 where there is none."""

    user: Int32
    item: Int32


def note_doubts(sides: Sides, values: Float32, names: Mapping[str, str], *, where: str) -> None:
    """Say so where ratings look like counts, or where all of an item or a user are the same.

    Parameters
    ----------
    sides, values
        The ratings, values float32, shape (ratings,), NaN where there is none.
    names
        Role → name of the columns that are read.
    where
        What the input is called.
    """
    values = values[:N_ROWS]
    known = np.isfinite(values)
    values = values[known]
    if len(values) < LEAST_AGAIN:
        return
    people = {role: names[role] for role in ("user", "item", "timestamp") if role in names}
    found, remedy = "", ""
    for side, codes in zip(Sides._fields, sides, strict=True):
        if _is_of_side(codes[:N_ROWS][known], values):
            found = f"all ratings of {'an item' if side == 'item' else 'a user'} are the same, whoever "
            found += "rated it: an average, perhaps" if side == "item" else "they rated"
            remedy = f"Name what each person rated with {columns_option(people | {'rating': '…'})}"
    middle, most = float(np.median(values)), float(values.max())
    if not found and values.min() > 0 and most >= LONG_TAIL * middle:
        found = f"they go up to {most:g}, and half of them to {middle:g} at most: they look like counts"
        counted = columns_option(people | {"weight": names["rating"]})
        remedy = f"Train on clicks or plays with --model=ials {counted}"
    if found:
        note = DataError(found, where=f"{where}, column '{names['rating']}'", remedy=remedy)
        tell(note, where, doubt=True)


def _is_of_side(codes: Int32, values: Float32) -> bool:
    """Tell whether all ratings of a row are one, of many, for all rows."""
    order = np.lexsort((values, codes))
    codes, values = codes[order], values[order]
    again = codes[1:] == codes[:-1]
    if np.count_nonzero(again) < LEAST_AGAIN or len(np.unique(values)) < 3:
        return False
    return bool(np.all(values[1:][again] == values[:-1][again]))
