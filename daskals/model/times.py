"""A third side of time in a saved model: its rows, the dates they stand for, and a model as of a date.

With r̂ = μ + b_u + b_i + b_t + p·q + p·d_t + q·d_t, all that is asked at one date t is asked of the two-sided
model whose items have the factors q + d_t and the biases b_i + q·d_t, its mean being μ + b_t. A saved model's
items are those as of the latest date of training, T, and its times are measured from there: e_t = d_t − d_T
and c_t = b_t − b_T − d_T·e_t say what d_t and b_t said. So whatever knows nothing of dates is as of T.

Samples have that each. The factors that stand for them predict μ + c_t + b_u + b_i + p·q + p·e_t + q·e'_t:
users and items have bases of their own, e is in the items', which users are multiplied with, e' in the
users'. By these, rows are solved for ratings of other dates (`joined_pieces`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskals.config.arguments import shown
from daskals.config.dates import TimeFeature
from daskals.errors import ConfigError, DataError, ModelError
from daskals.kernels.half_step.joined import PIECE_RATINGS, Joined
from daskals.kernels.toolkit.layout import pack_rows
from daskals.store.checked import checked
from daskals.store.timing import Timing, Unit, bin_numbers, first_day
from daskals.types import FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, Side

When: TypeAlias = Any
"""A date, or several: ISO text (`2018-09-21`), `datetime.date`, `datetime64`, or seconds since 1970.

What has a time zone is taken as UTC has it.
"""

FLAG = "--as-of"

MOST_SECONDS = float(1 << 53)
"""Seconds since 1970 that a number with a point may be: beyond, it skips some."""


@dataclass(frozen=True)
class _Attributes:
    """What a model's manifest holds of its dates."""

    time_unit: Unit
    time_row: Annotated[int, Field(ge=-1)]
    time_features: tuple[TimeFeature, ...] = ()


class SeenDates(NamedTuple):
    """What dates do to the other side's rows.

    `gained`, `multiplied`: float32, shape (dates, rank), what its factors gain and are multiplied with;
    `biases`: float32, shape (dates,), what is added to every rating.
    """

    gained: Float32
    multiplied: Float32
    biases: Float32


class FromDate(NamedTuple):
    """Global mean and rows of items, shape (items, stride), as of a date."""

    mean: float
    items: FactorRows


@dataclass(frozen=True, eq=False)
class TimeRows:
    """The dates of a model's third side.

    Attributes
    ----------
    timing
        Which days, weeks or months have a row, and how many training ratings each.
    factors
        float32, shape (dates, rank): what the factors that stand for the samples gain by each date, from the
        one that the model is as of. Behind the rows of bins are those of dates without training ratings, one
        of each kind where dates have features, and one of any.
    row
        That of the date that the model is as of; −1 for any without training ratings.
    user_factors, biases
        The same of what users' factors gain, float32, shape (dates, rank), and of what is added to every
        rating, (dates,). None of models of an older version: they take in no ratings.
    """

    timing: Timing
    factors: Float32
    row: int
    user_factors: Float32 | None = None
    biases: Float32 | None = None

    @property
    def latest(self) -> date:
        """First day of the latest bin of training."""
        return first_day(int(self.timing.bins[-1]), self.timing.unit)

    def rows_of(self, when: When) -> Int64:
        """Return the row of each date, int64, shape (dates,).

        That of a date without training ratings is that of its kind, −1 where dates have no features.

        Raises
        ------
        ConfigError
            If something is no date.
        DataError
            If a date lies before training begins.
        """
        seconds = seconds_of(when)
        rows = self.timing.rows_of(seconds).astype(np.int64)
        first = first_day(int(self.timing.bins[0]), self.timing.unit)
        before = seconds < np.datetime64(first, "s").astype(np.int64)
        if before.any():
            early = np.datetime64(int(seconds[before][0]), "s").astype("datetime64[D]")
            raise DataError(
                f"{early} lies before training, which begins on {first}",
                where=f"{FLAG}={early}",
                expected=f"a date from {first} on",
            )
        return np.where(rows == self.timing.n_rows - 1, -1, rows)

    def row_of(self, when: When) -> int:
        """Return the row of one date, as `rows_of` does; raise ConfigError where there is not one."""
        rows = self.rows_of(when)
        if len(rows) != 1:
            raise ConfigError(f"found {len(rows)} dates", where=FLAG, expected="one")
        return int(rows[0])

    def rows_at(self, numbers: Int32) -> Int32:
        """Return the row of each day, week or month since 1970, int32, shape (dates,), as `rows_of` does."""
        rows = self.timing.rows_at(numbers.astype(np.int64))
        return np.where(rows == self.timing.n_rows - 1, -1, rows).astype(np.int32)

    def has_ratings(self, numbers: Int32) -> NDArray[np.bool_]:
        """Return which days, weeks or months since 1970 have training ratings, bool, shape (dates,)."""
        return np.asarray(self.timing.rows_at(numbers.astype(np.int64)) < len(self.timing.bins))

    def numbers_of(self, seconds: Int64) -> Int32:
        """Return the day, week or month of times in seconds since 1970, int32, of their shape (times,)."""
        return bin_numbers(seconds, self.timing.unit).astype(np.int32)

    def moved(self, row: int) -> TimeRows:
        """Return the dates as measured from another row."""
        factors = self.factors - self.factors[row]
        if self.user_factors is None or self.biases is None:
            return TimeRows(self.timing, factors, row)
        of_users = self.user_factors - self.user_factors[row]
        biases = self.biases - self.biases[row] - np.sum(of_users * self.factors[row], axis=1)
        return TimeRows(self.timing, factors, row, of_users, biases)

    def seen_from(self, row: int, mean: float, items: FactorRows) -> FromDate:
        """Return mean and items, shape (items, stride), as of the date of another row, by the factors."""
        gained, multiplied, biases = self.as_seen_by("user")
        rank = gained.shape[1]
        factors, unseen = items[:, :rank], gained[-1]
        # measured from where no date has a say, so that there is one way to be as of a date
        of_items = items[:, rank + 1] + np.sum((factors + unseen) * multiplied[row], axis=1)
        mean += float(biases[row]) - float(np.sum(unseen * multiplied[row]))
        return FromDate(mean, pack_rows(factors + gained[row], of_items))

    def predicted(
        self, user_rows: FactorRows, item_rows: FactorRows, users: Int64, items: Int64, dates: Int64
    ) -> Float32:
        """Return what factors predict beside the mean, float32, shape (pairs,).

        Parameters
        ----------
        user_rows, item_rows
            Factor rows, shape (rows, stride).
        users, items, dates
            Which rows, −1 for an unknown one, and rows of dates, shape (pairs,).
        """
        gained, multiplied, biases = self.as_seen_by("user")
        rank, found = gained.shape[1], np.empty(len(users), np.float32)
        for start in range(0, len(users), PIECE_RATINGS):  # what is taken out of the rows stays small
            here = slice(start, start + PIECE_RATINGS)
            of_users, of_items = _rows_at(user_rows, users[here]), _rows_at(item_rows, items[here])
            of_dates = dates[here]
            p, q = of_users[:, :rank], of_items[:, :rank]
            added = np.sum(p * (q + gained[of_dates]) + q * multiplied[of_dates], axis=1)
            found[here] = biases[of_dates] + of_users[:, rank + 1] + of_items[:, rank + 1] + added
        return found

    def joined_pieces(self, block: RatingsBlock, other: FactorRows, side: Side) -> Iterator[Joined]:
        """Cut a block into pieces of whole rows, and make the other side's row of each rating as of its date.

        Parameters
        ----------
        block
            Ratings of one side, whose `thirds` are rows of dates; −1 for one without training ratings.
        other
            Rows of the other side, shape (rows, stride).
        side
            Whose ratings they are.
        """
        assert block.thirds is not None, "its ratings have dates"
        gained, multiplied, biases = self.as_seen_by(side)
        rank, start = gained.shape[1], 0
        while start < block.n_rows:
            most = block.indptr[start] + PIECE_RATINGS
            stop = max(int(np.searchsorted(block.indptr, most, side="right")) - 1, start + 1)
            stop = min(stop, block.n_rows)
            here = slice(int(block.indptr[start]), int(block.indptr[stop]))
            own, dates = other[block.indices[here]], block.thirds[here]
            factors = own[:, :rank]
            joined = pack_rows(
                factors + gained[dates],
                own[:, rank + 1] + biases[dates] + np.sum(factors * multiplied[dates], axis=1),
            )
            piece = RatingsBlock(
                block.start + start,
                block.indptr[start : stop + 1] - block.indptr[start],
                np.arange(here.stop - here.start, dtype=np.int32),
                block.values[here],
                block.scale,
            )
            yield Joined(piece, joined)
            start = stop

    def as_seen_by(self, side: Side) -> SeenDates:
        """Return what dates do to the rows that a side's ratings are of."""
        assert self.user_factors is not None, "an older version's model is not asked this"
        assert self.biases is not None, "an older version's model is not asked this"
        if side == "user":
            return SeenDates(self.factors, self.user_factors, self.biases)
        return SeenDates(self.user_factors, self.factors, self.biases)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a model folder holds them."""
        arrays: dict[str, NDArray[Any]] = {
            "times/bins": self.timing.bins,
            "times/counts": self.timing.counts,
            "times/factors": self.factors,
        }
        if self.user_factors is not None and self.biases is not None:
            arrays |= {"times/user_factors": self.user_factors, "times/biases": self.biases}
        return arrays

    @classmethod
    def from_stored(
        cls, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any], where: str
    ) -> Self:
        """Build from what the model folder `where` holds; raises ModelError for damaged `attributes`."""
        told = checked(
            _Attributes,
            attributes,
            where,
            ModelError,
            expected="attributes of a model with dates",
            remedy="Restore it, or train it anew",
        )
        timing = Timing(told.time_unit, arrays["times/bins"], arrays["times/counts"], told.time_features)
        if len(arrays["times/factors"]) != timing.n_rows:
            raise ModelError(
                f"times/factors has {len(arrays['times/factors']):,} rows",
                where=where,
                expected=f"{timing.n_rows:,}, one for each of its dates and for others",
                remedy="Restore it, or train it anew",
            )
        if told.time_row >= timing.n_rows - 1:
            raise ModelError(
                f"time_row is {told.time_row}",
                where=where,
                expected=f"a row of its {timing.n_rows - 1:,} dates",
                remedy="Restore it, or train it anew",
            )
        beside = arrays.get("times/user_factors"), arrays.get("times/biases")
        return cls(timing, arrays["times/factors"], told.time_row, *beside)

    def attributes(self) -> dict[str, Any]:
        """Return what a model's manifest holds of the dates."""
        features = {"time_features": list(self.timing.columns)} if self.timing.columns else {}
        return {"time_unit": self.timing.unit, "time_row": self.row, **features}


def seconds_of(when: When) -> Int64:
    """Return dates as seconds since 1970, int64, shape (dates,); raise ConfigError where one is none."""
    values = np.atleast_1d(np.asarray(when))
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    try:
        seconds = _moments(values)
    except (ValueError, TypeError, OverflowError):
        seconds = np.full(1, "NaT", "datetime64[s]")
    if np.isnat(seconds).any():
        raise ConfigError(
            f"found {shown(when)}, which is no date",
            where=FLAG,
            expected="a day such as 2018-09-21, or seconds since 1970",
        )
    return seconds.astype(np.int64)


def _moments(values: NDArray[Any]) -> NDArray[np.datetime64]:
    """Read dates that are no whole numbers, shape (dates,), as NumPy does, those of a time zone in UTC."""
    if values.dtype.kind not in "fMOU":
        raise TypeError
    if values.dtype.kind == "f":
        values = np.where(np.abs(values) <= MOST_SECONDS, values, np.nan)
    if values.dtype.kind in "OU":
        values = np.array([_without_zone(one) for one in values.tolist()], object)
    return values.astype("datetime64[s]")


def _without_zone(moment: Any) -> Any:
    """Return a moment of a time zone as UTC has it; anything else as it is."""
    with suppress(ValueError):  # whatever else a text may be
        read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        if isinstance(read, datetime) and read.tzinfo is not None:
            return read.astimezone(UTC).replace(tzinfo=None)
    return moment


class MovedTimes(NamedTuple):
    """Samples of times as measured from a date, and the global means that go with them.

    `times`: float32, shape (rows, samples, rank + 1); `means`: float64, shape (samples,).
    """

    times: Float32
    means: Float64


class Moved(NamedTuple):
    """Samples of items and times as measured from a date, with their global means; see `move`."""

    items: Float32
    times: Float32
    means: Float64


def move(items: Float32, times: Float32, means: Float64, row: int) -> Moved:
    """Measure items and times from a date; every prediction stays as it is.

    Parameters
    ----------
    items, times
        Shape (rows, samples, rank + 1): [factors, bias] of each sample; the last of `times` are of any date
        without training ratings, where the prior mean of all sides is zero.
    means
        Global mean of each sample, shape (samples,).
    row
        That of the date among `times`.
    """
    return Moved(move_items(items, times, row), *move_times(times, means, row))


def move_items(items: Float32, times: Float32, row: int) -> Float32:
    """Measure items alone, each by itself, shape (items, samples, rank + 1), from a date; see `move`."""
    moved = np.empty_like(items)
    for sample in range(items.shape[1]):
        e, unseen = (times[of, sample, :-1].astype(np.float64) for of in (row, -1))
        of_items = items[:, sample].astype(np.float64)
        of_items[:, -1] += _dot(of_items[:, :-1] + unseen, e)
        of_items[:, :-1] += e
        moved[:, sample] = of_items
    return moved


def move_times(times: Float32, means: Float64, row: int) -> MovedTimes:
    """Measure times, shape (rows, samples, rank + 1), and means, (samples,), alone; see `move`."""
    moved = MovedTimes(np.empty_like(times), means.astype(np.float64))
    for sample in range(len(means)):
        of_time = times[:, sample].astype(np.float64)
        e, unseen = of_time[row, :-1], of_time[-1, :-1]
        moved.means[sample] += of_time[row, -1] - _dot(unseen[None], e)[0]
        further = of_time - of_time[row]
        further[:, -1] -= _dot(further[:, :-1], e)
        moved.times[:, sample] = further
    return moved


def _rows_at(rows: FactorRows, places: Int64) -> FactorRows:
    found = rows[places]
    found[places < 0] = 0.0
    return found


def _dot(rows: Float64, vector: Float64) -> Float64:
    # not BLAS, whose sums depend on its threads
    return np.asarray(np.sum(rows * vector, axis=1))
