"""Ratings, numbers or texts, turned into an array, with the rows that cannot be; times: see `times`."""

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
from daskals.types import Float32

_RATING_TEXT = r"^(?i)([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|-?(nan|inf|infinity))$"

_TRUTHS = pa.array(["true", "false"])

A_RATING = "a finite number"
A_WEIGHT = "a finite number above 0"


class Ratings(NamedTuple):
    """Ratings and what is wrong with them."""

    values: Float32
    faults: tuple[Fault, ...]


def convert_ratings(column: pa.ChunkedArray, *, where: str, name: str) -> Ratings:
    """Turn numbers, texts or truths (1 and 0) into float32 ratings, NaN where that is not possible.

    Raises
    ------
    DataError
        Where the column is neither.
    """
    column = plain_column(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if is_text(column.type):
        numbers = _truths(column) or parse_numbers(column, pa.float32())
    elif is_number(column.type):
        numbers = column.cast(pa.float32(), safe=False)
    else:
        raise type_error(column, where, name, A_RATING)
    values: Float32 = numbers.to_numpy().astype(np.float32, copy=False)
    endless = ~np.isfinite(values)
    if not endless.any():
        return Ratings(values, ())
    absent, blank = mask_of(pc.is_null(numbers)), blank_of(column)
    faults = fault_of("rating is empty", column, blank, name, A_RATING)
    faults += fault_of("rating is no number", column, absent & ~blank, name, A_RATING)
    faults += fault_of("rating is not finite", column, endless & ~absent, name, A_RATING)
    return Ratings(values, faults)


def _truths(texts: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return true as 1 and false as 0 where all texts are one of the two; else None."""
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts[:1]))
    if not pc.any(pc.is_in(plain, value_set=_TRUTHS)).as_py():
        return None
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    if not pc.all(pc.is_in(plain, value_set=_TRUTHS)).as_py():
        return None
    return pc.equal(plain, "true").cast(pa.float32())


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
    return Ratings(weights.values, faults + fault_of("weight is not above 0", column, below, name, A_WEIGHT))


def missing_ids(numbered: NumberedIds, *, side: str, name: str) -> tuple[Fault, ...]:
    """Return the fault of rows without an id, if there are any."""
    rows = np.flatnonzero(numbered.codes < 0)
    if not len(rows):
        return ()
    return (Fault(f"{side} id is empty", name, "an integer or a text", rows, "nothing"),)


def parse_numbers(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Parse texts as floating-point numbers of a type, null where that is not possible."""
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        trimmed = pc.utf8_trim_whitespace(texts)
        number = pc.match_substring_regex(trimmed, _RATING_TEXT)
        return pc.if_else(number, trimmed, None).cast(kind)


def fault_of(
    reason: str, column: pa.ChunkedArray, mask: NDArray[np.bool_], name: str, expected: str
) -> tuple[Fault, ...]:
    """Return the fault of some rows, none where there are none.

    Parameters
    ----------
    reason, column
        What is wrong, and with which values.
    mask
        The rows, bool, shape (rows,).
    name, expected
        What the input calls the column, and what would be right.
    """
    rows = np.flatnonzero(mask)
    if not len(rows):
        return ()
    try:
        value = column[int(rows[0])].as_py()
    except (OverflowError, ValueError):  # a time beyond Python's calendar
        value = column[int(rows[0])].cast(pa.string()).as_py()
    found = "nothing" if value is None else f"'{value}'"
    return (Fault(reason, name, expected, rows, found),)


def mask_of(condition: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return a condition as bool, shape (rows,), with null for no."""
    mask: NDArray[np.bool_] = pc.fill_null(condition, fill_value=False).to_numpy().astype(np.bool_)
    return mask


def blank_of(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Tell which values are null or, in texts, nothing but whitespace; bool, shape (rows,)."""
    null = mask_of(pc.is_null(column))
    return null | mask_of(pc.equal(pc.utf8_trim_whitespace(column), "")) if is_text(column.type) else null


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a dictionary, large string, string view or null column as what it stands for."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if any(is_kind(column.type) for is_kind in (pa.types.is_string_view, pa.types.is_large_string)):
        column = column.cast(pa.string())  # texts of pandas are large, of which Arrow joins none with others
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return column


def type_error(column: pa.ChunkedArray, where: str, name: str, expected: str) -> DataError:
    """Return the error for a column whose type cannot hold what it should."""
    return DataError(
        f"values of type {column.type}",
        where=f"{where}, column '{name}'",
        expected=expected,
        remedy="Convert the column, or name another one with --columns",
    )


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a type is of integers, floats or decimals."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is of texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
