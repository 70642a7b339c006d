"""When ratings were made, as rows of a third side: the days, weeks or months of training, each a bin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from daskals.errors import DataError
from daskals.kernels.data.csr import count_visits
from daskals.kernels.prior.features import FeatureRows
from daskals.store.calendar import Calendar
from daskals.store.layout import CHUNK_RATINGS
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.weighing import check_has_timestamps
from daskals.types import NARROW_ROWS, Int32, Int64, Side, UInt16

Unit: TypeAlias = Literal["day", "week", "month"]
UNITS: tuple[Unit, ...] = ("day", "week", "month")

MOST_BINS = 20_000
"""Bins of a third side at most, 55 years of days: each has factors of its own, in every sample."""

DAY_SECONDS = 86_400

MOST_DAYS = 1 << 20
"""Days that a table may hold: 2,900 years."""


@dataclass(frozen=True, eq=False)
class Timing:
    """The bins that training ratings fall into. Small: it travels with every block.

    Attributes
    ----------
    unit
        What a bin is; weeks begin on Mondays, all in UTC.
    bins
        Those with training ratings, int64, shape (bins,), ascending: days, weeks or months since 1970.
    counts
        Training ratings of each, int64, shape (bins,).
    columns
        Which features of the calendar dates have (`store.calendar`), if any.
    """

    unit: Unit
    bins: Int64
    counts: Int64
    columns: tuple[str, ...] = ()

    @cached_property
    def calendar(self) -> Calendar | None:
        """The features of dates; None where they have none."""
        if not self.columns:
            return None
        first, last = days_of(self.bins[[0, -1]], self.unit).tolist()
        return Calendar(self.columns, first, last)

    @property
    def n_rows(self) -> int:
        """How many rows tell of all dates: bins, others by their kind where there are features, and any."""
        return len(self.bins) + (0 if self.calendar is None else self.calendar.n_kinds) + 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a date's row as it is kept with each rating: two where these can count them."""
        return third_bytes(self.n_rows)

    def kept_rows_of(self, seconds: Int64) -> Int32 | UInt16:
        """Return what `rows_of` does as it is kept with each rating, uint16 or int32, shape (times,)."""
        rows = self.rows_of(seconds)
        return rows.astype(np.uint16) if self.row_bytes == 2 else rows

    def features(self, start: int, stop: int) -> FeatureRows:
        """Return the features of bins [start, stop), where dates have some."""
        assert self.calendar is not None, "dates have features"
        return self.calendar.rows(days_of(self.bins[start:stop], self.unit))

    def rows_of(self, seconds: Int64) -> Int32:
        """Return the row of each time in seconds since 1970, int32, (times,); see `rows_at`."""
        by_day = self._rows_by_day
        if by_day is None:
            return self.rows_at(bin_numbers(seconds, self.unit))
        days = seconds // DAY_SECONDS
        days -= by_day.first
        beyond = (days < 0) | (days >= len(by_day.rows))
        if not beyond.any():
            return by_day.rows[days]
        rows = by_day.rows[np.where(beyond, 0, days)]
        rows[beyond] = self.rows_at(bin_numbers(seconds[beyond], self.unit))
        return rows

    @cached_property
    def _rows_by_day(self) -> _RowsByDay | None:
        """The row of each day from the first bin to the last; None where these are too far apart.

        A search among the bins takes a rating 80 ns, a look into a table 5.
        """
        first, last = days_of(self.bins[[0, -1]], self.unit).tolist()
        if last - first >= MOST_DAYS:
            return None
        days = np.arange(first, last + 1)
        return _RowsByDay(first, self.rows_at(bin_numbers(days * DAY_SECONDS, self.unit)))

    def rows_at(self, wanted: Int64) -> Int32:
        """Return the row of each day, week or month since 1970, int32, shape (dates,).

        That of a date without training ratings is the number of bins, and with features that and its kind:
        behind the rows of bins one may put what such dates are drawn to.
        """
        places = np.minimum(np.searchsorted(self.bins, wanted), len(self.bins) - 1)
        seen, calendar = self.bins[places] == wanted, self.calendar
        kinds = 0 if calendar is None else calendar.kinds(days_of(wanted, self.unit))
        return np.where(seen, places, len(self.bins) + kinds).astype(np.int32)


class _RowsByDay(NamedTuple):
    """Rows of successive days, int32, shape (days,), from day `first` since 1970 on."""

    first: int
    rows: Int32


def third_bytes(n_rows: int) -> int:
    """Return the bytes that a row of a third side of `n_rows` takes with each rating that names it."""
    return 2 if n_rows <= NARROW_ROWS else 4


class FoundTiming(NamedTuple):
    """The third side of a split's ratings, None where there is none to speak of, and what is to be told."""

    timing: Timing | None
    note: str | None


class TrainingPiece(NamedTuple):
    """Training ratings, some of a side's: their places among all of it, and their times in seconds."""

    places: Int64
    seconds: Int64


def bin_numbers(seconds: Int64, unit: Unit) -> Int64:
    """Return the day, week or month since 1970 of times in seconds since then, of their shape (times,)."""
    days = seconds // DAY_SECONDS
    if unit == "week":
        return np.asarray((days + 3) // 7)  # 1970 began on a Thursday
    if unit == "month":
        return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray(days)


def first_day(number: int, unit: Unit) -> date:
    """Return the day that a bin begins with."""
    if unit == "month":
        return date(1970 + number // 12, number % 12 + 1, 1)
    days = number if unit == "day" else 7 * number - 3
    return datetime.fromtimestamp(days * DAY_SECONDS, UTC).date()


def days_of(numbers: Int64, unit: Unit) -> Int64:
    """Return the days since 1970 that days, weeks or months begin with, int64, shape (numbers,)."""
    if unit == "month":
        return numbers.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return np.asarray(numbers if unit == "day" else 7 * numbers - 3)


def timing_of(store: RatingsStore, split: Split, unit: Unit, columns: tuple[str, ...] = ()) -> FoundTiming:
    """Find the bins of the training ratings.

    Days that are more than `MOST_BINS` become weeks, and those months.

    Parameters
    ----------
    store, split
        The ratings, and which of them train.
    unit
        What a bin shall be.
    columns
        Features that dates shall have; of weeks and months a weekday is none.

    Raises
    ------
    DataError
        If the ratings have no timestamps, or are spread over too many months.
    """
    check_has_timestamps(store, "--time-bins", unit)
    days, counts = _training_days(split)
    if len(days) == 1:
        return FoundTiming(
            None,
            f"all training ratings were made on {first_day(int(days[0]), 'day')}: there is no third side",
        )
    asked = unit
    for unit in UNITS[UNITS.index(asked) :]:
        numbers, of_days = np.unique(bin_numbers(days * DAY_SECONDS, unit), return_inverse=True)
        if len(numbers) > MOST_BINS:
            continue
        if len(numbers) == 1:
            first = first_day(int(numbers[0]), unit)
            told = f"all training ratings were made in the {unit} of {first}: there is no third side"
            return FoundTiming(None, told)
        totals = np.bincount(of_days, counts, len(numbers)).astype(np.int64)
        note = None if unit == asked else _coarser(asked, unit, days, len(numbers))
        own = tuple(column for column in columns if unit == "day" or column != "weekday")
        return FoundTiming(Timing(unit, numbers, totals, own), note)
    raise DataError(
        f"training ratings of {len(numbers):,} months, from {first_day(int(days[0]), 'day')} on",
        where=f"--time-bins={asked}",
        expected=f"at most {MOST_BINS:,}",
        remedy="Look whether the timestamps are what they seem, or leave --time-bins out",
    )


def _coarser(asked: Unit, taken: Unit, days: Int64, n_bins: int) -> str:
    first, last = (first_day(int(day), "day") for day in days[[0, -1]])
    return (
        f"training ratings of more than {MOST_BINS:,} {asked}s, from {first} to {last}: "
        f"--time-bins={taken} is taken, {n_bins:,} of them"
    )


def _training_days(split: Split) -> tuple[Int64, Int64]:
    """Return the days with training ratings, ascending, and how many each has, both of shape (days,)."""
    days, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for piece in training_pieces(split):
        own, n = _counted(piece.seconds // DAY_SECONDS)
        both = np.concatenate([days, own])
        days, places = np.unique(both, return_inverse=True)
        counts = np.bincount(places, np.concatenate([counts, n]), len(days)).astype(np.int64)
    return days, counts


def _counted(days: Int64) -> tuple[Int64, Int64]:
    """Return which days there are, ascending, and how often, both of shape (different days,)."""
    first = int(days.min(initial=0))
    if not len(days) or int(days.max()) - first >= MOST_DAYS:
        return np.unique(days, return_counts=True)
    counts = np.bincount(days - first)
    own = np.flatnonzero(counts)
    return own + first, counts[own]


def part_seconds(store: RatingsStore, split: Split, side: Side, rows: tuple[int, int], part: int) -> Int64:
    """Return when the ratings of one part were made, in seconds since 1970, int64, shape (ratings,).

    They are in the order of the part's block.

    Parameters
    ----------
    store, split
        The ratings, and their parts.
    side, rows, part
        Whose rows, and which; TRAIN, VALIDATION or TEST.
    """
    starts = store.read_starts(side, *rows)
    first, last = int(starts[0]), int(starts[-1])
    own = split.parts(side, first, last) == part
    return np.asarray(store.read_column(side, "timestamps", first, last)[own])


def ratings_a_visit(split: Split, timing: Timing) -> float:
    """Return how many training ratings a user made on one date in the mean, at least 1.

    What they tell of that date they tell of that user as well: a date is known by its users, not its ratings.
    """
    ends = split.ratings.indptr("user")[1:]
    last_user, visits = np.full(timing.n_rows, -1, np.int32), 0
    for piece in training_pieces(split):
        users = np.searchsorted(ends, piece.places, side="right").astype(np.int32)
        visits += count_visits(users, timing.rows_of(piece.seconds), last_user)
    return split.n_train / visits


def mean_seconds(split: Split) -> Int64:
    """Return about when each user rated: the mean of their training ratings, in seconds since 1970.

    They are read piece by piece; of ratings whose times have been read, see `means_of_rows`.

    Returns
    -------
    Int64
        Shape (users,), rounded down; 0 of users without any.
    """
    starts = split.ratings.indptr("user")
    totals, counts = np.zeros(len(starts) - 1, np.int64), np.zeros(len(starts) - 1, np.int64)
    for piece in training_pieces(split):
        users = np.searchsorted(starts[1:], piece.places, side="right")
        first = np.flatnonzero(np.diff(users, prepend=-1))
        totals[users[first]] += np.add.reduceat(piece.seconds, first) if len(first) else 0
        counts[users[first]] += np.diff(first, append=len(users))
    return totals // np.maximum(counts, 1)


def means_of_rows(seconds: Int64, indptr: Int64) -> Int64:
    """Return the mean of each row's times, int64, shape (rows,), as `mean_seconds` does.

    Parameters
    ----------
    seconds, indptr
        When each rating was made, int64, shape (ratings,); where each row's begin, shape (rows + 1,).
    """
    counts = np.diff(indptr)
    totals, rated = np.zeros(len(counts), np.int64), np.flatnonzero(counts)
    if len(rated):
        totals[rated] = np.add.reduceat(seconds, indptr[rated])
    return totals // np.maximum(counts, 1)


def training_pieces(split: Split) -> Iterator[TrainingPiece]:
    """Go through the training ratings in the users' order."""
    for start, stop, trains in split.pieces(at_once=CHUNK_RATINGS):
        seconds = split.ratings.read_column("user", "timestamps", start, stop)[trains]
        yield TrainingPiece(start + np.flatnonzero(trains), seconds)
