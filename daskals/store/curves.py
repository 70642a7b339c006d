"""What training sees ratings through: their logarithms, or their ranks among the training ratings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from daskals.errors import DataError
from daskals.store.limits import rating_limits
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.standard import decimals, standard_of
from daskals.types import Curve, Float64, Int64, Standard

MOST_KNOTS = 1_024
"""Ratings at which ranks are kept; between them they are straight."""


def stored_curve(stored: Mapping[str, Any] | None) -> Curve | None:
    """Return the curve of a model's attribute `curve`; None where there is none."""
    if stored is None:
        return None
    return Curve(stored["name"], tuple(stored["ratings"]), tuple(stored["places"]))


def curve_of(store: RatingsStore, split: Split, transform: Literal["log1p", "rank"]) -> Curve:
    """Return what a store's ratings are seen through, by those of training.

    Raises
    ------
    DataError
        If there are negative ratings and `transform` is log1p.
    """
    if transform == "rank":
        return _ranks(store, split)
    lowest, _ = rating_limits(store)
    if lowest < 0:
        raise DataError(
            f"ratings down to {lowest:g}",
            where="--transform=log1p",
            expected="ratings of 0 and more, whose log(1 + rating) there is",
            remedy="Use --transform=rank, which takes any",
        )
    return Curve("log1p")


def curved_standard(store: RatingsStore, split: Split, curve: Curve) -> Standard:
    """Return mean and standard deviation of the training ratings as a curve shows them."""
    mean = 0.0
    if not len(store.scale):
        pieces = split.training_values()
        mean = (
            math.fsum(float(np.sum(curve.of(piece.astype(np.float64)))) for piece in pieces) / split.n_train
        )
    return standard_of(split.training_values(), store.scale, mean, split.n_train, curve)


def _ranks(store: RatingsStore, split: Split) -> Curve:
    levels, counts = _distinct(store, split)
    ends = np.cumsum(counts)
    places = (ends - 0.5 * counts) / max(int(ends[-1]), 1)
    if len(levels) > MOST_KNOTS:  # as many ratings lie between any two
        wanted = np.linspace(places[0], places[-1], MOST_KNOTS)
        kept = np.unique(np.searchsorted(places, wanted))
        levels, places = levels[kept], places[kept]
    return Curve("rank", tuple(levels.tolist()), tuple(places.tolist()))


def _distinct(store: RatingsStore, split: Split) -> tuple[Float64, Int64]:
    """Return the distinct training ratings, ascending, and how many of each there are."""
    if not len(store.scale):
        values = np.concatenate(list(split.training_values()))
        levels, counts = np.unique(values, return_counts=True)
        return levels.astype(np.float64), counts.astype(np.int64)
    found = np.zeros(len(store.scale), np.int64)
    for codes in split.training_values():
        found += np.bincount(codes, minlength=len(found))
    there = found > 0
    return decimals(store.scale)[there], found[there]
