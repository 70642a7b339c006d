"""The posterior of a Bayesian model as saved: thinned samples, their mean prediction and its spread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskals.errors import ModelError
from daskals.kernels.gibbs.censored import Ends, recorded_moments
from daskals.kernels.scoring.samples import BothSides, sample_variances, stack_samples
from daskals.kernels.scoring.score import predict_pairs
from daskals.kernels.scoring.three_sides import ThreeSides, three_side_moments
from daskals.model.times import MovedTimes, move, move_items, move_times
from daskals.store.checked import checked
from daskals.store.layout import Finite
from daskals.types import FactorRows, Float32, Float64, Int64, Side

_ARRAYS = ("users", "items", "means", "user_spread", "item_spread")
_TIME_ARRAYS = ("times", "time_spread")
_ROUNDED = ("users", "items", "times")
_EXPECTED, _REMEDY = "attributes of a model with samples", "Restore it, or train it anew"


@dataclass(frozen=True)
class _Attributes:
    """What a model's manifest holds of samples."""

    noise_variance: Finite
    ends: tuple[Finite, Finite, Finite, Finite] | None = None
    sample_unit: Annotated[Finite, Field(gt=0)] = 1.0


KEPT_BITS = 10
"""Bits of a sample's mantissa: an error of 0.05 % of a number that the next sample draws quite anew.

Rounded in the unit that the chain saw, and saved in it: rounded in rating units, twice the ratings would be
another model.
"""


def rounded(values: Float32) -> Float32:
    """Round finite numbers, of any shape, to `KEPT_BITS` bits of mantissa: half the bytes then hold them."""
    dropped = np.uint32(23 - KEPT_BITS)
    bits = np.ascontiguousarray(values).view(np.uint32)
    last = (bits >> dropped) & np.uint32(1)
    bits = bits + (np.uint32(1) << (dropped - np.uint32(1))) - np.uint32(1) + last
    return (bits & ~((np.uint32(1) << dropped) - np.uint32(1))).view(np.float32)


def column_units(rank: int, unit: float) -> Float64:
    """Return what [factors, bias] grow by where ratings grow by `unit`, float64, shape (rank + 1,)."""
    return np.array([math.sqrt(unit)] * rank + [unit])


def rounded_in(rows: Float32, unit: float) -> Float32:
    """Return rows, shape (rows, samples, rank + 1), with `KEPT_BITS` bits in this unit of ratings."""
    units = _units_of(rows, unit)
    return rounded(rows / units) * units


def _units_of(rows: Float32, unit: float) -> Float32:
    return column_units(rows.shape[-1] - 1, unit).astype(np.float32)


def _measure_as_rated(rows: Float32, unit: float) -> None:
    """Measure rows of a unit of ratings, shape (rows, samples, rank + 1), in ratings, where they are."""
    if unit != 1.0:
        rows *= _units_of(rows, unit)


STACKED_FLOATS = 1 << 18
"""Of a side's samples that are laid out at once for predictions of pairs, 1 MB: they stay in a cache."""

DATED_PAIRS = 1 << 14
"""Pairs whose items are measured from another date at once."""


class _Chosen(NamedTuple):
    """Which rows some pairs are of, ascending, and which of these each pair is of; −1 for an unknown one.

    `rows`, `places`: int64, shape (chosen,) and (pairs,).
    """

    rows: Int64
    places: Int64


def _chosen(rows: Int64) -> _Chosen:
    found, places = np.unique(rows, return_inverse=True)
    unknown = int(np.searchsorted(found, 0))  # none or one
    return _Chosen(found[unknown:], places.astype(np.int64) - unknown)


@dataclass(frozen=True)
class Samples:
    """Samples of the factors, each with mean zero under its own prior but for the features' part.

    Attributes
    ----------
    users, items
        float32, shape (rows, samples, rank + 1): [factors, bias].
    means
        Global mean of each sample, float64, shape (samples,).
    user_spread, item_spread
        Prior covariance Λ⁻¹ of each sample, float64, shape (samples, rank + 1, rank + 1).
    noise_variance
        Mean variance of a rating about its prediction.
    ends
        Of the rating scale, where ratings count as cut off there: factors then are those of latent values.
    unit
        What the chain measured ratings in: divided by `column_units` of it, rows are rounded.
    times, time_spread
        Rows and prior covariance of the third side, if there is one; behind those of dates with training
        ratings the rows are of others by their kind, the last of any (`model.times`). All are measured from
        the date that the items are as of.
    n_dates
        How many dates have training ratings.
    """

    users: Float32
    items: Float32
    means: Float64
    user_spread: Float64
    item_spread: Float64
    noise_variance: float
    ends: Ends | None = None
    unit: float = 1.0
    times: Float32 | None = None
    time_spread: Float64 | None = None
    n_dates: int = 0

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        return len(self.means)

    @property
    def n_bytes(self) -> int:
        """Bytes of the samples in memory."""
        return sum(getattr(self, name).nbytes for name in self._names)

    @property
    def _names(self) -> tuple[str, ...]:
        return _ARRAYS if self.times is None else (*_ARRAYS, *_TIME_ARRAYS)

    @property
    def stacked_rank(self) -> int:
        """Number of factors of rows whose one product is the mean of the samples' products."""
        return self.n_samples * int(self.users.shape[2] - 1)

    @property
    def mean(self) -> float:
        """Mean of the samples' global means."""
        return float(self.means.mean())

    def stacked(self, side: Side, chosen: Int64) -> FactorRows:
        """Return rows of `stacked_rank` factors whose products are the mean of the samples' products.

        No more rows are laid out than are asked for, since all of them take what the samples take.

        Parameters
        ----------
        side
            Whose; the items' products with the users' are that mean.
        chosen
            Which rows, int64, shape (chosen,).
        """
        if side == "user":
            return stack_samples(self.users, 1.0, chosen)
        return stack_samples(self.items, 1.0 / self.n_samples, chosen)

    def predicted(self, users: Int64, items: Int64) -> Float32:
        """Return the mean of what samples predict of pairs of rows, shape (pairs,); −1 is an unknown row."""
        found, rank = np.empty(len(users), np.float32), self.stacked_rank
        size = max(1, STACKED_FLOATS // (rank + 1))
        for start in range(0, len(users), size):
            here = slice(start, start + size)
            of_users, of_items = _chosen(users[here]), _chosen(items[here])
            stacked = self.stacked("user", of_users.rows), self.stacked("item", of_items.rows)
            found[here] = predict_pairs(of_users.places, of_items.places, *stacked, rank=rank, mean=self.mean)
        return found

    def moved(self, row: int) -> Samples:
        """Return the samples as of another row of `times`; −1 for a date without training ratings."""
        assert self.times is not None, "there is a third side"
        found = move(self.items, self.times, self.means, row)
        return replace(self, items=found.items, times=found.times, means=found.means)

    @cached_property
    def _dateless(self) -> MovedTimes:
        # from where no date has a say: there the prior mean of every side is zero
        assert self.times is not None
        return move_times(self.times, self.means, -1)

    def in_time(self, users: Int64, items: Int64, times: Int64) -> tuple[Float32, Float32]:
        """Return what is predicted of users, items and times, and its standard deviation; see `recorded`.

        All are rows, of shape (pairs,); −1 is an unknown one.
        """
        assert self.times is not None
        assert self.time_spread is not None
        found, deviations = np.empty(len(users), np.float32), np.empty(len(users), np.float32)
        spreads = self.user_spread, self.item_spread, self.time_spread
        for start in range(0, len(users), DATED_PAIRS):
            here = slice(start, start + DATED_PAIRS)
            of_items = _chosen(items[here])
            moved = move_items(self.items[of_items.rows], self.times, -1)
            samples = ThreeSides(self.users, moved, *self._dateless, *spreads, self.n_dates)
            told = three_side_moments(users[here], of_items.places, times[here], samples)
            found[here] = told.mean
            deviations[here] = np.sqrt(told.variance + self.noise_variance)
        return found, deviations

    def deviations(self, users: Int64, items: Int64) -> Float32:
        """Return the predictive standard deviation of each pair of rows; −1 is an unknown row.

        √(posterior variance + noise variance): about 90 % of ratings lie within 1.645 of it. With `ends` it
        is that of the latent values.
        """
        samples = BothSides(self.users, self.items, self.means, self.user_spread, self.item_spread)
        variances = sample_variances(users, items, samples)
        return np.sqrt(variances + self.noise_variance).astype(np.float32)

    def recorded(self, latent: Float32, users: Int64, items: Int64) -> tuple[Float32, Float32]:
        """Return mean and standard deviation of the ratings of pairs of rows, given their mean latent values.

        All have shape (pairs,). Without `ends` a latent value is a rating.
        """
        return self.as_recorded(latent, self.deviations(users, items))

    def as_recorded(self, latent: Float32, deviations: Float32) -> tuple[Float32, Float32]:
        """Return mean and standard deviation of ratings, given those of latent values, shape (pairs,)."""
        if self.ends is None:
            return latent, deviations
        mean, deviation = recorded_moments(
            self.ends, latent.astype(np.float64), deviations.astype(np.float64)
        )
        return mean.astype(np.float32), deviation.astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, as a model folder holds them: rows in the unit they are rounded in."""
        found = {name: getattr(self, name) for name in self._names}
        units = _units_of(self.users, self.unit)
        # a division that is off by a digit of float32 comes back to the bit when it is rounded
        found |= {name: rounded(found[name] / units) for name in _ROUNDED if name in found}
        return {f"samples/{name}": values for name, values in found.items()}

    @classmethod
    def from_stored(
        cls, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any], where: str
    ) -> Self:
        """Build from what the model folder `where` holds, whose arrays are taken over and changed.

        Raises ModelError for damaged `attributes`.
        """
        names = (*_ARRAYS, *_TIME_ARRAYS) if "samples/times" in arrays else _ARRAYS
        found = {name: arrays[f"samples/{name}"] for name in names}
        told = checked(_Attributes, attributes, where, ModelError, expected=_EXPECTED, remedy=_REMEDY)
        for name in _ROUNDED:
            if name in found:
                _measure_as_rated(found[name], told.sample_unit)
        return cls(
            **found,
            noise_variance=told.noise_variance,
            ends=None if told.ends is None else Ends(*told.ends),
            unit=told.sample_unit,
            n_dates=len(arrays.get("times/bins", ())),
        )

    def attributes(self) -> dict[str, Any]:
        """Return what a model's manifest holds of the samples."""
        return {
            "noise_variance": self.noise_variance,
            "ends": None if self.ends is None else list(self.ends),
            **({} if self.unit == 1.0 else {"sample_unit": self.unit}),
        }
