"""Counts and sums over all ratings of a store, from its columns a range at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from daskals.store.reader import RatingsStore
from daskals.types import Float32, Float64, Int64, UInt8

RATINGS_AT_ONCE = 4_000_000
FLOAT_BINS = 40
"""Bins of the histogram where ratings are no scale of at most 256 values."""


class Histogram(NamedTuple):
    """How often each rating was given.

    `values`: the distinct ratings; of a continuous scale the middles of bins. Shape (values,). `counts`:
    int64, shape (values,); `bin_width`: width of a bin, 0 where values are the ratings themselves.
    """

    values: Float64
    counts: Int64
    bin_width: float


class Moments(NamedTuple):
    """Number, mean, standard deviation and limits of all ratings."""

    n: int
    mean: float
    deviation: float
    low: float
    high: float


def ratings_of(values: UInt8 | Float32, scale: Float32) -> Float64:
    """Decode stored values into ratings, shape (ratings,); `scale` has shape (codes,), or is empty."""
    return scale.astype(np.float64)[values] if len(scale) else values.astype(np.float64)


def rating_histogram(store: RatingsStore) -> tuple[Histogram, Moments]:
    """Count the ratings of each value."""
    if not len(store.scale):
        return _float_histogram(store)
    counts = np.zeros(len(store.scale), np.int64)
    for first, last in _ranges(store.n_ratings):
        codes = store.read_column("user", "values", first, last)
        counts += np.bincount(codes, minlength=len(counts))
    values = store.scale.astype(np.float64)
    mean = float(counts @ values) / store.n_ratings
    deviation = float(np.sqrt(counts @ (values - mean) ** 2 / store.n_ratings))
    return Histogram(values, counts, 0.0), Moments(
        store.n_ratings, mean, deviation, float(values[0]), float(values[-1])
    )


def _float_histogram(store: RatingsStore) -> tuple[Histogram, Moments]:
    values = store.read_column("user", "values", 0, store.n_ratings).astype(np.float64)
    counts, edges = np.histogram(values, bins=FLOAT_BINS)
    return Histogram((edges[:-1] + edges[1:]) / 2, counts, float(edges[1] - edges[0])), Moments(
        len(values), float(values.mean()), float(values.std()), float(values.min()), float(values.max())
    )


def item_sums(store: RatingsStore) -> Float64:
    """Return the sum of each item's ratings, float64, shape (items,)."""
    indptr = store.indptr("item")
    sums = np.zeros(store.n_items)
    start = 0
    while start < store.n_items:
        stop = int(np.searchsorted(indptr, indptr[start] + RATINGS_AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), store.n_items)
        first, last = int(indptr[start]), int(indptr[stop])
        ratings = ratings_of(store.read_column("item", "values", first, last), store.scale)
        rows = start + np.flatnonzero(np.diff(indptr[start : stop + 1]))
        if len(rows):
            sums[rows] = np.add.reduceat(ratings, indptr[rows] - first)
        start = stop
    return sums


def ratings_per_year(store: RatingsStore) -> tuple[Int64, Int64]:
    """Return the calendar years (UTC) from the first to the last rating, and the ratings given in each."""
    low, high = None, None
    for first, last in _ranges(store.n_ratings):
        seconds = store.read_column("user", "timestamps", first, last)
        low = seconds.min() if low is None else min(low, seconds.min())
        high = seconds.max() if high is None else max(high, seconds.max())
    years = np.arange(_year(int(low or 0)), _year(int(high or 0)) + 1)
    edges = np.array([_new_year(int(year)) for year in years[1:]], np.int64)
    counts = np.zeros(len(years), np.int64)
    for first, last in _ranges(store.n_ratings):
        seconds = store.read_column("user", "timestamps", first, last)
        counts += np.bincount(np.searchsorted(edges, seconds, side="right"), minlength=len(years))
    return years, counts


def _year(seconds: int) -> int:
    return int(np.datetime64(seconds, "s").astype("datetime64[Y]").astype(int)) + 1970


def _new_year(year: int) -> int:
    return int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp())


def _ranges(n: int) -> Iterator[tuple[int, int]]:
    for first in range(0, n, RATINGS_AT_ONCE):
        yield first, min(first + RATINGS_AT_ONCE, n)
