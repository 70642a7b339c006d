"""Whether one chain predicts better than another by more than chance, users being what chance draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.evaluation.known_ratings import read_part
from daskals.kernels.data.csr import count_part
from daskals.kernels.scoring.score import predict_block
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.standard import standardised_ratings
from daskals.types import VALIDATION, FactorRows, Float64, Int64, Standard

SURE = 2.0
"""Standard errors by which a gain must lie above 0."""

LEAST = 1e-3
"""Share of the mean squared error that a gain must be: what less is worth is not worth twice the time."""


class Gain(NamedTuple):
    """By how much a mean squared error is lower than another, as a share of that, and its standard error."""

    share: float
    standard_error: float

    @property
    def is_sure(self) -> bool:
        """Whether it is one by more than chance."""
        return self.share > max(LEAST, SURE * self.standard_error)


def gain_of(squares: Float64, before: Float64, users: Int64, *, few_decide: bool = False) -> Gain:
    """Compare the squared errors of the same ratings, shape (ratings,), with those `before`.

    Ratings of one user are no independent draws: what helps one of them mostly helps all. So the standard
    error is that of a ratio of sums over users. Where few ratings decide, a user who is most of both sums
    would leave it no spread: there it is that of no gain at all, of which what four users gain is never more
    than twice. `users`: the row of each rating's, shape (ratings,).
    """
    lower = np.bincount(users, before - squares)
    total = float(before.sum())
    if total <= 0.0:
        return Gain(0.0, 0.0)
    share = float(lower.sum()) / total
    spread = lower if few_decide else lower - share * np.bincount(users, before)
    n_users = int(np.count_nonzero(np.bincount(users)))
    if n_users < 2:
        return Gain(share, float("inf"))
    return Gain(share, float(np.sqrt(np.sum(spread**2) * n_users / (n_users - 1))) / total)


def validating_users(store: RatingsStore, split: Split) -> Int64:
    """Return the user's row of each validation rating, int64, shape (ratings,), in the users' order."""
    counts = count_part(store.indptr("user"), split.parts("user", 0, store.n_ratings), VALIDATION)
    return np.repeat(np.arange(len(counts)), counts)


class PointEstimate(NamedTuple):
    """Factor rows of users and of items, shape (rows, stride), and their rank.

    `standard`, `mean`: what training measured ratings from and in, and their global mean as it was measured.
    """

    user_rows: FactorRows
    item_rows: FactorRows
    rank: int
    standard: Standard
    mean: float

    def validation_squares(self, store: RatingsStore, split: Split) -> Float64:
        """Return the squared error of each validation rating, float64, shape (ratings,), in users' order.

        It is of ratings as training saw them, through a curve if there is one, in their units.
        """
        held = read_part(store, split, VALIDATION)
        measured = standardised_ratings(held.ratings, self.standard, has_scale=False).astype(np.float64)
        found = predict_block(held.block(), self.user_rows, self.item_rows, rank=self.rank, mean=self.mean)
        return (self.standard.deviation * (measured - found)) ** 2
