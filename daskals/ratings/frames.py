"""Tables and sparse matrices of ratings in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from daskals.errors import DataError
from daskals.ratings.assemble import assemble
from daskals.ratings.columns import choose_columns
from daskals.ratings.convert import convert_table
from daskals.ratings.notes import FRAME
from daskals.ratings.raw import Origin
from daskals.ratings.reading import AS_USUAL, Reading
from daskals.ratings.table import RatingsTable
from daskals.ratings.tables import Table
from daskals.ratings.time_columns import note_no_times
from daskals.ratings.unread import note_unread


def from_frame(frame: Any, reading: Reading = AS_USUAL) -> RatingsTable:
    """Validate and number the ratings of a table in memory.

    Parameters
    ----------
    frame
        One row a rating: user and item ids (integers or strings), ratings, and perhaps timestamps; anything
        that `ratings.tables.Table` opens: pandas, Arrow, Polars, DuckDB, Dask.
    reading
        How they are read.

    Raises
    ------
    DataError
        For anything wrong with the frame; rows are counted from 1.
    """
    table = Table(frame)
    names = choose_columns(table.names, reading.columns, where=FRAME, clicks=reading.clicks)
    try:
        chosen = table.read(names.by_role())
    except DataError as error:  # of a column that may hold times, or anything else
        if not names.perhaps_times or f"column '{names.timestamp}'" not in str(error.where):
            raise
        note_no_times(names, error.found, where=FRAME)
        names = names.without_times()
        chosen = table.read(names.by_role())
    note_unread(names, table.names, table.first_values, where=FRAME)
    for side, name in (("user", names.user), ("item", names.item)):
        chosen = _with_whole_ids(chosen, side, name)
    raw = convert_table(chosen, names, Origin(((FRAME, len(chosen)),)))
    return assemble(raw, reading)


def from_sparse(matrix: Any, reading: Reading = AS_USUAL) -> RatingsTable:
    """Validate and number the ratings of a sparse matrix, users by items.

    Stored entries are ratings, stored zeros included; row and column numbers are the ids. Entries are
    taken in the matrix's own order.

    Parameters
    ----------
    matrix
        Of SciPy, of any form.
    reading
        How they are read; its columns are none.

    Raises
    ------
    DataError
        For anything wrong with the matrix; entries are counted from 1.
    """
    convert = getattr(matrix, "tocoo", None)
    if convert is None:
        raise DataError(
            f"a {type(matrix).__name__}",
            where="matrix",
            expected="a sparse matrix of users by items",
            remedy="Make it one with scipy.sparse.csr_array",
        )
    if matrix.ndim != 2:
        raise DataError(
            f"a matrix of {matrix.ndim} dimension{'' if matrix.ndim == 1 else 's'}",
            where="matrix",
            expected="two: users by items",
        )
    if np.iscomplexobj(matrix):
        raise DataError(f"values of type {matrix.dtype}", where="matrix", expected="real numbers")
    entries = convert()
    frame = pa.table(
        {
            "user": entries.row.astype(np.int64),
            "item": entries.col.astype(np.int64),
            "rating": np.asarray(entries.data, dtype=np.float64),
        }
    )
    return from_frame(frame, replace(reading, columns=None, clicks=False))


def _with_whole_ids(table: pa.Table, side: str, name: str) -> pa.Table:
    """Return ids that came as decimals without a fraction (DuckDB's HUGEINT) as the integers they are."""
    column = table[side]
    if not (pa.types.is_decimal(column.type) and column.type.scale == 0):
        return table
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(
            f"ids of type {column.type} that do not fit ({error})",
            where=f"frame, column '{name}'",
            expected="integers below 2^63",
            remedy="Convert the column to strings",
        ) from None
    return table.set_column(table.column_names.index(side), side, whole)
