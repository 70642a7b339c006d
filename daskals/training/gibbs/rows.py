"""What one block does in a sweep: its rows are drawn, and its held-out ratings predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.cluster.exchange import Gathered, Slab
from daskals.kernels.gibbs.censored import Ends, complete
from daskals.kernels.gibbs.draw import draw_rows
from daskals.kernels.gibbs.moments import prior_pull, sum_moments
from daskals.kernels.gibbs.noise import Noise
from daskals.kernels.half_step.joined import cut_block, join_block, joined_pieces
from daskals.kernels.prior.features import FeatureRows, kinds_times, times
from daskals.kernels.scoring.score import predict_block
from daskals.kernels.toolkit.layout import empty_rows
from daskals.kernels.toolkit.random import (
    STREAM_GIBBS_ITEM,
    STREAM_GIBBS_ITEM_LATENT,
    STREAM_GIBBS_TIME,
    STREAM_GIBBS_TIME_LATENT,
    STREAM_GIBBS_USER,
    STREAM_GIBBS_USER_LATENT,
)
from daskals.store.blocks import AnyBlock, block_of
from daskals.store.calendar import Calendar
from daskals.training.gibbs.posterior import Hyperprior, SidePrior
from daskals.types import BlockStats, FactorRows, Float64, Int64, RatingsBlock, Side

_ROWS = {"user": STREAM_GIBBS_USER, "item": STREAM_GIBBS_ITEM, "time": STREAM_GIBBS_TIME}
_LATENT = {
    "user": STREAM_GIBBS_USER_LATENT,
    "item": STREAM_GIBBS_ITEM_LATENT,
    "time": STREAM_GIBBS_TIME_LATENT,
}


class Tally(NamedTuple):
    """Predictions of a block's held-out ratings, added up over sweeps: Σr̂ and Σr̂², float64."""

    total: Float64
    squares: Float64


@dataclass(frozen=True)
class SweepSpec:
    """What all tasks of a sweep share.

    Attributes
    ----------
    rank, mean
        Number of factors; the global mean μ.
    seed, sweep
        What the random numbers depend on beside side and row.
    hyperprior, ends
        The fixed numbers at the top; of the rating scale, where ratings are cut off there.
    deviation
        Standard deviation of the ratings as blocks hold them.
    unprojected
        Sides of whose rows nobody needs Fᵀx.
    calendar
        Features of dates, if a third side's have any.
    """

    rank: int
    mean: float
    seed: int
    sweep: int
    hyperprior: Hyperprior
    ends: Ends | None = None
    deviation: float = 1.0
    unprojected: frozenset[Side] = frozenset()
    calendar: Calendar | None = None


def draw_slab(
    block: AnyBlock,
    features: FeatureRows | None,
    other: Gathered,
    prior: SidePrior,
    alpha: float,
    side: Side,
    spec: SweepSpec,
    current: Gathered | None,
    third: Gathered | None = None,
) -> Slab:
    """Draw the rows of one block, and sum what they tell of their prior.

    Where ratings are cut off, their latent values are drawn first, given the rows `current`.

    Parameters
    ----------
    block, features
        The rows' ratings; their features, if they have any.
    other
        The other side's rows.
    prior, alpha
        What rows and ratings are drawn from: their prior, and the precision α of the noise.
    side, spec
        Whose rows, and what the tasks of a sweep share.
    current
        The rows as they are.
    third
        Rows of the third side, if there is one.
    """
    ratings = block_of(block)
    kinds, places = (None, None) if features is None else kinds_times(features, prior.weights)
    priors = prior.mean[None] if kinds is None else prior.mean + kinds
    drawing = _Drawing(side, prior.precision, alpha, spec)
    present = None if spec.ends is None or current is None else current.of(ratings)
    if third is None:
        rows, sse = _drawn(ratings, other.rows, _Priors(priors, places), present, drawing)
    else:
        rows, sse = empty_rows(ratings.n_rows, spec.rank), 0.0
        for piece in cut_block(ratings):
            here = slice(piece.start - ratings.start, piece.start - ratings.start + piece.n_rows)
            own = None if places is None else places[here]
            now = None if present is None else present[here]
            rows[here], added = _drawn(piece, other.rows, _Priors(priors, own), now, drawing, third.rows)
            sse += added
    projected = None if side in spec.unprojected else features
    pulls = None if kinds is None else kinds[places]
    moments = sum_moments(rows, np.diff(ratings.indptr), projected, pulls, spec.rank)
    stats = BlockStats(sse, prior_pull(moments, prior.mean, prior.precision))
    return Slab(ratings.start, rows, stats, moments)


class _Priors(NamedTuple):
    """Prior means, shape (kinds, rank + 1), and which is a row's, shape (rows,), or None for one of all."""

    kinds: Float64
    places: Int64 | None


class _Drawing(NamedTuple):
    """What all rows of a side are drawn by: whose they are, Λ, α, and what the tasks of a sweep share."""

    side: Side
    precision: Float64
    alpha: float
    spec: SweepSpec


def _drawn(
    ratings: RatingsBlock,
    other: FactorRows,
    priors: _Priors,
    present: FactorRows | None,
    drawing: _Drawing,
    third: FactorRows | None = None,
) -> tuple[FactorRows, float]:
    """Draw rows given the row that each rating is of, and before them what is cut off, given `present`."""
    side, precision, alpha, spec = drawing
    if spec.ends is not None and present is not None:
        if third is not None:
            (ratings, other), third = join_block(ratings, other, third, spec.rank), None
        ratings = complete(
            ratings,
            present,
            other,
            rank=spec.rank,
            mean=spec.mean,
            alpha=alpha,
            ends=spec.ends,
            noise=Noise(spec.seed, _LATENT[side], spec.sweep),
        )
    return draw_rows(
        ratings,
        other,
        rank=spec.rank,
        mean=spec.mean,
        alpha=alpha,
        precision=precision,
        priors=priors.kinds,
        places=priors.places,
        noise=Noise(spec.seed, _ROWS[side], spec.sweep),
        third=third,
    )


def tally_block(
    number: int,
    block: AnyBlock,
    before: Sequence[Mapping[int, Tally]],
    users: Gathered,
    items: Gathered,
    spec: SweepSpec,
    third: Gathered | None = None,
    time_prior: SidePrior | None = None,
) -> Tally:
    """Add one sweep's predictions of a block's held-out ratings.

    Parameters
    ----------
    number, block
        The block's, and its held-out ratings.
    before
        Tallies of the sweeps before by block, if any.
    users, items
        Rows as drawn.
    spec
        What the tasks of a sweep share.
    third, time_prior
        Rows of the third side, and what those that training has no ratings of are drawn to.
    """
    ratings = block_of(block)
    own = users.of(ratings)
    if third is None or time_prior is None:
        found = predict_block(ratings, own, items.rows, rank=spec.rank, mean=spec.mean)
        predicted = found.astype(np.float64)
    else:
        known = _with_unseen(third.rows, time_prior, spec)
        predicted = np.empty(len(ratings.indices))
        done = 0
        for piece, joined in joined_pieces(ratings, items.rows, known, spec.rank):
            here = slice(piece.start - ratings.start, piece.start - ratings.start + piece.n_rows)
            found = predict_block(piece, own[here], joined, rank=spec.rank, mean=spec.mean)
            predicted[done : done + len(found)] = found
            done += len(found)
    squares = np.square(predicted)
    for tallies in before:
        if number in tallies:
            predicted += tallies[number].total
            squares += tallies[number].squares
    return Tally(predicted, squares)


def _with_unseen(rows: FactorRows, prior: SidePrior, spec: SweepSpec) -> FactorRows:
    """Return the third side's rows and prior means of each kind of date that training has no ratings of."""
    means = prior.mean[None]
    if spec.calendar is not None:
        means = prior.mean + times(spec.calendar.rows_of_kinds(), prior.weights)
    n, rank = len(rows), spec.rank
    known = empty_rows(n + len(means), rank)
    known[:n] = rows
    known[n:, :rank] = means[:, :rank]
    known[n:, rank + 1] = means[:, rank]
    return known
