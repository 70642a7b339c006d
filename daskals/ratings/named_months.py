"""Dates with the names of months, as mail, Twitter, Goodreads and shops write them, in ISO 8601's form."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_NAMES = pa.array([*(name[:3] for name in _MONTHS), *_MONTHS])
_NUMBERS = pa.array([f"{number:02}" for number in range(1, 13)] * 2)

_WEEKDAY = r"^(?:[A-Za-z]{3,9},? +)?"
_CLOCK = r"(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
_ZONE = r"(?P<zone>[+-][0-9]{4}|GMT|UTC)"
_FORMS = (
    rf"{_WEEKDAY}(?P<month>[A-Za-z]{{3,9}})\.? +(?P<day>[0-9]{{1,2}}),?(?: +{_CLOCK})?(?: +{_ZONE})?"
    r" +(?P<year>[0-9]{4})$",
    rf"{_WEEKDAY}(?P<day>[0-9]{{1,2}})[ -](?P<month>[A-Za-z]{{3,9}})[ -](?P<year>[0-9]{{4}})"
    rf"(?: +{_CLOCK})?(?: +{_ZONE})?$",
)
"""`Sat Jul 06 15:04:51 -0700 2009` and `July 6, 2009`; `Mon, 06 Jul 2009 15:04:51 GMT` and `6-Jul-2009`."""


def with_numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dates with names of months as `2009-07-06 15:04:51 -0700`, null where a text is none.

    Parameters
    ----------
    texts
        Without blanks around them, shape (rows,).
    """
    first, second = (_written(texts, form) for form in _FORMS)
    return pc.coalesce(first, second)


def _written(texts: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    found = pc.extract_regex(texts, pattern=form)
    year, month, day, time, zone = (
        pc.struct_field(found, part) for part in ("year", "month", "day", "time", "zone")
    )
    number = _NUMBERS.take(pc.index_in(pc.utf8_lower(month), value_set=_NAMES).combine_chunks())
    date = pc.binary_join_element_wise(year, number, pc.utf8_lpad(day, 2, padding="0"), "-")
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(date, time, zone, " "))
