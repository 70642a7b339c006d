"""Days, weeks or months that a picture shows ratings by: the finest there are not too many of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.store.timing import DAY_SECONDS, UNITS, Unit, bin_numbers, first_day
from daskals.types import Int64

MOST_SHOWN = 400
"""Periods that a line tells apart; months are taken however many there are."""


class Periods(NamedTuple):
    """Periods with ratings.

    `unit`: what each is; `numbers`: which since 1970, int64, shape (periods,), ascending; `places`: the
    period of each thing that was asked about, int64.
    """

    unit: Unit
    numbers: Int64
    places: Int64

    @property
    def first_days(self) -> list[str]:
        """The day that each begins with."""
        return first_days(self.numbers, self.unit)


def shown_periods(days: Int64, finest: Unit = "day") -> Periods:
    """Gather days since 1970, shape (things,), into periods of `finest` or longer, `MOST_SHOWN` at most."""
    for unit in UNITS[UNITS.index(finest) :]:
        numbers, places = np.unique(bin_numbers(days * DAY_SECONDS, unit), return_inverse=True)
        if len(numbers) <= MOST_SHOWN:
            break
    return Periods(unit, numbers, places.astype(np.int64))


def first_days(numbers: Int64, unit: Unit) -> list[str]:
    """Return the day that each day, week or month since 1970 begins with, as ISO text."""
    return [str(first_day(int(number), unit)) for number in numbers]
