"""Data frames and sparse matrices of ratings in memory: pandas, Arrow, SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.errors import DataError
from daskals.ratings.assemble import assemble
from daskals.ratings.columns import check_columns, choose_columns
from daskals.ratings.convert import convert_table
from daskals.ratings.duplicates import Duplicates
from daskals.ratings.raw import Invalid, Origin
from daskals.ratings.table import RatingsTable


def from_frame(
    frame: pd.DataFrame | pa.Table,
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
) -> RatingsTable:
    """Validate and number the ratings of a pandas or Arrow frame.

    Parameters
    ----------
    frame
        One row a rating: user and item ids (integers or strings), ratings, and perhaps timestamps.
    columns, duplicates, invalid
        As in `read_ratings`.

    Raises
    ------
    ConfigError
        Where `columns` is not understood.
    DataError
        For anything wrong with the frame; rows are counted from 1.
    """
    if columns is not None:
        check_columns(columns)
    found = [str(name) for name in (frame.column_names if isinstance(frame, pa.Table) else frame.columns)]
    names = choose_columns(found, columns, where="frame")
    arrays = {role: _column(frame, found.index(name), name) for role, name in names.by_role().items()}
    raw = convert_table(pa.table(arrays), names, Origin((("frame", len(frame)),)))
    return assemble(raw, duplicates=duplicates, invalid=invalid)


def from_sparse(
    matrix: Any,
    *,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
) -> RatingsTable:
    """Validate and number the ratings of a sparse matrix, users by items.

    Stored entries are ratings, stored zeros included; row and column numbers are the ids. Entries are
    taken in the matrix's own order.

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
    entries = convert()
    frame = pa.table(
        {
            "user": entries.row.astype(np.int64),
            "item": entries.col.astype(np.int64),
            "rating": np.asarray(entries.data, dtype=np.float64),
        }
    )
    return from_frame(frame, duplicates=duplicates, invalid=invalid)


def _column(frame: pd.DataFrame | pa.Table, index: int, name: str) -> pa.ChunkedArray:
    if isinstance(frame, pa.Table):
        return frame.column(index)
    try:
        array = pa.array(frame.iloc[:, index], from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"values of mixed types ({error})",
            where=f"frame, column '{name}'",
            expected="one type a column",
            remedy="Convert the column to one type",
        ) from None
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
