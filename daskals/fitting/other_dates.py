"""What a date without training ratings adds to a rating: what dates add to those of training, on average.

Nobody knows such a date's own factors; their mean is zero, or F·W. But people rate what suits them on the
day: over the training ratings b_t + p·d_t + q·d_t, d_t less F·W, has a mean above zero, and a global mean
without it is too low for all days to come. With it, ratings of such days are predicted at the level of those
of training.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from daskals.kernels.prior.features import times as features_times
from daskals.store.dated_blocks import load_time_block
from daskals.store.splits import Split
from daskals.store.timing import Timing
from daskals.types import Float32, Float64, RatingsBlock

MOST_RATINGS = 1 << 20
"""Training ratings that the mean is taken over, evenly spread by time: more change no digit that counts."""

_BIN_RATINGS = 1 << 22
"""Ratings that are read at a time."""


class ThreeSides(Protocol):
    """[Factors, bias] of the rows of three sides, float32, shape (rows, rank + 1): a sample has them."""

    @property
    def users(self) -> Float32:
        """Those of users, shape (users, rank + 1)."""

    @property
    def items(self) -> Float32:
        """Those of items, shape (items, rank + 1)."""

    @property
    def times(self) -> Float32 | None:
        """Those of times, shape (times, rank + 1)."""


class Dated(ThreeSides, Protocol):
    """Three sides, and W of the dates' features."""

    @property
    def time_weights(self) -> Float32 | None:
        """W, shape (features, rank + 1); None where dates have no features."""


class _WithoutFeatures(NamedTuple):
    """Three sides whose dates lack what their features say."""

    users: Float32
    items: Float32
    times: Float32 | None


def rows_of_other_dates(split: Split, timing: Timing, samples: Sequence[Dated]) -> list[Float32]:
    """Return for each sample [factors, bias] of dates without training ratings, (kinds + 1, rank + 1).

    They are those of each kind of date by its features, if dates have some, and of one of which nothing is
    known.

    Parameters
    ----------
    split, timing
        Which ratings train, and their dates.
    samples
        Of the chain, or factors and biases alone, with a row for each date.
    """
    expected = expected_of_dates(split, timing, samples)
    calendar = timing.calendar
    if calendar is None:
        return [_row_of_any(sample, level) for sample, level in zip(samples, expected, strict=True)]
    features, kinds = timing.features(0, len(timing.bins)), calendar.rows_of_kinds()
    rest, by_kind = [], []
    for sample in samples:
        assert sample.times is not None, "there is a third side"
        assert sample.time_weights is not None, "its dates have features"
        weights = sample.time_weights.astype(np.float64)
        own = (sample.times - features_times(features, weights)).astype(np.float32)
        rest.append(_WithoutFeatures(sample.users, sample.items, own))
        by_kind.append(features_times(kinds, weights).astype(np.float32))
    for rows, level in zip(by_kind, expected_of_dates(split, timing, rest), strict=True):
        rows[:, -1] += np.float32(level)
    return [
        np.concatenate([rows, _row_of_any(sample, level)])
        for rows, sample, level in zip(by_kind, samples, expected, strict=True)
    ]


def _row_of_any(sample: ThreeSides, expected: float) -> Float32:
    row = np.zeros_like(sample.users[:1])
    row[:, -1] = expected
    return row


def expected_of_dates(split: Split, timing: Timing, samples: Sequence[ThreeSides]) -> Float64:
    """Return for each sample what a date adds to a training rating in the mean, float64, shape (samples,).

    Parameters
    ----------
    split, timing
        Which ratings train, and their dates.
    samples
        Of the chain, or factors and biases alone, with a row for each date.
    """
    totals, n = np.zeros(len(samples)), 0
    step = max(1, -(-split.n_train // MOST_RATINGS))
    for start, stop in _pieces(timing):
        block = load_time_block(str(split.ratings.path), (start, stop), split.key, timing, None)
        chosen = np.arange(0, len(block.indices), step)
        bins = block.owners[chosen]
        for number, sample in enumerate(samples):
            totals[number] += _added(sample, block, chosen, bins)
        n += len(chosen)
    return totals / n


def _pieces(timing: Timing) -> list[tuple[int, int]]:
    """Cut the dates into ranges of few ratings."""
    ends = np.cumsum(timing.counts)
    cuts = np.unique(np.searchsorted(ends, np.arange(0, ends[-1], _BIN_RATINGS), side="right"))
    bounds = [*cuts.tolist(), len(ends)]
    return [(first, last) for first, last in itertools.pairwise(bounds) if last > first]


def _added(sample: ThreeSides, block: RatingsBlock, chosen: np.ndarray, bins: np.ndarray) -> float:
    """Add up b_t + p·d_t + q·d_t over some ratings."""
    assert sample.times is not None, "there is a third side"
    assert block.thirds is not None, "blocks of dates name users and items"
    of_dates = sample.times[bins].astype(np.float64)
    both = sample.users[block.indices[chosen], :-1].astype(np.float64)
    both += sample.items[block.thirds[chosen], :-1]
    return float(np.sum(of_dates[:, -1]) + np.sum(both * of_dates[:, :-1]))
