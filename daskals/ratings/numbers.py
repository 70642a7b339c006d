"""Columns of ratings and timestamps turned into arrays, with the rows that cannot be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.ids import NumberedIds
from daskals.ratings.raw import Fault
from daskals.types import Float32, Int64

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"^(?i)[+-]?(nan|inf|infinity)$"
_TIME = r"^-?[0-9]{1,18}$"
_DATE_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d")

A_RATING = "a finite number"
A_TIME = "whole seconds since 1970 or a date like 2015-03-01 12:00:00"


class Ratings(NamedTuple):
    """Ratings and what is wrong with them."""

    values: Float32
    faults: tuple[Fault, ...]


class Timestamps(NamedTuple):
    """Timestamps and what is wrong with them."""

    values: Int64
    faults: tuple[Fault, ...]


def convert_ratings(column: pa.ChunkedArray, *, where: str, name: str) -> Ratings:
    """Turn numbers or texts into float32 ratings, NaN where that is not possible.

    Raises
    ------
    DataError
        Where the column is neither.
    """
    column = _plain(column)
    faults: list[Fault] = []
    missing = _mask(pc.is_null(column)) if column.null_count else None
    if _is_text(column.type):
        text = pc.utf8_trim_whitespace(column)
        missing = _mask(pc.is_null(text)) | _mask(pc.equal(text, ""))
        number = pc.match_substring_regex(text, _NUMBER)
        endless = _mask(pc.match_substring_regex(text, _NOT_FINITE))
        faults += _fault("rating is no number", column, ~(_mask(number) | endless | missing), name, A_RATING)
        faults += _fault("rating is not finite", column, endless, name, A_RATING)
        numbers = pc.if_else(number, text, None)
    elif _is_number(column.type):
        numbers = column
    else:
        raise _type_error(column, where, name, A_RATING)
    values = numbers.cast(pa.float32(), safe=False).to_numpy().astype(np.float32, copy=False)
    if missing is not None:
        faults += _fault("rating is empty", column, missing, name, A_RATING)
    bad = ~np.isfinite(values)
    for fault in faults:
        bad[fault.rows] = False
    faults += _fault("rating is not finite", column, bad, name, A_RATING)
    return Ratings(values, tuple(faults))


def convert_timestamps(column: pa.ChunkedArray, *, where: str, name: str) -> Timestamps:
    """Turn numbers, texts or points in time into seconds since 1970, 0 where that is not possible.

    Raises
    ------
    DataError
        Where the column is none of these.
    """
    column = _plain(column)
    faults: list[Fault] = []
    missing = _mask(pc.is_null(column)) if column.null_count else None
    if _is_text(column.type):
        text = pc.utf8_trim_whitespace(column)
        missing = _mask(pc.is_null(text)) | _mask(pc.equal(text, ""))
        integer = pc.match_substring_regex(text, _TIME)
        seconds = pc.if_else(integer, text, None).cast(pa.int64())
        times = _parse_dates(pc.if_else(integer, None, text))
        numbers = pc.coalesce(seconds, times)
        faults += _fault("timestamp is no time", column, _mask(pc.is_null(numbers)) & ~missing, name, A_TIME)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        numbers = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    elif _is_number(column.type):
        numbers = column.cast(pa.int64(), safe=False)
    else:
        raise _type_error(column, where, name, A_TIME)
    if missing is not None:
        faults += _fault("timestamp is empty", column, missing, name, A_TIME)
    filled = numbers.fill_null(0) if numbers.null_count else numbers
    return Timestamps(filled.to_numpy().astype(np.int64, copy=False), tuple(faults))


def missing_ids(numbered: NumberedIds, *, side: str, name: str) -> tuple[Fault, ...]:
    """Return the fault of rows without an id, if there are any."""
    rows = np.flatnonzero(numbered.codes < 0)
    if not len(rows):
        return ()
    return (Fault(f"{side} id is empty", name, "an integer or a text", rows, "nothing"),)


def _parse_dates(text: pa.ChunkedArray) -> pa.ChunkedArray:
    date = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?Z?$"
    dated = pc.if_else(pc.match_substring_regex(text, date), text, None)
    plain = pc.replace_substring(dated, "Z", "")
    parsed = [
        pc.strptime(plain, format=pattern, unit="s", error_is_null=True)
        for pattern in (
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%d %H:%M",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%d",
        )
    ]
    return pc.coalesce(*parsed).cast(pa.int64())


def _fault(
    reason: str, column: pa.ChunkedArray, mask: NDArray[np.bool_], name: str, expected: str
) -> tuple[Fault, ...]:
    rows = np.flatnonzero(mask)
    if not len(rows):
        return ()
    value = column[int(rows[0])].as_py()
    found = "nothing" if value is None else f"'{value}'"
    return (Fault(reason, name, expected, rows, found),)


def _mask(condition: pa.ChunkedArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.fill_null(condition, fill_value=False).to_numpy().astype(np.bool_)
    return mask


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _type_error(column: pa.ChunkedArray, where: str, name: str, expected: str) -> DataError:
    return DataError(
        f"values of type {column.type}",
        where=f"{where}, column '{name}'",
        expected=expected,
        remedy="Convert the column, or name another one with --columns",
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
