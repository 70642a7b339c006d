"""Dates as Europe writes them with dots, the United States with AM and PM, Japan with slashes.

With the year behind slashes and no AM or PM, 3/4/2015 may be of March or of April: that is for whoever wrote
it to say.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_DOTTED = (
    r"^(?P<day>[0-9]{1,2})\. ?(?P<month>[0-9]{1,2})\. ?(?P<year>[0-9]{4})"
    r"(?:,? +(?P<hour>[0-9]{1,2}):(?P<rest>[0-9]{2}(?::[0-9]{2})?))?$"
)
_HALVES = (
    r"^(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4}),? +"
    r"(?P<hour>[0-9]{1,2}):(?P<rest>[0-9]{2}(?::[0-9]{2})?) ?(?P<half>[AaPp])\.?[Mm]\.?$"
)


_SLASHED = (
    r"^(?P<year>[0-9]{4})/(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})"
    r"(?: +(?P<hour>[0-9]{1,2}):(?P<rest>[0-9]{2}(?::[0-9]{2})?))?$"
)


def with_years_first(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return `15.08.2021 9:30`, `8/15/2021 9:30:00 PM` and `2021/8/15 9:30` as ISO 8601 has them, else null.

    Parameters
    ----------
    texts
        Without blanks around them, shape (rows,).
    """
    dotted, halves, slashed = (pc.extract_regex(texts, pattern=form) for form in (_DOTTED, _HALVES, _SLASHED))
    hour = pc.struct_field(halves, "hour").cast(pa.int64())
    hour = pc.if_else(pc.and_(pc.greater(hour, 0), pc.less_equal(hour, 12)), hour, None)
    hour = pc.if_else(pc.equal(hour, 12), 0, hour)
    afternoon = pc.equal(pc.utf8_lower(pc.struct_field(halves, "half")), "p")
    hour = pc.if_else(afternoon, pc.add(hour, 12), hour)
    plain = (_written(found, pc.struct_field(found, "hour")) for found in (dotted, slashed))
    return pc.coalesce(*plain, _written(halves, hour.cast(pa.string())))


def _written(found: pa.ChunkedArray, hour: pa.ChunkedArray) -> pa.ChunkedArray:
    year, month, day, rest = (pc.struct_field(found, part) for part in ("year", "month", "day", "rest"))
    parts = (pc.utf8_lpad(part, 2, padding="0") for part in (month, day, hour))
    month, day, hour = parts
    date = pc.binary_join_element_wise(year, month, day, "-")
    time = pc.if_else(pc.equal(rest, ""), "", pc.binary_join_element_wise(hour, rest, ":"))
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(date, time, " "))
