"""Dates as people name them, and the last moment they stand for."""

from __future__ import annotations

import datetime as dt
import re

from daskals.errors import ConfigError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def last_moment(text: str) -> int:
    """Return the last second since 1970 that belongs to a date, or the one a moment names; UTC.

    Parameters
    ----------
    text
        `YYYY-MM-DD`, which lasts until its end, or an ISO 8601 moment such as `2024-05-01T06:00:00+02:00`;
        without an offset it is UTC.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    try:
        if _DATE.fullmatch(text):
            end = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(23, 59, 59), dt.UTC)
            return int(end.timestamp())
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"found {text!r}",
            where="--as-of",
            expected="a date such as 2024-05-01, or a moment such as 2024-05-01T06:00:00",
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())
