"""Original ids and the rows they are numbered by. Ids are 64-bit integers or strings, never floats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.exact_ids import INTEGER_TEXT, whole_or_none
from daskals.types import Int32

_POWER_TEXT = r"^-?[0-9]\.[0-9]{3,}[eE][+-][0-9]{2,3}$"
"""A number as NumPy and MATLAB write all of a column; `451E6083` is a text."""


class NumberedIds(NamedTuple):
    """Ids of one side and the number of each row's id.

    Attributes
    ----------
    codes
        Index into `ids`, -1 where the id is missing or empty; int32, shape (n_rows,).
    ids
        Distinct ids, int64 or string.
    """

    codes: Int32
    ids: pa.Array

    def compact(self) -> NumberedIds:
        """Renumber by first appearance, leaving out ids that no row uses."""
        if self._in_order():
            return self
        n_ids = len(self.ids)
        first = np.full(n_ids, len(self.codes), dtype=np.int64)
        present = np.flatnonzero(self.codes >= 0)[::-1]
        first[self.codes[present]] = present
        used = np.flatnonzero(first < len(self.codes))
        order = used[np.argsort(first[used])]
        rows = np.full(n_ids + 1, -1, dtype=np.int32)
        rows[order] = np.arange(len(order), dtype=np.int32)
        return NumberedIds(rows[self.codes], self.ids.take(pa.array(order)))

    def _in_order(self) -> bool:
        """Tell whether every new code is one above the greatest before it, and all are used."""
        if not len(self.codes):
            return not len(self.ids)
        greatest = np.maximum.accumulate(self.codes)
        steps = np.diff(greatest)
        return bool(
            self.codes.min() == 0 == greatest[0]
            and greatest[-1] == len(self.ids) - 1
            and steps.max(initial=0) <= 1
        )


def number_ids(column: pa.ChunkedArray, *, where: str, name: str) -> NumberedIds:
    """Give the ids of a column numbers.

    Parameters
    ----------
    column
        Integers, strings, or a dictionary of either; empty strings count as missing.
    where, name
        File and column, for the error.

    Raises
    ------
    DataError
        Where the type can hold no ids exactly, or integers do not fit 64 bits.
    """
    column = _plain_type(column, where=where, name=name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return NumberedIds(np.empty(0, dtype=np.int32), pa.array([], type=column.type.value_type))
    ids = column.chunk(0).dictionary
    codes = np.empty(len(column), dtype=np.int32)
    start = 0
    for chunk in column.chunks:
        indices = chunk.indices.fill_null(-1) if chunk.indices.null_count else chunk.indices
        codes[start : start + len(chunk)] = indices.to_numpy(zero_copy_only=False)
        start += len(chunk)
    return _without_missing(NumberedIds(codes, ids))


def as_integers_if_all(ids: pa.Array) -> pa.Array:
    """Return strings that are all plain 64-bit integers as int64, and anything else as it is.

    A number that would be written differently (`007`, `+5`) is a string, and so are then all. Where all are
    whole floats, as a table with gaps writes them (`29.0`) or NumPy and MATLAB do (`2.9000000e+01`), all are
    the integers.
    """
    if pa.types.is_integer(ids.type):
        return ids
    trimmed = pc.utf8_trim_whitespace(ids)
    if pc.all(pc.match_substring_regex(trimmed, r"\.0$"), min_count=0).as_py():
        trimmed = pc.replace_substring_regex(trimmed, r"\.0$", "")
    elif pc.all(pc.match_substring_regex(trimmed, _POWER_TEXT), min_count=0).as_py():
        numbers = trimmed.cast(pa.float64())
        whole = pc.and_(pc.equal(numbers, pc.floor(numbers)), pc.less_equal(pc.abs(numbers), 2.0**53))
        if pc.all(whole, min_count=0).as_py():
            trimmed = numbers.cast(pa.int64()).cast(pa.string())
    if not pc.all(pc.match_substring_regex(trimmed, INTEGER_TEXT), min_count=0).as_py():
        return ids
    try:
        numbers = trimmed.cast(pa.int64())
    except pa.ArrowInvalid:
        return ids
    return numbers if len(numbers.unique()) == len(ids.unique()) else ids


def common_type(left: pa.Array, right: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return both arrays of ids as int64 if both are, else both as strings."""
    if left.type == right.type:
        return left, right
    return left.cast(pa.string()), right.cast(pa.string())


def lookup(ids: pa.Array, known: pa.Array) -> NDArray[np.int64]:
    """Return the index of each id among the known ids, -1 where it is not known."""
    ids, known = common_type(ids, known)
    found = pc.index_in(ids, value_set=known).fill_null(-1)
    rows: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return rows


def _plain_type(column: pa.ChunkedArray, *, where: str, name: str) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if len(column) == 0:  # pandas has doubles where there are no rows, which are then told as none
        return pa.chunked_array([], pa.string())
    if pa.types.is_floating(kind):  # as pandas has integers with gaps
        whole = whole_or_none(column.cast(kind))
        column, kind = (column, kind) if whole is None else (whole, whole.type)
    if pa.types.is_integer(kind):
        target = pa.int64()
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        target = pa.string()
    else:
        listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        rows = f"Write a row for each id, in pandas by `frame.explode('{name}')`"
        raise DataError(
            f"ids of type {kind}",
            where=f"{where}, column '{name}'",
            expected="64-bit integers or strings, since other types do not keep ids exactly",
            remedy=rows if listed else f"Convert the column to integers or strings{_unread(kind, name)}",
        )
    if kind == target:
        return column
    try:
        return column.cast(target)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"ids of type {kind} that do not fit ({error})",
            where=f"{where}, column '{name}'",
            expected="integers below 2^63",
            remedy="Convert the column to strings",
        ) from None


def _unread(kind: pa.DataType, name: str) -> str:
    """Say how floats that are not whole, or too large, are what their file says."""
    if not pa.types.is_floating(kind):
        return ""
    return f"; where pandas made them of a file's, read that with dtype={{'{name}': str}}, or hand it over"


def _without_missing(numbered: NumberedIds) -> NumberedIds:
    """Turn null and blank ids of the dictionary into the code -1."""
    ids = numbered.ids
    missing = pc.is_null(ids)
    if pa.types.is_string(ids.type):
        blank = pc.equal(pc.utf8_trim_whitespace(ids), "")
        missing = pc.or_kleene(missing, blank)
    if not pc.any(missing, min_count=0).as_py():
        return numbered
    kept = np.flatnonzero(~missing.to_numpy(zero_copy_only=False))
    rows = np.full(len(ids) + 1, -1, dtype=np.int32)
    rows[kept] = np.arange(len(kept), dtype=np.int32)
    return NumberedIds(rows[numbered.codes], ids.take(pa.array(kept)))
