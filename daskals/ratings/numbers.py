"""Number columns, ratings and timestamps, turned into arrays, with the rows that cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.ids import NumberedIds
from daskals.ratings.raw import Fault
from daskals.types import Float32, Int64

_RATING_TEXT = r"^(?i)([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|-?(nan|inf|infinity))$"
_SECONDS_TEXT = r"^-?[0-9]{1,18}(\.[0-9]*)?$"
_DATE_TEXT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?Z?$"
_DATE_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d")

A_RATING = "a finite number"
A_WEIGHT = "a finite number above 0"
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
    if _is_text(column.type):
        numbers = _parse_ratings(column)
    elif _is_number(column.type):
        numbers = column.cast(pa.float32(), safe=False)
    else:
        raise _type_error(column, where, name, A_RATING)
    values: Float32 = numbers.to_numpy().astype(np.float32, copy=False)
    endless = ~np.isfinite(values)
    if not endless.any():
        return Ratings(values, ())
    absent, blank = _mask(pc.is_null(numbers)), _blank(column)
    faults = _fault("rating is empty", column, blank, name, A_RATING)
    faults += _fault("rating is no number", column, absent & ~blank, name, A_RATING)
    faults += _fault("rating is not finite", column, endless & ~absent, name, A_RATING)
    return Ratings(values, faults)


def convert_weights(column: pa.ChunkedArray, *, where: str, name: str) -> Ratings:
    """Turn numbers or texts into the float32 weights of observations, which are above 0.

    Raises
    ------
    DataError
        Where the column is neither.
    """
    weights = convert_ratings(column, where=where, name=name)
    faults = tuple(
        replace(fault, reason=fault.reason.replace("rating", "weight"), expected=A_WEIGHT)
        for fault in weights.faults
    )
    below = ~(weights.values > 0) & np.isfinite(weights.values)
    return Ratings(weights.values, faults + _fault("weight is not above 0", column, below, name, A_WEIGHT))


def convert_timestamps(column: pa.ChunkedArray, *, where: str, name: str) -> Timestamps:
    """Turn numbers, texts or points in time into seconds since 1970, 0 where that is not possible.

    Fractions of a second are left out.

    Raises
    ------
    DataError
        Where the column is none of these.
    """
    column = _plain(column)
    if _is_text(column.type):
        numbers = _parse_times(column)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        seconds = pa.timestamp("s", tz=getattr(column.type, "tz", None))
        numbers = column.cast(seconds, safe=False).cast(pa.int64())
    elif _is_number(column.type):
        numbers = _whole_seconds(column)
    else:
        raise _type_error(column, where, name, A_TIME)
    if not numbers.null_count:
        return Timestamps(numbers.to_numpy().astype(np.int64, copy=False), ())
    absent, blank = _mask(pc.is_null(numbers)), _blank(column)
    faults = _fault("timestamp is empty", column, blank, name, A_TIME)
    faults += _fault("timestamp is no time", column, absent & ~blank, name, A_TIME)
    return Timestamps(numbers.fill_null(0).to_numpy(), faults)


def missing_ids(numbered: NumberedIds, *, side: str, name: str) -> tuple[Fault, ...]:
    """Return the fault of rows without an id, if there are any."""
    rows = np.flatnonzero(numbered.codes < 0)
    if not len(rows):
        return ()
    return (Fault(f"{side} id is empty", name, "an integer or a text", rows, "nothing"),)


def _parse_ratings(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Parse texts as float32, null where that is not possible."""
    try:
        return texts.cast(pa.float32())
    except pa.ArrowInvalid:
        trimmed = pc.utf8_trim_whitespace(texts)
        number = pc.match_substring_regex(trimmed, _RATING_TEXT)
        return pc.if_else(number, trimmed, None).cast(pa.float32())


def _parse_times(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Parse texts as whole seconds or as dates, null where they are neither."""
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid:
        trimmed = pc.utf8_trim_whitespace(texts)
    plain = pc.if_else(pc.match_substring_regex(trimmed, _SECONDS_TEXT), trimmed, None)
    seconds = pc.replace_substring_regex(plain, r"\..*$", "").cast(pa.int64())
    dated = pc.if_else(pc.match_substring_regex(trimmed, _DATE_TEXT), trimmed, None)
    local = pc.replace_substring(dated, "Z", "")
    dates = [pc.strptime(local, format=form, unit="s", error_is_null=True) for form in _DATE_FORMS]
    return pc.coalesce(seconds, *(date.cast(pa.int64()) for date in dates))


def _whole_seconds(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cut numbers to int64, null where they are not finite or too large."""
    if pa.types.is_decimal(numbers.type):
        numbers = numbers.cast(pa.float64())
    if pa.types.is_floating(numbers.type):
        numbers = pc.if_else(pc.less(pc.abs(numbers), 2.0**62), numbers, None)
    elif pa.types.is_uint64(numbers.type):
        numbers = pc.if_else(pc.less(numbers, pa.scalar(2**62, pa.uint64())), numbers, None)
    return numbers.cast(pa.int64(), safe=False)


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


def _blank(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Tell which values are null or, in texts, nothing but whitespace."""
    null = _mask(pc.is_null(column))
    return null | _mask(pc.equal(pc.utf8_trim_whitespace(column), "")) if _is_text(column.type) else null


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return column


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
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
