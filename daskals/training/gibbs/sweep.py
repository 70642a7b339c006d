"""One sweep of the Gibbs sampler as tasks: rows of all sides, their priors, the noise, the predictions.

A side's rows are drawn block by block, their moments folded in block order, and the next prior drawn from
those in one task, so that nothing waits for the client.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.exchange import Gathered, Generation, read_moments, submit_slabs
from daskals.cluster.parts import BlockCall
from daskals.cluster.workers import Cluster, Share, Task
from daskals.kernels.gibbs.moments import Moments, sum_moments
from daskals.kernels.prior.features import FeatureRows, feature_gram, times
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.gibbs.posterior import (
    SidePrior,
    draw_alpha,
    draw_mean_and_precision,
    draw_side_prior,
    prior_draws,
)
from daskals.training.gibbs.rows import SweepSpec, draw_slab
from daskals.training.gibbs.time_prior import believed_of_times, draw_time_prior
from daskals.training.gibbs.weights import (
    WeightDraws,
    WeightsSystem,
    belief_in_precision,
    believed,
    decompose_gram,
    draw_many,
    draw_own,
    draws_from_moments,
    has_many,
    submit_system,
)
from daskals.training.half_step import SideData
from daskals.training.prior.half_step import Prior
from daskals.types import Float64, Side


@dataclass(frozen=True)
class SideChain:
    """One side of the chain.

    Attributes
    ----------
    data, features
        Ratings, and features where there are any.
    gram
        FᵀF over the rows with ratings, where W is drawn by it as it is.
    system, from_moments
        What W of many features is drawn from, and whether the rows' moments are enough for that.
    """

    data: SideData
    features: Prior | None
    gram: Task | None
    system: Task | None = None
    from_moments: bool = True

    @property
    def own(self) -> list[tuple[Any, ...]]:
        """The tasks of each block's ratings and features, None where it has none."""
        if self.features is None:
            return [(block, None) for block in self.data.blocks]
        return list(zip(self.data.blocks, self.features.blocks, strict=True))


class Given(NamedTuple):
    """What a side's rows are drawn from: the other side's, their own as they are, their prior, the noise.

    `third` are the rows of the third side, where there is one: those that a block's `thirds` are of.
    """

    other: Generation
    current: Generation
    prior: Task
    alpha: Task
    third: Generation | None = None


def prepare_side(cluster: Cluster, data: SideData, features: Prior | None, key: str) -> SideChain:
    """Form what stays the same in all sweeps."""
    if features is None:
        return SideChain(data, None, None)
    side = data.side
    if not draws_from_moments(features.spec, data.ranges[-1].stop):
        system = submit_system(cluster, data.blocks, features.blocks, side, key)
        return SideChain(data, features, None, system, from_moments=False)
    both = list(zip(data.blocks, features.blocks, strict=True))
    parts = cluster.map_blocks(block_gram, both, key=f"gram-{side}-features-{key}")
    gram = cluster.submit(add_arrays, parts, key=f"gram-{side}-features-{key}")
    if not has_many(features.spec):
        return SideChain(data, features, gram)
    system = cluster.submit(decompose_gram, gram, key=f"decompose-{side}-features-{key}")
    return SideChain(data, features, None, system)


def submit_rows(
    cluster: Cluster,
    chain: SideChain,
    given: Given,
    spec: SweepSpec,
    key: str,
) -> Generation:
    """Start drawing all rows of a side.

    Parameters
    ----------
    cluster, chain
        Where the tasks run, and the side.
    given
        What the rows are drawn from.
    spec, key
        What the tasks of a sweep share; what tells them apart.
    """
    side = chain.data.side

    def shared(share: Share) -> tuple[Any, ...]:
        current = None if spec.ends is None else given.current.near(share.worker)
        third = None if given.third is None else given.third.near(share.worker)
        return given.other.near(share.worker), given.prior, given.alpha, side, spec, current, third

    data = chain.data
    call = BlockCall(draw_slab, chain.own, shared, data.order)
    return submit_slabs(cluster, data.whole(spec.rank), call, key=key, name=f"draw-{side}s")


def submit_prior(
    cluster: Cluster, chain: SideChain, rows: Generation, prior: Task, spec: SweepSpec, key: str
) -> Task:
    """Start drawing a side's next prior from its rows.

    Parameters
    ----------
    cluster, chain
        Where the tasks run, and the side.
    rows, prior
        The side's rows, and its prior so far.
    spec, key
        What the tasks of a sweep share; what tells them apart.
    """
    side = chain.data.side
    moments = cluster.submit(read_moments, rows.gathered, key=f"reduce-{side}-moments-{key}")
    if chain.system is None:
        return cluster.submit(
            next_prior, moments, prior, chain.gram, side, spec, key=f"draw-{side}-prior-{key}"
        )
    given = None if chain.from_moments else rows.gathered
    return cluster.submit(
        next_prior_of_many, moments, prior, chain.system, given, side, spec, key=f"draw-{side}-prior-{key}"
    )


def block_gram(block: AnyBlock, features: FeatureRows) -> Float64:
    """Return FᵀF over one block's rows with ratings, shape (features, features)."""
    return feature_gram(features, np.diff(block_of(block).indptr))


def add_arrays(parts: Sequence[Float64]) -> Float64:
    """Add arrays of one shape up in block order."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def next_prior(
    moments: Moments, prior: SidePrior, gram: Float64 | None, side: Side, spec: SweepSpec
) -> SidePrior:
    """Draw a side's prior, W by its normal equations.

    Parameters
    ----------
    moments, prior
        What the rows tell, and the prior they were drawn from.
    gram
        FᵀF over rows with ratings, shape (features, features), if there are features.
    side, spec
        Whose prior, and what the tasks of a sweep share.
    """
    draws = prior_draws(spec.seed, spec.sweep, side)
    if side == "time":
        believed = believed_of_times(spec.rank, spec.deviation)
        return draw_time_prior(draws, moments, prior, spec.hyperprior, believed, gram)
    features = np.zeros((0, 0)) if gram is None else gram
    return draw_side_prior(draws, moments, prior, spec.hyperprior, features)


def next_prior_of_many(
    moments: Moments,
    prior: SidePrior,
    system: WeightsSystem,
    rows: Gathered | None,
    side: Side,
    spec: SweepSpec,
) -> SidePrior:
    """Draw a side's prior, W of many features.

    Parameters
    ----------
    moments, prior
        What the rows tell, and the prior they were drawn from.
    system, rows
        What W is drawn from, and all rows of the side where moments do not tell enough.
    side, spec
        Whose prior, and what the tasks of a sweep share.
    """
    expected = believed(spec.rank, spec.deviation)
    belief = belief_in_precision(expected, moments.n)
    draws = prior_draws(spec.seed, spec.sweep, side)
    mean, precision = draw_mean_and_precision(draws, moments, prior, spec.hyperprior, belief)
    own = prior.own if len(prior.own) else expected.own
    drawn = prior._replace(mean=mean, precision=precision, own=own)
    of_weights = prior_draws(spec.seed, spec.sweep, f"{side}-features")
    given = moments if rows is None else rows
    weights = draw_many(drawn, system, given, side, WeightDraws(of_weights, spec.seed, spec.sweep))
    own = draw_own(prior_draws(spec.seed, spec.sweep, f"{side}-eta"), weights, expected)
    eta = float(np.sum(own) / np.trace(precision))
    return SidePrior(mean, precision, weights, eta, own)


def read_eta(prior: SidePrior) -> float:
    """Return η alone: all that the client needs of a prior after a sweep."""
    return prior.eta


def next_alpha(last: Gathered, n: float, spec: SweepSpec) -> float:
    """Draw the noise precision from the squared errors of the side that was drawn last."""
    return draw_alpha(prior_draws(spec.seed, spec.sweep, "noise"), last.stats.sse, n, spec.hyperprior)


def start_moments(
    block: AnyBlock, features: FeatureRows | None, started: Gathered, weights: Float64, rank: int
) -> Moments:
    """Sum the moments of rows that a short ALS left.

    Parameters
    ----------
    block, features
        The ratings of some rows, and their features, if they have any.
    started, weights
        All rows of their side; W, shape (features, rank + 1).
    rank
        Number of factors.
    """
    ratings = block_of(block)
    pulls = None if features is None else times(features, weights)
    return sum_moments(started.of(ratings), np.diff(ratings.indptr), None, pulls, rank)


def add_moments(parts: Sequence[Moments]) -> Moments:
    """Add moments up in block order."""
    return functools.reduce(Moments.plus, parts)
