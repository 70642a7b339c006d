"""Ratings as a sparse matrix in a file: Matrix Market, and SciPy's `.npz`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.io
import scipy.sparse

from daskals.errors import DataError
from daskals.ratings.columns import ColumnNames
from daskals.ratings.convert import convert_table
from daskals.ratings.packing import first_bytes
from daskals.ratings.raw import Origin, RawRatings

_MATRIX_MARKET = b"%%MatrixMarket"
_NAMES = ColumnNames("row", "column", "value", None)


def is_matrix(path: Path) -> bool:
    """Tell whether a file holds a sparse matrix, by its first bytes."""
    return first_bytes(path).startswith(_MATRIX_MARKET) or _is_npz(path)


def read_matrix(path: Path) -> RawRatings:
    """Read the stored entries of a matrix: rows are users, columns items.

    Ids are what the file counts by: from 1 in Matrix Market, from 0 in SciPy's `.npz`.

    Raises
    ------
    DataError
        If it cannot be read, or its values are no real numbers.
    """
    market = first_bytes(path).startswith(_MATRIX_MARKET)
    try:
        matrix: Any = scipy.io.mmread(path) if market else scipy.sparse.load_npz(path)
    except (ValueError, OSError, OverflowError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(path, str(error)) from None
    is_sparse = bool(scipy.sparse.issparse(matrix))
    if not is_sparse or matrix.ndim != 2:
        raise _unreadable(path, f"it holds a {type(matrix).__name__} of {np.ndim(matrix)} dimensions")
    entries = matrix.tocoo()
    if np.iscomplexobj(entries.data):
        raise _unreadable(path, "its values are complex numbers")
    table = pa.table(
        {
            "user": entries.row.astype(np.int64) + market,
            "item": entries.col.astype(np.int64) + market,
            "rating": entries.data.astype(np.float64),  # float32 later, with a note where that rounds
        }
    )
    return convert_table(table, _NAMES, Origin(((str(path), len(table)),)))


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "data.npy" in archive.namelist() and "format.npy" in archive.namelist()


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot be read ({why})",
        where=str(path),
        expected="a sparse matrix of real numbers, users by items, in two dimensions",
        remedy="Write it with scipy.io.mmwrite or scipy.sparse.save_npz",
    )
