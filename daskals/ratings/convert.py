"""Conversion of an input's columns, whatever their types, to raw ratings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.errors import DataError
from daskals.ratings.columns import ColumnNames
from daskals.ratings.doubts import Sides, note_doubts
from daskals.ratings.ids import number_ids
from daskals.ratings.notes import take_note
from daskals.ratings.numbers import (
    Ratings,
    convert_ratings,
    convert_weights,
    is_text,
    missing_ids,
    parse_numbers,
    plain_column,
)
from daskals.ratings.raw import Fault, Origin, RawRatings
from daskals.ratings.several_ids import refuse_several_ids
from daskals.ratings.time_columns import note_no_times
from daskals.ratings.times import Timestamps, convert_timestamps
from daskals.types import Float32

_LONG_AGO = 31_536_000
"""1971: small numbers count days, weeks or sessions."""

_MANY = 100
"""Rows that are more than an example."""

EXACT_UP_TO = 2.0**24
"""Whole numbers up to here are kept as they are in float32."""


def convert_table(
    table: pa.Table, names: ColumnNames, origin: Origin, malformed: Fault | None = None
) -> RawRatings:
    """Return numbered ids, converted ratings and timestamps, and what is wrong with them.

    Parameters
    ----------
    table
        Columns named by role: `user`, `item`, `rating`, perhaps `weight`, and, where there are times,
        `timestamp`; the weights of observations without ratings are how often they were made.
    names
        Their names in the input, for messages.
    origin
        Where the rows came from.
    malformed
        Lines that are no rows of `table`.

    Raises
    ------
    DataError
        Where a column's type cannot hold what it should.
    """
    users = number_ids(table["user"], where=origin.name, name=names.user)
    items = number_ids(table["item"], where=origin.name, name=names.item)
    for side, name in ((users, names.user), (items, names.item)):
        refuse_several_ids(side.ids, where=origin.name, name=name)
    ratings = _values(table, names, origin)
    if names.rating is not None:
        _note_rounded(table["rating"], ratings.values, f"{origin.name}, column '{names.rating}'")
        sides = Sides(users.codes, items.codes)
        note_doubts(sides, ratings.values, names.by_role(), where=origin.name)
    faults = [*missing_ids(users, side="user", name=names.user)]
    faults += missing_ids(items, side="item", name=names.item)
    faults += ratings.faults
    weights = None
    if names.rating is not None and names.weight is not None:
        weighed = convert_weights(table["weight"], where=origin.name, name=names.weight)
        weights, faults = weighed.values, [*faults, *weighed.faults]
    timestamps, adds_up = None, names.rating is None
    times = _times(table, names, origin)
    if times is not None:
        timestamps, faults = times.values, [*faults, *times.faults]
    return RawRatings(
        users, items, ratings.values, timestamps, origin, tuple(faults), malformed, weights, adds_up
    )


def _times(table: pa.Table, names: ColumnNames, origin: Origin) -> Timestamps | None:
    """Return the times; none where a column that only may hold them holds anything else."""
    if names.timestamp is None:
        return None
    try:
        times = convert_timestamps(table["timestamp"], where=origin.name, name=names.timestamp)
    except DataError as error:
        if not names.perhaps_times:
            raise
        found = error.found
    else:
        if not names.perhaps_times or not times.faults:
            _note_long_ago(times, f"{origin.name}, column '{names.timestamp}'")
            return times
        found = min(times.faults, key=lambda fault: fault.rows[0]).found
    note_no_times(names, found, where=origin.name)
    return None


def _note_long_ago(times: Timestamps, where: str) -> None:
    """Say so where all times lie before anybody rated on a computer: they may be something else."""
    values = times.values
    if len(values) >= _MANY and not times.faults and values.min() >= 0 and values.max() < _LONG_AGO:
        take_note(
            "%s: read as seconds since 1970, though the last is then of %s",
            where, np.datetime64(int(values.max()), "s"),
            remedy="; if they are no times, name the columns without a timestamp, or count them from another "
            "day",
        )  # fmt: skip


def may_be_rounded(table: pa.Table) -> bool:
    """Tell whether a column `rating` of float32 holds numbers so large that what was written may differ."""
    extremes = pc.min_max(table["rating"]).as_py() if "rating" in table.column_names else {}
    return any(value is not None and abs(value) >= EXACT_UP_TO for value in extremes.values())


def _note_rounded(column: pa.ChunkedArray, values: Float32, where: str) -> None:
    """Say so where ratings are so large that float32 changes them."""
    if max(np.fmax.reduce(values, initial=0), -np.fmin.reduce(values, initial=0)) < EXACT_UP_TO:
        return
    column, kind = plain_column(column), pa.float64()
    numbers = parse_numbers(column, kind) if is_text(column.type) else column.cast(kind, safe=False)
    exact = np.asarray(pc.fill_null(numbers, np.nan))
    changed = (exact != values) & (np.abs(values) >= EXACT_UP_TO) & np.isfinite(values)
    if changed.any():
        first = exact[np.argmax(changed)]
        take_note(
            "%s: %d ratings above 2^24 are rounded to 24 bits, the first from %.17g to %.17g",
            where, changed.sum(), first, values[np.argmax(changed)],
            remedy="; divide them by a number first if their differences matter",
        )  # fmt: skip


def _values(table: pa.Table, names: ColumnNames, origin: Origin) -> Ratings:
    """Return the ratings; of observations their weights, or 1 each."""
    if names.rating is not None:
        return convert_ratings(table["rating"], where=origin.name, name=names.rating)
    if names.weight is not None:
        return convert_weights(table["weight"], where=origin.name, name=names.weight)
    return Ratings(np.ones(len(table), np.float32), ())
