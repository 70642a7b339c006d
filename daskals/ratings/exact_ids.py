"""What somebody wrote, read as an id of a model or a store: exactly, in its ids' type, or not at all."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

INTEGER_TEXT = r"^(0|-?[1-9][0-9]{0,18})$"
"""A text that is an integer written as integers are: `007`, `+5` and `1.0` are texts."""

_WHOLE_FLOAT = 2.0**53
_INTEGER = re.compile(INTEGER_TEXT)


def exact_id(key: Any, kind: pa.DataType) -> int | str | None:
    """Return the id of a type that a key is, None where it is none.

    Parameters
    ----------
    key
        An integer, a whole float or a text; anything else is no id.
    kind
        int64 or string. An integer is a text as it is written; a text is an integer only where that would
        be written the same, blanks around it aside: `0007`, `1.0` and `451E6083` are none.
    """
    if type(key) is int:  # nearly all that a service is asked
        return str(key) if pa.types.is_string(kind) else _integer(key)
    if isinstance(key, bool | np.bool_):
        return None
    if isinstance(key, str):
        if pa.types.is_string(kind):
            return key
        return _integer(int(key)) if _INTEGER.match(key.strip()) else None
    if isinstance(key, float | np.floating):
        value = float(key)
        number = int(value) if value.is_integer() and abs(value) < _WHOLE_FLOAT else None
    else:
        try:
            number = operator.index(key)
        except TypeError:
            return None
    if number is None or pa.types.is_string(kind):
        return None if number is None else str(number)
    return _integer(number)


def exact_ids(keys: pa.Array | pa.ChunkedArray | Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the id of a type that each key is, null where it is none; see `exact_id`.

    Parameters
    ----------
    keys
        Keys of any type, even of several.
    kind
        int64 or string.
    """
    if not isinstance(keys, pa.Array | pa.ChunkedArray):
        try:
            keys = pa.array(keys)
        except (pa.ArrowException, OverflowError):
            return pa.array([exact_id(key, kind) for key in keys], kind)
    column = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type == kind:
        return column
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_string(kind):
        return _as_texts(column)
    return _as_integers(column)


def whole_or_none(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return floats that are all whole, and exact, as integers, NaN as null; None where one is not."""
    known = pc.if_else(pc.is_nan(column), None, column)
    whole = _whole(known)
    return whole if whole.null_count == known.null_count else None


def _integer(number: int) -> int | None:
    return number if -(2**63) <= number < 2**63 else None


def _as_texts(column: pa.Array) -> pa.Array:
    if pa.types.is_floating(column.type):
        column = _whole(column)
    if pa.types.is_string(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.string())
    return pa.nulls(len(column), pa.string())


def _as_integers(column: pa.Array) -> pa.Array:
    if pa.types.is_floating(column.type):
        column = _whole(column)
    if pa.types.is_uint64(column.type):
        column = pc.if_else(pc.less(column, pa.scalar(2**63, pa.uint64())), column, None)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if not pa.types.is_string(column.type):
        return pa.nulls(len(column), pa.int64())
    trimmed = pc.utf8_trim_whitespace(column)
    written = pc.if_else(pc.match_substring_regex(trimmed, INTEGER_TEXT), trimmed, None)
    try:
        return written.cast(pa.int64())
    except pa.ArrowInvalid:  # of 19 digits, some are above 2^63
        return pa.array([exact_id(text, pa.int64()) for text in written.to_pylist()], pa.int64())


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return floats that are whole as integers, the others as null."""
    column = column.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), _WHOLE_FLOAT))
    return pc.if_else(whole, column, None).cast(pa.int64())
