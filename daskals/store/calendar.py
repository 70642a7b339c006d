"""What is known of a date before anybody rated on it: its place in the calendar, as features of its row.

Groups of features: `year`, `month` (of the year) and `weekday` have a feature for each value. `walk` is a
random walk over the time of training: a feature for each of some steps, which all dates from it on have, so
that neighbours differ by the few steps between them, and dates to come stand where training ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.kernels.prior.features import FeatureRows, join_columns
from daskals.types import Float32, Int32, Int64

MOST_STEPS = 32
"""Steps of a walk: 22 years of ml-latest-small are cut into eight months each."""


class _Group(NamedTuple):
    """One group of features: how many there are, and how many kinds of dates it tells apart."""

    n_features: int
    n_kinds: int


@dataclass(frozen=True)
class Calendar:
    """Features of dates, by the first and the last of training.

    Attributes
    ----------
    columns
        Which of `TIME_FEATURES`, in the order of W's rows.
    first, last
        Days since 1970 that the first and the last date of training begin with.
    """

    columns: tuple[str, ...]
    first: int
    last: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Features of each group."""
        return tuple(self._group(column).n_features for column in self.columns)

    @property
    def n_kinds(self) -> int:
        """How many kinds of dates there are, those of a kind having the same features."""
        return int(np.prod([self._group(column).n_kinds for column in self.columns], dtype=np.int64))

    @property
    def _years(self) -> tuple[int, int]:
        return int(_year(np.array([self.first]))[0]), int(_year(np.array([self.last]))[0])

    @property
    def _n_steps(self) -> int:
        return int(np.clip(self.last - self.first, 1, MOST_STEPS))

    def _group(self, column: str) -> _Group:
        if column == "walk":
            return _Group(self._n_steps, self._n_steps + 1)
        first, last = self._years
        size = {"year": last - first + 1, "month": 12, "weekday": 7}[column]
        return _Group(size, size + (column == "year"))

    def _kinds_in(self, column: str, days: Int64) -> Int64:
        """Return which kind of a group each day is, shape (days,)."""
        if column == "weekday":
            return np.asarray((days + 3) % 7)  # 1970 began on a Thursday; Mondays are 0
        if column == "month":
            return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
        if column == "year":
            first, last = self._years
            years = _year(days)
            # other years are one kind, of which nothing is known
            return np.where((years < first) | (years > last), last - first + 1, years - first)
        span = self.last - self.first
        done = (np.clip(days, self.first, self.last) - self.first) * (self._n_steps + 1) // max(span, 1)
        return np.minimum(done, self._n_steps)

    def kinds(self, days: Int64) -> Int64:
        """Return the kind of each day since 1970, int64, shape (days,), from 0 up to `n_kinds`."""
        found = np.zeros(len(days), np.int64)
        for column in self.columns:
            found = found * self._group(column).n_kinds + self._kinds_in(column, days)
        return found

    def rows(self, days: Int64) -> FeatureRows:
        """Return the features of days since 1970, shape (days,)."""
        return self._rows_of([self._kinds_in(column, days) for column in self.columns])

    def rows_of_kinds(self) -> FeatureRows:
        """Return the features of each kind of date, in the order of their numbers."""
        sizes = tuple(self._group(column).n_kinds for column in self.columns)
        return self._rows_of(np.unravel_index(np.arange(self.n_kinds), sizes))

    def _rows_of(self, kinds: Sequence[Int64]) -> FeatureRows:
        parts = []
        for column, own in zip(self.columns, kinds, strict=True):
            size = self._group(column).n_features
            parts.append(_steps(own, size) if column == "walk" else _values(own, size))
        return join_columns(parts)


def _year(days: Int64) -> Int64:
    return days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)


def _values(kinds: Int64, size: int) -> FeatureRows:
    """Return one feature for each row, the last kind's none where there are more kinds than features."""
    has = kinds < size
    return _compressed(has.astype(np.int64), kinds[has].astype(np.int32), np.float32(1.0), size)


def _steps(kinds: Int64, size: int) -> FeatureRows:
    """Return all steps that were done, of unit length together where these are all."""
    indices = np.arange(int(kinds.sum())) - np.repeat(np.cumsum(kinds) - kinds, kinds)
    return _compressed(kinds, indices.astype(np.int32), np.float32(1.0 / np.sqrt(size)), size)


def _compressed(counts: Int64, indices: Int32, value: np.float32, size: int) -> FeatureRows:
    indptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    values: Float32 = np.full(len(indices), value, np.float32)
    return FeatureRows(indptr, indices, values, size, np.empty(0, np.int64))
