"""Conversion of an input's columns, whatever their types, to raw ratings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from daskals.ratings.columns import ColumnNames
from daskals.ratings.ids import number_ids
from daskals.ratings.numbers import (
    Ratings,
    convert_ratings,
    convert_timestamps,
    convert_weights,
    missing_ids,
)
from daskals.ratings.raw import Fault, Origin, RawRatings


def convert_table(
    table: pa.Table, names: ColumnNames, origin: Origin, malformed: Fault | None = None
) -> RawRatings:
    """Return numbered ids, converted ratings and timestamps, and what is wrong with them.

    Parameters
    ----------
    table
        Columns named by role: `user`, `item`, `rating` or for observations perhaps `weight`, and, where
        there are times, `timestamp`.
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
    ratings = _values(table, names, origin)
    faults = [*missing_ids(users, side="user", name=names.user)]
    faults += missing_ids(items, side="item", name=names.item)
    faults += ratings.faults
    timestamps, adds_up = None, names.rating is None
    if names.timestamp is not None:
        times = convert_timestamps(table["timestamp"], where=origin.name, name=names.timestamp)
        timestamps = times.values
        faults += times.faults
    return RawRatings(users, items, ratings.values, timestamps, origin, tuple(faults), malformed, adds_up)


def _values(table: pa.Table, names: ColumnNames, origin: Origin) -> Ratings:
    """Return the ratings; of observations their weights, or 1 each."""
    if names.rating is not None:
        return convert_ratings(table["rating"], where=origin.name, name=names.rating)
    if names.weight is not None:
        return convert_weights(table["weight"], where=origin.name, name=names.weight)
    return Ratings(np.ones(len(table), np.float32), ())
