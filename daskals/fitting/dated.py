"""Least squares with a third side as a model saves it: as of its latest time; see `model.times`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.fitting.other_dates import rows_of_other_dates
from daskals.kernels.toolkit.layout import pack_rows, unpack_rows
from daskals.model.times import TimeRows, move
from daskals.store.splits import Split
from daskals.store.timing import Timing
from daskals.training.outcome import TrainedFactors
from daskals.types import FactorRows, Float32, Float64


class AsOfLatest(NamedTuple):
    """Items and times as measured from the latest time, and what goes with them.

    `items`, `times`: float32, shape (rows, rank + 1), [factors, bias], the last of times those without
    training ratings; `mean`: float64, shape (1,); `item_weights`: W of the items, shape (features, rank + 1),
    float64 or a sample's float32, as it was but for the bias.
    """

    items: Float32
    times: Float32
    mean: Float64
    item_weights: NDArray[Any]


class PointSides(NamedTuple):
    """[Factors, bias] of the rows of three sides, float32, shape (rows, rank + 1); times have no features."""

    users: Float32
    items: Float32
    times: Float32
    time_weights: Float32 | None = None


class DatedFactors(NamedTuple):
    """A run whose items are as of the latest time, and its times."""

    trained: TrainedFactors
    times: TimeRows


def as_of_latest(
    items: Float32, times: Float32, mean: Float64, item_weights: NDArray[Any], others: Float32
) -> AsOfLatest:
    """Measure items and times from the latest time.

    The rows of times without training ratings are appended to those that have some.

    Parameters
    ----------
    items, times
        As training leaves them, shape (rows, rank + 1), `times` in the order of time.
    mean, item_weights
        Global mean, shape (1,); W of the items' features, float64 or float32, shape (features, rank + 1).
    others
        What is expected of times without training ratings, shape (kinds + 1, rank + 1), the last of any.
    """
    row = len(times) - 1
    times = np.concatenate([times, others])
    moved = move(items[:, None], times[:, None], mean, row)
    latest, weights = times[row, :-1].astype(np.float64), item_weights.copy()
    weights[:, -1] += np.sum(weights[:, :-1] * latest, axis=1).astype(weights.dtype)
    return AsOfLatest(moved.items[:, 0], moved.times[:, 0], moved.means, weights)


def dated(trained: TrainedFactors, split: Split, timing: Timing) -> DatedFactors:
    """Return what a model saves of a run with a third side.

    Parameters
    ----------
    trained, split, timing
        The run, in rating units; which ratings train, and their times.
    """
    assert trained.time_rows is not None, "there is a third side"
    rank, mean = trained.spec.rank, np.array([trained.spec.mean])
    rows = (trained.user_rows, trained.item_rows, trained.time_rows)
    users, items, times = (_vectors(own, rank) for own in rows)
    (others,) = rows_of_other_dates(split, timing, [PointSides(users, items, times)])
    weights = trained.weights.get("item", np.zeros((0, rank + 1)))
    found = as_of_latest(items, times, mean, weights, others)
    factors, biases = found.times[:, :rank], found.times[:, rank]
    moved = replace(
        trained,
        item_rows=pack_rows(found.items[:, :rank], found.items[:, rank]),
        weights={**trained.weights, **({"item": found.item_weights} if len(weights) else {})},
        spec=replace(trained.spec, mean=float(found.mean[0])),
    )
    return DatedFactors(moved, TimeRows(timing, factors, len(timing.bins) - 1, factors, biases))


def _vectors(rows: FactorRows, rank: int) -> Float32:
    factors, biases = unpack_rows(rows, rank)
    return np.column_stack([factors, biases])
