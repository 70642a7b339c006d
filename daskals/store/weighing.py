"""What a training rating counts: by a column of the store, by its age, or both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.errors import DataError
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, load_block
from daskals.store.standard import weighted_standard
from daskals.types import TRAIN, Curve, Float32, Float64, RatingsBlock, Side, Standard, UInt8

DAY = 86_400.0

MOST_HALVINGS = 60.0
"""Half-lives after which a rating counts no less than it does by then: a weight stays above 0."""


@dataclass(frozen=True)
class Weighing:
    """How the training ratings of a store weigh. Small: it travels with every block.

    Attributes
    ----------
    is_stored
        Whether the store has a column of weights.
    half_life
        Days after which a rating counts half, or None.
    newest
        Second since 1970 of the latest training rating, from which ages are counted.
    """

    is_stored: bool
    half_life: float | None = None
    newest: int = 0

    def read(self, store: RatingsStore, side: Side, first: int, last: int) -> Float32:
        """Return the weights of ratings [first, last) of a side, float32, shape (ratings,)."""
        weights = np.ones(last - first)
        if self.is_stored:
            weights *= store.read_column(side, "weights", first, last)
        if self.half_life is not None:
            ages = self.newest - store.read_column(side, "timestamps", first, last)
            # later ratings, which are not of training, are no older than the newest
            weights *= np.exp2(-np.clip(ages / (self.half_life * DAY), 0.0, MOST_HALVINGS))
        return weights.astype(np.float32)


class WeighedRatings(NamedTuple):
    """What the training ratings come to, each as it weighs.

    Attributes
    ----------
    total
        Sum of the weights.
    mean
        Weighted mean.
    standard
        What ratings are measured from and in.
    """

    total: float
    mean: float
    standard: Standard


def weighing_of(store: RatingsStore, split: Split, half_life: float | None) -> Weighing | None:
    """Return how training ratings weigh; None where each counts once.

    `half_life` is in days. Raises DataError if the ratings have no timestamps to count it from.
    """
    if half_life is None:
        return Weighing(is_stored=True) if store.has_weights else None
    check_has_timestamps(store, "--half-life", f"{half_life:g}")
    newest = max(
        int(np.max(store.read_column("user", "timestamps", start, stop)[kept], initial=0))
        for start, stop, kept in split.pieces()
    )
    return Weighing(store.has_weights, half_life, newest)


def check_has_timestamps(store: RatingsStore, option: str, value: str) -> None:
    """Raise DataError, with the option that needs them, if the ratings have no timestamps."""
    if not store.has_timestamps:
        raise DataError(
            "the ratings have no timestamps",
            where=f"{option}={value}",
            expected="a timestamp for every rating",
            remedy=f"Name the timestamp column with --columns, or leave {option} out",
        )


def load_weighed(
    store: RatingsStore, side: Side, rows: tuple[int, int], split: Split, weighing: Weighing
) -> RatingsBlock:
    """Read the training ratings of rows [start, stop) of a side, with their weights.

    Parameters
    ----------
    store, side, rows
        The store, and whose rows.
    split, weighing
        Which ratings train, and what they count.
    """
    block = load_block(store.path, side, *rows, split.key, TRAIN)
    starts = store.read_starts(side, *rows)
    first, last = int(starts[0]), int(starts[-1])
    trains = split.parts(side, first, last) == TRAIN
    return block._replace(weights=weighing.read(store, side, first, last)[trains])


def weighed_ratings(
    store: RatingsStore, split: Split, weighing: Weighing, curve: Curve | None = None
) -> WeighedRatings:
    """Sum the training ratings up, each as it weighs.

    Parameters
    ----------
    store, split, weighing
        The ratings, which of them train, and what they count.
    curve
        What they are seen through; None for as they are.
    """

    def pieces() -> Iterator[tuple[UInt8 | Float32, Float64]]:
        for start, stop, kept in split.pieces():
            weights = weighing.read(store, "user", start, stop)[kept].astype(np.float64)
            yield store.read_column("user", "values", start, stop)[kept], weights

    total = math.fsum(math.fsum(weights) for _, weights in pieces())
    scale = store.scale

    def seen(values: UInt8 | Float32) -> Float32 | Float64:
        ratings = (scale[values] if len(scale) else values).astype(np.float32, copy=False)
        return ratings if curve is None else curve.of(ratings)

    mean = math.fsum(math.fsum(weights * seen(values)) for values, weights in pieces())
    mean /= total
    return WeighedRatings(total, mean, weighted_standard(pieces, scale, mean, total, curve))


def weigh_rows(store: RatingsStore, split: Split, weighing: Weighing, side: Side) -> Float64:
    """Sum up what the training ratings of each row of a side count, float64, shape (rows,).

    Parameters
    ----------
    store, split
        The ratings, and which of them train.
    weighing, side
        What they count; whose rows.
    """
    indptr = store.indptr(side)
    sums = np.zeros(len(indptr) - 1)
    for start, stop, kept in split.pieces(side):
        places = start + np.flatnonzero(kept)
        rows = np.searchsorted(indptr, places, side="right") - 1
        sums += np.bincount(rows, weighing.read(store, side, start, stop)[kept], len(sums))
    return sums
