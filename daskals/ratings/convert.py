"""Conversion of an input's columns, whatever their types, to raw ratings."""

from __future__ import annotations

import pyarrow as pa

from daskals.ratings.columns import ColumnNames
from daskals.ratings.ids import number_ids
from daskals.ratings.numbers import convert_ratings, missing_ids
from daskals.ratings.raw import Fault, Origin, RawRatings
from daskals.ratings.times import convert_timestamps


def convert_table(
    table: pa.Table, names: ColumnNames, origin: Origin, malformed: Fault | None = None
) -> RawRatings:
    """Return numbered ids, converted ratings and timestamps, and what is wrong with them.

    Parameters
    ----------
    table
        Columns named by role: `user`, `item`, `rating` and, where there are times, `timestamp`.
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
    ratings = convert_ratings(table["rating"], where=origin.name, name=names.rating)
    faults = [*missing_ids(users, side="user", name=names.user)]
    faults += missing_ids(items, side="item", name=names.item)
    faults += ratings.faults
    timestamps = None
    if names.timestamp is not None:
        times = convert_timestamps(table["timestamp"], where=origin.name, name=names.timestamp)
        timestamps = times.values
        faults += times.faults
    return RawRatings(users, items, ratings.values, timestamps, origin, tuple(faults), malformed)
