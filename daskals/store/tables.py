"""Tables beside arrays: Parquet files of a store or a model, whole and of the form they must have."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from daskals.errors import StoreError
from daskals.store.remote import is_url, read_file

_REMEDY = "Restore it from a copy, or make it anew"


def table_digest(path: Path) -> str:
    """Return the SHA-256 of a table's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_table(place: str, name: str, digest: str | None) -> pa.Table:
    """Read a table of a store or a model.

    Parameters
    ----------
    place, name
        Folder or address, and the file in it.
    digest
        SHA-256 of the file; None where none was written.

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        content = read_file(place, name) if is_url(place) else (Path(place) / name).read_bytes()
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise _damaged(place, name, "its checksum does not hold")
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(place, name, str(error)) from error
    return table


def check_catalogue(table: pa.Table, n_items: int, place: str) -> pa.Table:
    """Return a catalogue that has a row for each item; raise StoreError where one column is not as read."""
    if len(table) != n_items:
        raise StoreError(
            f"the catalogue has {len(table):,} rows", where=place, expected=f"{n_items:,}, one an item",
            remedy=_REMEDY,
        )  # fmt: skip
    for name, expected, fits in _COLUMNS:
        kind = table.schema.field(name).type if name in table.column_names else pa.null()
        if not (fits(kind) or pa.types.is_null(kind)):
            raise StoreError(
                f"the catalogue's {name} is of {kind}", where=place, expected=expected, remedy=_REMEDY
            )
    return table


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list_of_texts(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_text(kind.value_type)


_COLUMNS = (
    ("title", "texts", _is_text),
    ("year", "whole numbers", pa.types.is_integer),
    ("genres", "lists of texts", _is_list_of_texts),
)
"""Columns that lists, filters and pages read, what they hold, and how to tell."""


def _damaged(place: str, name: str, reason: str) -> StoreError:
    return StoreError(f"{name} is missing or damaged ({reason})", where=place, remedy=_REMEDY)
