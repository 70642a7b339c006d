"""Held-out error as a reduction over user blocks, in block order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.exchange import Factors, Gathered
from daskals.cluster.parts import BlockCall, submit_fold
from daskals.cluster.workers import Cluster, Share, Task
from daskals.kernels.half_step.joined import joined_pieces
from daskals.kernels.scoring.score import NO_ERRORS, ErrorSums, predict_block, score_block
from daskals.kernels.toolkit.layout import empty_rows
from daskals.store.blocks import AnyBlock, BlockSource, block_of
from daskals.training.half_step import submit_load
from daskals.training.rating_units import AsRated, block_as_rated, scale_rows
from daskals.types import FactorRows, Float64, RatingsBlock


@dataclass(frozen=True)
class HeldOut:
    """The ratings of one held-out part, cut as the user side is; blocks as `SideData` has them."""

    name: str
    blocks: tuple[Task, ...]


class Scoring(NamedTuple):
    """What a prediction takes beside factors: rank, global mean, lowest and highest rating."""

    rank: int
    mean: float
    limits: tuple[float, float]


@dataclass(frozen=True)
class ErrorFigures:
    """Error over held-out ratings; RMSE and MAE as in the papers, unclipped, and the clipped RMSE."""

    n: float
    rmse: float
    rmse_clipped: float
    mae: float


def load_held_out(
    cluster: Cluster, name: str, sources: Sequence[BlockSource], resident: Sequence[bool], key: str
) -> HeldOut:
    """Start loading one part, as `load_side` does.

    Parameters
    ----------
    cluster, name
        Where the ratings go, and what the part is called.
    sources, resident
        Where each block comes from, and whether it stays in memory.
    key
        Tells tasks apart.
    """
    blocks = [
        submit_load(cluster, source, f"load-{name}-{key}", number, stays=resident[number])
        for number, source in enumerate(sources)
    ]
    return HeldOut(name, tuple(blocks))


def submit_errors(
    cluster: Cluster,
    held_out: HeldOut,
    factors: Factors,
    scoring: Scoring,
    key: str,
    target: AsRated | None = None,
    added: Task | None = None,
) -> Task:
    """Start scoring a part.

    Parameters
    ----------
    cluster, held_out, factors
        Where, which ratings, and what predicts them.
    scoring
        In the units of `target`.
    key
        Makes the names of these tasks unique.
    target
        How ratings and factors come back to rating units; None where they are scored as they are measured.
    added
        What any date adds to a rating, where there is a third side; see `training.other_dates`.
    """
    around = factors.around("user")

    def shared(share: Share) -> tuple[Any, ...]:
        near = factors.users.near(share.worker), around.other.near(share.worker)
        return *near, scoring, target, around.third_near(share.worker), added

    call = BlockCall(score_slab, [(block,) for block in held_out.blocks], shared)
    return submit_fold(
        cluster, fold_errors, call, key=f"score-{held_out.name}-{key}", name=f"reduce-{held_out.name}-{key}"
    )


def score_slab(
    block: AnyBlock,
    users: Gathered,
    items: Gathered,
    scoring: Scoring,
    target: AsRated | None = None,
    third: Gathered | None = None,
    added: float | None = None,
) -> ErrorSums:
    """Compare one user block's held-out ratings with the model.

    Parameters
    ----------
    block, users, items
        The ratings, and the factors of both sides.
    scoring, target
        As for `submit_errors`.
    third, added
        The third side, if there is one, and what a date that has no row there adds to a rating.
    """
    ratings = block_of(block)
    own = users.of(ratings)
    if third is None or added is None:
        return _scored(ratings, own, items.rows, scoring, target)
    total, known = NO_ERRORS, with_unseen(third.rows, added, scoring.rank)
    for piece, joined in joined_pieces(ratings, items.rows, known, scoring.rank):
        total = total.plus(_scored(piece, users.of(piece), joined, scoring, target))
    return total


def with_unseen(dates: FactorRows, added: float, rank: int) -> FactorRows:
    """Return the rows of dates and one of any other, which adds so much to a rating, (dates + 1, stride)."""
    known = empty_rows(len(dates) + 1, rank)
    known[:-1] = dates
    known[-1, rank + 1] = added
    return known


def _scored(
    block: RatingsBlock, own: FactorRows, other: FactorRows, scoring: Scoring, target: AsRated | None
) -> ErrorSums:
    if target is None:
        return score_block(block, own, other, **scoring._asdict())
    ratings, sigma = block_as_rated(block, target), target.standard.deviation
    user_rows, item_rows = (scale_rows(rows, scoring.rank, sigma) for rows in (own, other))
    curve = target.standard.curve
    if curve is not None:
        seen = predict_block(ratings, user_rows, item_rows, rank=scoring.rank, mean=scoring.mean)
        return error_sums(ratings, curve.back(seen), scoring.limits)
    return score_block(ratings, user_rows, item_rows, **scoring._asdict())


def error_sums(block: RatingsBlock, predicted: Float64, limits: tuple[float, float]) -> ErrorSums:
    """Sum up the errors of predictions, each as its rating weighs.

    Parameters
    ----------
    block
        The ratings.
    predicted
        What they were predicted to be, in the block's order, shape (ratings,).
    limits
        Lowest and highest rating, which the clipped errors are about.
    """
    ratings = block.ratings.astype(np.float64)
    weights = np.ones(len(ratings)) if block.weights is None else block.weights.astype(np.float64)
    errors, clipped = ratings - predicted, ratings - np.clip(predicted, *limits)
    squared, within, absolute = (
        float(np.sum(weights * of)) for of in (errors**2, clipped**2, np.abs(errors))
    )
    n = len(ratings) if block.weights is None else float(weights.sum())
    return ErrorSums(n, squared, within, absolute)


def fold_errors(parts: Sequence[ErrorSums]) -> ErrorSums:
    """Add error sums up in block order."""
    total = NO_ERRORS
    for part in parts:
        total = total.plus(part)
    return total


def error_figures(sums: ErrorSums) -> ErrorFigures | None:
    """Turn sums into figures; None where there are no ratings."""
    if sums.n == 0:
        return None
    return ErrorFigures(
        sums.n,
        math.sqrt(sums.squared / sums.n),
        math.sqrt(sums.squared_clipped / sums.n),
        sums.absolute / sums.n,
    )
