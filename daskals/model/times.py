"""A third side of time in a saved model: its rows, the dates they stand for, and a model as of a date.

With r̂ = μ + b_u + b_i + b_t + p·q + p·d_t + q·d_t, all that is asked at one date t is asked of the two-sided
model whose items have the factors q + d_t and the biases b_i + q·d_t, its mean being μ + b_t. A saved model's
items are those as of the latest date of training, T, and its times are measured from there: e_t = d_t − d_T
and c_t = b_t − b_T − d_T·e_t say what d_t and b_t said. So whatever knows nothing of dates is as of T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskals.errors import ConfigError, DataError, ModelError
from daskals.store.checked import checked
from daskals.store.timing import Timing, Unit, first_day
from daskals.types import Float32, Float64, Int64

When: TypeAlias = Any
"""A date, or several: ISO text (`2018-09-21`), `datetime.date`, `datetime64`, or seconds since 1970."""

FLAG = "--as-of"


@dataclass(frozen=True)
class _Attributes:
    """What a model's manifest holds of its dates."""

    time_unit: Unit
    time_row: Annotated[int, Field(ge=-1)]


@dataclass(frozen=True, eq=False)
class TimeRows:
    """The dates of a model's third side.

    Attributes
    ----------
    timing
        Which days, weeks or months have a row, and how many training ratings each.
    factors
        float32, shape (bins + 1, rank): what the factors that stand for the samples gain by each date, from
        the one that the model is as of; the last row is any date without training ratings.
    row
        That of the date that the model is as of; −1 for one without training ratings.
    """

    timing: Timing
    factors: Float32
    row: int

    @property
    def latest(self) -> date:
        """First day of the latest bin of training."""
        return first_day(int(self.timing.bins[-1]), self.timing.unit)

    def rows_of(self, when: When) -> Int64:
        """Return the row of each date, int64, shape (dates,); −1 for one without training ratings.

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
        return np.where(rows == len(self.timing.bins), -1, rows)

    def moved(self, row: int) -> TimeRows:
        """Return the dates as measured from another row."""
        return TimeRows(self.timing, self.factors - self.factors[row], row)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a model folder holds them."""
        return {
            "times/bins": self.timing.bins,
            "times/counts": self.timing.counts,
            "times/factors": self.factors,
        }

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
        timing = Timing(told.time_unit, arrays["times/bins"], arrays["times/counts"])
        if told.time_row >= len(timing.bins):
            raise ModelError(
                f"time_row is {told.time_row}",
                where=where,
                expected=f"a row of its {len(timing.bins):,} dates",
                remedy="Restore it, or train it anew",
            )
        return cls(timing, arrays["times/factors"], told.time_row)

    def attributes(self) -> dict[str, Any]:
        """Return what a model's manifest holds of the dates."""
        return {"time_unit": self.timing.unit, "time_row": self.row}


def seconds_of(when: When) -> Int64:
    """Return dates as seconds since 1970, int64, shape (dates,); raise ConfigError where one is none."""
    values = np.atleast_1d(np.asarray(when))
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    try:
        seconds = values.astype("datetime64[s]")
    except (ValueError, TypeError):
        seconds = np.full(1, "NaT", "datetime64[s]")
    if np.isnat(seconds).any():
        raise ConfigError(
            f"found {when!r}, which is no date" if isinstance(when, str) else "something is no date",
            where=FLAG,
            expected="a day such as 2018-09-21, or seconds since 1970",
        )
    return seconds.astype(np.int64)


class Moved(NamedTuple):
    """Samples of items and times as measured from a date, and the global means that go with them.

    `items`, `times`: float32, shape (rows, samples, rank + 1); `means`: float64, shape (samples,).
    """

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
    moved = Moved(np.empty_like(items), np.empty_like(times), means.astype(np.float64))
    for sample in range(len(means)):
        of_time = times[:, sample].astype(np.float64)
        e, unseen = of_time[row, :-1], of_time[-1, :-1]
        moved.means[sample] += of_time[row, -1] - _dot(unseen[None], e)[0]
        of_items = items[:, sample].astype(np.float64)
        of_items[:, -1] += _dot(of_items[:, :-1] + unseen, e)
        of_items[:, :-1] += e
        moved.items[:, sample] = of_items
        further = of_time - of_time[row]
        further[:, -1] -= _dot(further[:, :-1], e)
        moved.times[:, sample] = further
    return moved


def _dot(rows: Float64, vector: Float64) -> Float64:
    # not BLAS, whose sums depend on its threads
    return np.asarray(np.sum(rows * vector, axis=1))
