"""Profile of one row, in the model or new: a person's or an item's own ratings and factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daskals.config.arguments import shown
from daskals.errors import DataError, NumericalError, RowError
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.toolkit.layout import empty_rows
from daskals.model.implicit import ImplicitSpec
from daskals.model.times import TimeRows
from daskals.model.training_ratings import TrainingRatings, starts_of
from daskals.types import Curve, FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, Ridge, Side, UInt8

NAMED = ("item", "title", "rating", "count")
"""Columns of an explanation that tell which rating, or how often a click, a line is of."""


class RatedRows(NamedTuple):
    """Somebody's ratings, or those of an item.

    Attributes
    ----------
    rows
        int64, ascending and distinct: rows of the other side.
    ratings
        float32, same shape.
    """

    rows: Int64
    ratings: Float32


@dataclass(frozen=True, eq=False)
class Profile:
    """A person, or an item, as the model sees them.

    Attributes
    ----------
    side
        "user" for a person, "item" for an item.
    row
        Factor row, shape (1, stride).
    rank
        Number of factors.
    rated
        int64: rows of the other side that the ratings are of, ascending.
    ratings
        float32, same shape: the ratings the row was solved from.
    own_prior
        float64, shape (rank + 1,): the part of the row's prior mean that does not come from its ratings.
    rating_priors
        float64, shape (ratings, rank + 1): the part that each rating adds to it (who rated what).
    seen
        int64: rows of the other side not to recommend; the rated ones and perhaps more.
    weights
        What each rating counted in the solve, float32, shape (ratings,); None where each counted once.
    genres
        Of an item folded in: which genres it is of, 0 or 1, float64, by the columns of `genre_matrix`.
    dates
        Rows of the dates of the ratings, int32, shape (ratings,), −1 for one without training ratings, of a
        person whom a model that knows dates was trained on; None where all are as of the model's.
    ages
        How long ago each rating was made, as `TrainingRatings` has it; None where it is no matter.
    """

    side: Side
    row: FactorRows
    rank: int
    rated: Int64
    ratings: Float32
    own_prior: Float64
    rating_priors: Float64
    seen: Int64
    weights: Float32 | None = None
    genres: Float64 | None = None
    dates: Int32 | None = None
    ages: UInt8 | None = None

    @property
    def factors(self) -> Float32:
        """Factors, float32, shape (rank,)."""
        return self.row[0, : self.rank]

    @property
    def bias(self) -> float:
        """Bias."""
        return float(self.row[0, self.rank + 1])

    @property
    def known(self) -> TrainingRatings:
        """What a person's list by affinity follows from."""
        indptr = np.array([0, len(self.rated)], np.int64)
        return TrainingRatings(indptr, self.rated.astype(np.int32), self.ratings, self.weights, self.ages)

    @property
    def is_empty(self) -> bool:
        """Whether there are no ratings, so that only the prior is known."""
        return len(self.rated) == 0


def check_profile(value: object, side: Side, where: str) -> None:
    """Refuse, with DataError, what is no profile of a side; `where` is the argument that it was given as."""
    if isinstance(value, Profile) and value.side == side:
        return
    what, method = ("a person", "fold_in") if side == "user" else ("an item", "fold_in_item")
    other = "an item" if side == "user" else "a person"
    raise DataError(
        f"found the profile of {other}" if isinstance(value, Profile) else f"found {shown(value)}",
        where=where,
        expected=f"the profile of {what}, as {method} gives it",
    )


@dataclass(frozen=True)
class Fold:
    """What a half-step of one side knows beside the ratings.

    Attributes
    ----------
    side
        Whose rows are solved.
    other
        Factor rows of the other side.
    rank, mean, ridge
        The model's.
    implicit
        Of a model of implicit feedback, whose ratings are counts.
    drawn
        Whether the side's rows are drawn to what their features predict.
    curve
        What training saw ratings through; None for as they are.
    times
        The dates that the model knows; None where it knows none.
    """

    side: Side
    other: FactorRows
    rank: int
    mean: float
    ridge: Ridge
    implicit: ImplicitSpec | None = None
    drawn: bool = False
    curve: Curve | None = None
    times: TimeRows | None = None

    def solve(
        self, rated: Int64, ratings: Float32, own_prior: Float64, rating_priors: Float64 | None = None
    ) -> Profile:
        """Solve one row as a half-step of training does (paper 1, Eq. 7-8).

        Parameters
        ----------
        rated
            Rows of the other side, ascending and distinct, shape (ratings,).
        ratings
            Their ratings, shape (ratings,).
        own_prior, rating_priors
            Parts of the prior mean, (rank + 1,) and one row a rating; no parts of ratings if absent.
        """
        parts = np.zeros((len(rated), self.rank + 1)) if rating_priors is None else rating_priors
        return self.solve_all([RatedRows(rated, ratings)], own_prior, [parts])[0]

    def solve_all(
        self, people: Sequence[RatedRows], own_prior: Float64, rating_priors: Sequence[Float64]
    ) -> list[Profile]:
        """Solve several rows at once, which takes hardly longer than one; each is as `solve` gives it alone.

        Parameters
        ----------
        people
            What was rated, by each of them.
        own_prior
            As in `solve`, shape (rank + 1,), the same for all.
        rating_priors
            As in `solve`, of each of them.
        """
        block = RatingsBlock(
            start=0,
            indptr=starts_of(np.array([len(one.rows) for one in people], np.int64)),
            indices=np.concatenate([one.rows for one in people]).astype(np.int32),
            values=np.concatenate([one.ratings for one in people]),
            scale=np.empty(0, np.float32),
        )
        priors = np.stack([own_prior + parts.sum(axis=0) for parts in rating_priors]).astype(np.float32)
        rows = self.rows(block, priors)
        return [
            Profile(self.side, rows[k : k + 1], self.rank, *one, own_prior, parts, seen=one.rows)
            for k, (one, parts) in enumerate(zip(people, rating_priors, strict=True))
        ]

    def rows(self, block: RatingsBlock, prior: Float32) -> FactorRows:
        """Solve several rows; each is the one that `solve` gives it alone.

        Parameters
        ----------
        block
            Their ratings: of a model that knows dates as of theirs where they have rows of such (`thirds`),
            else all as of the model's.
        prior
            Their prior means, shape (rows, rank + 1).

        Raises
        ------
        NumericalError
            If the equations of a row cannot be solved, as of ratings too large for float32.
        """
        try:
            return self._solved(block, prior)
        except RowError as error:
            raise NumericalError(
                error.found,
                where=f"{self.side} {error.row + 1:,} of {block.n_rows:,} to be placed",
                expected="ratings and a ridge that float32 can solve",
                remedy="Train with a higher --tau and --gamma, or divide the ratings by a number before",
            ) from None

    def _solved(self, block: RatingsBlock, prior: Float32) -> FactorRows:
        if self.implicit is not None and self.drawn:
            return self.implicit.solve_towards(block, self.other, prior)
        if self.implicit is not None:
            return self.implicit.solve(block, self.other, side_gram(self.other, self.rank))[0]
        rank, mean, ridge = self.rank, self.mean, self.ridge
        if self.curve is not None:
            block = block._replace(values=self.seen(block.ratings), scale=np.empty(0, np.float32))
        if block.thirds is None or self.times is None:
            return solve_rows(block, self.other, rank=rank, mean=mean, ridge=ridge, prior=prior)[0]
        solved = empty_rows(block.n_rows, rank)
        for piece, other in self.times.joined_pieces(block, self.other, self.side):
            here = slice(piece.start - block.start, piece.start - block.start + piece.n_rows)
            solved[here] = solve_rows(piece, other, rank=rank, mean=mean, ridge=ridge, prior=prior[here])[0]
        return solved

    def others_of(self, profile: Profile) -> FactorRows:
        """Return the other side's row of each of a profile's ratings, shape (ratings, stride)."""
        if self.times is None or profile.dates is None:
            return self.other[profile.rated]
        indptr = np.array([0, len(profile.rated)], np.int64)
        scale = np.empty(0, np.float32)
        items = profile.rated.astype(np.int32)
        block = RatingsBlock(0, indptr, items, profile.ratings, scale, thirds=profile.dates)
        return next(self.times.joined_pieces(block, self.other, self.side)).other

    def seen(self, ratings: Float32) -> Float32:
        """Return ratings, of any shape, as training saw them."""
        return ratings if self.curve is None else self.curve.of(ratings).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a predicted rating comes from.

    rating = baseline + Σ taste + Σ bias of the table + prior_taste + prior_bias.

    Attributes
    ----------
    rating
        The prediction μ + b_u + b_i + p_u·q_i, unclipped; like all its parts, of what training saw of ratings
        where it saw them through a curve (--transform).
    baseline
        μ + b_i: what the item gets from anybody.
    prior_taste, prior_bias
        What the prior adds to p_u·q_i and to b_u beyond what it has from the ratings; mostly 0.
    ratings
        One row an own rating, the greatest taste first: `item`, `title` (with a catalogue), `rating` (of
        clicks `count`), `taste` (its part of p_u·q_i), `bias` (its part of b_u), `contribution` (both).
    """

    rating: float
    baseline: float
    prior_taste: float
    prior_bias: float
    ratings: pa.Table


def contributions(fold: Fold, profile: Profile, target: int) -> tuple[Float64, Float64]:
    """Share a prediction out among the ratings it comes from.

    A row is linear in its ratings: x = A⁻¹(Σ_j z_j y_j + wT m), A = Σ z zᵀ + wT, z_j = [q_j, 1] and
    y_j = r_j − μ − b_j. So [p·q_i, b] = Σ_j [q_i; 1]-parts of z_iᵀA⁻¹z_j·y_j and those of the
    prior mean m, which is itself a sum over the ratings (who rated what) and the row's own traits.

    Parameters
    ----------
    fold
        The half-step's data.
    profile
        A row solved by it.
    target
        Row of the other side whose prediction is explained.

    Returns
    -------
    tuple of float64
        Shape (ratings, 2): each rating's part of p·q_target and of the bias; and shape (2,): what comes
        from no rating.
    """
    rank = fold.rank
    if fold.implicit is not None:
        priors = np.vstack([profile.rating_priors, profile.own_prior]) if fold.drawn else None
        found = fold.implicit.contributions(
            fold.other, profile.rated, profile.ratings, target, profile.weights, priors
        )
        taste = found.observations
        return np.column_stack([taste, np.zeros(len(taste))]), np.array([found.prior, 0.0])
    rows = fold.others_of(profile).astype(np.float64)
    z = np.column_stack([rows[:, :rank], np.ones(len(rows))])
    y = fold.seen(profile.ratings).astype(np.float64) - fold.mean - rows[:, rank + 1]
    weights = np.ones(len(rows)) if profile.weights is None else profile.weights.astype(np.float64)
    strength = float(weights.sum() if len(rows) else 1.0) ** fold.ridge.exponent
    ridge = strength * np.append(np.full(rank, fold.ridge.factors), fold.ridge.bias)
    wanted = np.zeros((rank + 1, 2))
    wanted[:rank, 0] = fold.other[target, :rank]
    wanted[rank, 1] = 1.0
    if profile.is_empty:
        return np.zeros((0, 2)), profile.own_prior @ wanted
    shares = np.linalg.solve((z * weights[:, None]).T @ z + np.diag(ridge), wanted)
    own = (ridge * profile.own_prior) @ shares
    return (z @ shares) * (weights * y)[:, None] + (ridge * profile.rating_priors) @ shares, own


def explain(fold: Fold, profile: Profile, target: int, baseline: float, named: pa.Table) -> Explanation:
    """Put the contributions to a prediction beside what they come from, the greatest taste first.

    Parameters
    ----------
    fold, profile, target
        How the row was solved, the row, and the row of the other side that is predicted.
    baseline
        What is predicted without any taste.
    named
        The profile's ratings in their order, with the columns `item`, perhaps `title`, `rating` or `count`.
    """
    parts, prior = contributions(fold, profile, target)
    total = parts.sum(axis=1)
    table = named.select([name for name in NAMED if name in named.column_names])
    for name, column in (("taste", parts[:, 0]), ("bias", parts[:, 1]), ("contribution", total)):
        table = table.append_column(name, pa.array(column))
    rating = baseline + float(parts.sum() + prior.sum())
    order = pa.array(np.argsort(-parts[:, 0], kind="stable"))
    return Explanation(rating, baseline, float(prior[0]), float(prior[1]), table.take(order))
