"""Dates written as one number: 20150301, or 20150301235959 with a time of the day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.types import Int64

_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_CLOCK = 1_000_000
"""What a date is multiplied by where hours, minutes and seconds follow it."""


def clock_of(least: int, most: int) -> int | None:
    """Return what dates between two numbers are multiplied by for a time of the day; None: they are none."""
    for clock in (1, _CLOCK):
        if least >= _FIRST_YEAR * 10_000 * clock and most < (_LAST_YEAR + 1) * 10_000 * clock:
            return clock
    return None


def calendar_seconds(values: Int64, clock: int) -> Int64 | None:
    """Return dates written as numbers in seconds since 1970, UTC; None where one is no such date.

    As seconds they would all lie in August 1970, as milliseconds after 2570: nothing was rated then.

    Parameters
    ----------
    values
        Shape (rows,).
    clock
        What the dates are multiplied by.
    """
    days, time = np.divmod(values, clock)
    midnights, seconds = _midnights(days), _seconds_of_day(time)
    return None if midnights is None or seconds is None else midnights + seconds


def _midnights(dates: Int64) -> Int64 | None:
    years, rest = np.divmod(dates, 10_000)
    months, days = np.divmod(rest, 100)
    if not ((months >= 1) & (months <= 12) & (days >= 1)).all():
        return None
    begins = ((years - 1970) * 12 + months - 1).astype("datetime64[M]")
    lengths = ((begins + 1).astype("datetime64[D]") - begins.astype("datetime64[D]")).astype(np.int64)
    if (days > lengths).any():
        return None
    midnights: NDArray[np.int64] = begins.astype("datetime64[s]").astype(np.int64) + (days - 1) * 86_400
    return midnights


def _seconds_of_day(times: Int64) -> Int64 | None:
    hours, rest = np.divmod(times, 10_000)
    minutes, seconds = np.divmod(rest, 100)
    if ((hours > 23) | (minutes > 59) | (seconds > 59)).any():
        return None
    whole: Int64 = hours * 3600 + minutes * 60 + seconds
    return whole
