"""What dates do to ratings: of ratings alone the mean deviation from biases, of a model its b_t."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.analysis.biases import fit_biases, slices
from daskals.analysis.level import smooth_level
from daskals.analysis.missing import Numbers, missing
from daskals.analysis.periods import first_days, shown_periods
from daskals.model.fitted import Model
from daskals.store.reader import RatingsStore
from daskals.store.timing import DAY_SECONDS, days_of
from daskals.types import Float64, Int64

NO_TIMESTAMPS = "the ratings have no timestamps"
ONE_DAY = "all ratings were made on one day"


class _DaySums(NamedTuple):
    """Days since 1970, ascending; number of ratings, sum and sum of squares of their deviations."""

    days: Int64
    counts: Float64
    sums: Float64
    squares: Float64


def deviations_in_time(store: RatingsStore) -> Numbers:
    """Return by how much ratings of each period deviate from μ + b_u + b_i, and the level behind that.

    It is what `--time-bins` would have to learn as b_t, but for what days do to users who rate on one only:
    that is in their b_u. Of the periods, `shown_periods` of all days, `first_days`, `n_ratings`, `means`
    with standard `errors`, and `level` with `level_deviations`; by how much the
    level moves a period, `walk`, and a period differs from it by itself, `scatter`, both as standard
    deviations. Raises StoreError if the store is damaged.
    """
    if not store.has_timestamps:
        return missing(NO_TIMESTAMPS)
    found = _day_sums(store)
    if len(found.days) == 1:
        return missing(ONE_DAY)
    periods = shown_periods(found.days)
    counts, sums = (np.bincount(periods.places, part) for part in (found.counts, found.sums))
    variance = max(float(found.squares.sum() / store.n_ratings), 1e-12)
    means = sums / counts
    level = smooth_level(periods.numbers, means, variance / counts)
    return {
        "unit": periods.unit,
        "days": len(found.days),
        "first_days": periods.first_days,
        "n_ratings": counts.astype(np.int64).tolist(),
        "means": means.tolist(),
        "errors": np.sqrt(variance / counts).tolist(),
        "level": level.means.tolist(),
        "level_deviations": level.deviations.tolist(),
        "walk": level.walk,
        "scatter": level.scatter,
    }


def _day_sums(store: RatingsStore) -> _DaySums:
    """Add up the deviations of each day's ratings from the biases, over the users' slices."""
    biases = fit_biases(store)
    days = np.empty(0, np.int64)
    sums = np.empty((3, 0))
    for piece in slices(store, "user"):
        left = biases.left(piece)
        own, places = np.unique(
            store.read_column("user", "timestamps", piece.first, piece.last) // DAY_SECONDS,
            return_inverse=True,
        )
        added = np.stack([np.bincount(places, part) for part in (np.ones(len(left)), left, left**2)])
        days, places = np.unique(np.concatenate([days, own]), return_inverse=True)
        both = np.concatenate([sums, added], axis=1)
        sums = np.stack([np.bincount(places, part, len(days)) for part in both])
    return _DaySums(days, *sums)


def date_biases(model: Model) -> Numbers | None:
    """Return b_t of each date of a model, and its mean over longer periods; None of a model without dates.

    b_t is what every rating of the date has more than those of a date that training knew nothing of, beside
    what the date does to tastes. Of a posterior it is the mean of the samples, with their standard deviation;
    a period's is the mean of its dates' by training ratings, in each sample. Where training saw ratings
    through a curve, or cut off, b_t is of what it saw.

    They are `unit`, `first_days`, `n_ratings`, `biases`, `deviations`, and of `line` the same; `spread`: the
    standard deviation of b_t over the training ratings.
    """
    if model.times is None:
        return None
    drawn = _drawn(model)
    timing = model.times.timing
    counts = timing.counts.astype(np.float64)
    periods = shown_periods(days_of(timing.bins, timing.unit), timing.unit)
    totals = np.bincount(periods.places, counts)
    by_period = np.stack([np.bincount(periods.places, counts * one) / totals for one in drawn.T], axis=1)
    biases = drawn.mean(axis=1)
    centre = float(counts @ biases / counts.sum())
    return {
        "unit": timing.unit,
        "first_days": first_days(timing.bins, timing.unit),
        "n_ratings": timing.counts.tolist(),
        **_told(drawn),
        "line": {
            "unit": periods.unit,
            "first_days": periods.first_days,
            "n_ratings": totals.astype(np.int64).tolist(),
            **_told(by_period),
        },
        "spread": float(np.sqrt(counts @ (biases - centre) ** 2 / counts.sum())),
    }


def _drawn(model: Model) -> Float64:
    """Return b_t of each date, float64, shape (dates, samples); one column without samples."""
    assert model.times is not None, "a model with dates"
    n = len(model.times.timing.bins)
    if model.samples is None:
        return model.times.moved(-1).as_seen_by("item").biases[:n, None].astype(np.float64)
    times = model.samples.moved(-1).times
    assert times is not None, "its samples have dates"
    return times[:n, :, -1].astype(np.float64)


def _told(drawn: Float64) -> Numbers:
    deviations = drawn.std(axis=1, ddof=1).tolist() if drawn.shape[1] > 1 else None
    return {"biases": drawn.mean(axis=1).tolist(), "deviations": deviations}
