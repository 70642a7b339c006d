"""Times in any form and unit, turned into whole seconds since 1970, with the rows that cannot be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.ratings.calendar_numbers import calendar_seconds, clock_of
from daskals.ratings.local_dates import with_years_first
from daskals.ratings.named_months import with_numbers
from daskals.ratings.notes import take_note
from daskals.ratings.numbers import blank_of, fault_of, is_number, is_text, mask_of, plain_column, type_error
from daskals.ratings.raw import Fault
from daskals.types import Int64

A_TIME = "whole seconds since 1970 or a date like 2015-03-01 12:00:00"

UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
"""Units of whole numbers, told apart by range: each is a thousand times the one before."""

EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""The first second of the year 1 and the last of 9999: what is outside is no time."""

LIKELY_FIRST, LIKELY_LAST = 788_918_400, 2_208_988_800
"""1995 and 2040: numbers between them are taken for times, as few others are."""

_MOST_SECONDS = 100_000_000_000
"""In the year 5138; as milliseconds it is in 1973, before anything was rated."""

_NUMBER_TEXT = r"^-?([0-9]{1,18}|[1-8][0-9]{18})(\.[0-9]*)?$"
_POWER_TEXT = r"^-?[0-9](\.[0-9]*)?[eE]\+?(0?[0-9]|1[0-8])$"
"""As NumPy, MATLAB and spreadsheets write large numbers: 1.24689269e+09."""

_DATE_TEXT = (
    r"^(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T](?P<time>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2})?(?:[.,][0-9]+)?)?"
    r" ?(?P<zone>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?$"
)

_MOST_DAYS = 1_000_000
"""In the year 2737 as MATLAB counts days, from the year 0; spreadsheets begin with 1900."""

_PERHAPS_DAYS = "read as seconds since 1970, fractions left out"
_DAYS_REMEDY = (
    "; if they are days, as spreadsheets and MATLAB count them, write dates like 2015-03-01 12:00:00"
)


class Timestamps(NamedTuple):
    """Timestamps in seconds, int64, shape (rows,), and what is wrong with them."""

    values: Int64
    faults: tuple[Fault, ...]


def convert_timestamps(column: pa.ChunkedArray, *, where: str, name: str) -> Timestamps:
    """Turn numbers, texts or points in time into seconds since 1970, 0 where that is not possible.

    Numbers may be seconds, milli-, micro- or nanoseconds: the unit that most rows are in is taken, with a
    note where it is not seconds, and a row in another is at fault. Fractions of a second are left out.
    Where all are dates in figures, as 20150301 or 20150301235959, that is what they are read as.

    Raises
    ------
    DataError
        Where the column is none of these.
    """
    column = plain_column(column)
    counted: pa.ChunkedArray | None = None
    dates: pa.ChunkedArray | None = None
    if is_text(column.type):
        counted, dates = _parse(column)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        seconds = pa.timestamp("s", tz=getattr(column.type, "tz", None))
        dates = column.cast(seconds, safe=False).cast(pa.int64())
    elif is_number(column.type):
        counted = _whole_numbers(column)
    else:
        raise type_error(column, where, name, A_TIME)
    other = np.empty(0, np.int64)
    unit = 0
    if dates is not None and dates.null_count == len(dates):
        dates = None
    if counted is not None:
        days = None if dates is not None else _in_days(counted)
        said = ""
        if days is not None:
            counted, said = days, "read as dates"
        elif dates is None and _may_be_days(column, counted):
            said = _PERHAPS_DAYS
        else:
            counted, unit, other = _in_seconds(counted)
            said = f"read as {UNITS[unit]} since 1970" if unit else ""
        if said:
            remedy = _DAYS_REMEDY if said == _PERHAPS_DAYS else ""
            take_note("%s, column '%s': %s", where, name, said, remedy=remedy)
    both = [part for part in (counted, dates) if part is not None]
    numbers = pc.coalesce(*both) if both else pa.chunked_array([pa.nulls(len(column), pa.int64())])
    faults = _absent(column, numbers, name)
    values = numbers.fill_null(0).to_numpy().astype(np.int64, copy=False)
    outside = (values < EARLIEST) | (values > LATEST) if len(values) else np.zeros(0, np.bool_)
    outside[other] = False
    faults += fault_of("timestamp is no time", column, outside, name, A_TIME)
    if len(other):
        mixed = np.zeros(len(values), np.bool_)
        mixed[other] = True
        expected = f"{UNITS[unit]} since 1970, as in most rows"
        faults += fault_of("timestamp is in another unit", column, mixed, name, expected)
    return Timestamps(values, faults)


def _absent(column: pa.ChunkedArray, numbers: pa.ChunkedArray, name: str) -> tuple[Fault, ...]:
    if not numbers.null_count:
        return ()
    absent, blank = mask_of(pc.is_null(numbers)), blank_of(column)
    faults = fault_of("timestamp is empty", column, blank, name, A_TIME)
    return faults + fault_of("timestamp is no time", column, absent & ~blank, name, A_TIME)


def _may_be_days(column: pa.ChunkedArray, counted: pa.ChunkedArray) -> bool:
    """Tell whether numbers may be days: whether they are as small, and have fractions."""
    if counted.null_count == len(counted) or pc.max(counted).as_py() >= _MOST_DAYS:
        return False
    if is_text(column.type):
        return bool(pc.any(pc.match_substring_regex(column, r"\.[0-9]*[1-9]")).as_py())
    numbers = column.cast(pa.float64(), safe=False)
    return bool(pc.any(pc.not_equal(numbers, pc.floor(numbers))).as_py())


def _in_days(numbers: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return numbers that are all dates in figures, as 20150301, in seconds; else None."""
    least, most = pc.min_max(numbers).as_py().values()
    clock = None if least is None else clock_of(least, most)
    seconds = None if clock is None else calendar_seconds(numbers.drop_null().to_numpy(), clock)
    if seconds is None:
        return None
    null = mask_of(pc.is_null(numbers))
    values = np.zeros(len(numbers), np.int64)
    values[~null] = seconds
    return pa.chunked_array([pa.array(values, mask=null)])


def _in_seconds(numbers: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int, Int64]:
    """Return numbers in seconds, the place of their unit in `UNITS`, and the rows that are in another."""
    values = numbers.fill_null(0).to_numpy()
    if not len(values) or (values.max() < _MOST_SECONDS and values.min() >= EARLIEST):
        return numbers, 0, np.empty(0, np.int64)
    units = _units(values)
    counts = np.bincount(units[values != 0], minlength=len(UNITS))
    unit = int(np.argmax(counts))
    other: Int64 = np.flatnonzero((units != unit) & (values != 0))
    seconds = values // 1000**unit
    null = mask_of(pc.is_null(numbers))
    return pa.chunked_array([pa.array(seconds, mask=null)]), unit, other


def _units(values: Int64) -> NDArray[np.int8]:
    units = np.zeros(len(values), np.int8)
    for power in range(len(UNITS) - 1):
        most, least = _MOST_SECONDS * 1000**power, EARLIEST * 1000**power
        units += ((values >= most) | (values < least)).astype(np.int8)
    return units


def _parse(texts: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, pa.ChunkedArray | None]:
    """Parse texts as whole numbers and as dates, null where they are not."""
    try:
        return texts.cast(pa.int64()), None
    except pa.ArrowInvalid:
        trimmed = pc.utf8_trim_whitespace(texts)
    plain = pc.if_else(pc.match_substring_regex(trimmed, _NUMBER_TEXT), trimmed, None)
    numbers = pc.replace_substring_regex(plain, r"\..*$", "").cast(pa.int64())
    powers = pc.if_else(pc.match_substring_regex(trimmed, _POWER_TEXT), trimmed, None)
    if powers.null_count < len(powers):
        numbers = pc.coalesce(numbers, pc.floor(powers.cast(pa.float64())).cast(pa.int64()))
    dates = _parse_dates(trimmed)
    if numbers.null_count == len(numbers) == dates.null_count:
        dates = _parse_dates(pc.coalesce(with_numbers(trimmed), with_years_first(trimmed)))
    return numbers if numbers.null_count < len(numbers) else None, dates


def _parse_dates(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Parse dates with or without a time, a fraction and an offset; without one they are UTC."""
    found = pc.extract_regex(texts, pattern=_DATE_TEXT)
    date, time, second, zone = (pc.struct_field(found, part) for part in ("date", "time", "second", "zone"))
    time = pc.if_else(pc.equal(time, ""), "00:00", time)
    second = pc.if_else(pc.equal(second, ""), ":00", second)
    whole = pc.binary_join_element_wise(date, " ", time, second, "")
    local = pc.strptime(whole, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    # the 30th of February is the 2nd of March to strptime
    day = pc.utf8_slice_codeunits(date, 8, 10).cast(pa.int64())
    local = pc.if_else(pc.equal(pc.day(local), day), local, None)
    named = pc.or_(pc.starts_with(zone, pattern="+"), pc.starts_with(zone, pattern="-"))
    digits = pc.utf8_rpad(pc.replace_substring(zone, ":", ""), 5, padding="0")
    offset = pc.if_else(named, digits, "+0000")
    hours = pc.utf8_slice_codeunits(offset, 1, 3).cast(pa.int64())
    minutes = pc.utf8_slice_codeunits(offset, 3, 5).cast(pa.int64())
    seconds = pc.add(pc.multiply(hours, 3600), pc.multiply(minutes, 60))
    ahead = pc.if_else(pc.starts_with(offset, pattern="-"), pc.negate(seconds), seconds)
    return pc.subtract(local.cast(pa.int64()), ahead)


def _whole_numbers(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cut numbers to int64, null where they are not finite or too large."""
    if pa.types.is_decimal(numbers.type):
        numbers = numbers.cast(pa.float64())
    if pa.types.is_floating(numbers.type):
        numbers = pc.if_else(pc.less(pc.abs(numbers), 2.0**62), numbers, None)
    elif pa.types.is_uint64(numbers.type):
        numbers = pc.if_else(pc.less(numbers, pa.scalar(2**62, pa.uint64())), numbers, None)
    return numbers.cast(pa.int64(), safe=False)
