"""One sweep of the Gibbs sampler as tasks: rows of both sides, their priors, the noise, the predictions.

A side's rows are drawn block by block, their moments folded in block order, and the next prior drawn from
those in one small task, so that nothing waits for the client. Where the features are too many for their
Gram matrix, W is drawn by perturbed conjugate gradients (Simm et al. 2017, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daskals.cluster.exchange import Gathered, Generation, Slab, gather
from daskals.cluster.workers import Cluster, Task
from daskals.kernels.gibbs.censored import Ends, complete
from daskals.kernels.gibbs.draw import draw_rows
from daskals.kernels.gibbs.moments import Moments, prior_pull, sum_moments
from daskals.kernels.gibbs.noise import Noise, normal_rows
from daskals.kernels.prior.features import FeatureRows, feature_gram, times
from daskals.kernels.prior.schur import RatedRows
from daskals.kernels.scoring.score import predict_block
from daskals.kernels.toolkit.random import (
    STREAM_GIBBS_ITEM,
    STREAM_GIBBS_ITEM_FEATURES,
    STREAM_GIBBS_ITEM_LATENT,
    STREAM_GIBBS_USER,
    STREAM_GIBBS_USER_FEATURES,
    STREAM_GIBBS_USER_LATENT,
)
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.gibbs.posterior import (
    Hyperprior,
    SidePrior,
    draw_alpha,
    draw_eta,
    draw_mean_and_precision,
    draw_side_prior,
    prior_draws,
    spread,
)
from daskals.training.half_step import SideData
from daskals.training.prior.gradients import SolveContext, Weights, start_gradients, take_gradients
from daskals.training.prior.half_step import MOST_DIRECT, Prior
from daskals.types import BlockStats, FactorRows, Float64, Side

_ROWS = {"user": STREAM_GIBBS_USER, "item": STREAM_GIBBS_ITEM}
_LATENT = {"user": STREAM_GIBBS_USER_LATENT, "item": STREAM_GIBBS_ITEM_LATENT}
_FEATURES = {"user": STREAM_GIBBS_USER_FEATURES, "item": STREAM_GIBBS_ITEM_FEATURES}


class DrawnSlab(NamedTuple):
    """A slab as `exchange.Slab`, with the moments of its rows."""

    start: int
    rows: FactorRows
    stats: BlockStats
    moments: Moments


class Tally(NamedTuple):
    """Predictions of a block's held-out ratings, added up over sweeps: Σr̂ and Σr̂², float64."""

    total: Float64
    squares: Float64


@dataclass(frozen=True)
class SideChain:
    """One side of the chain: ratings, features, and FᵀF over the rows with ratings where it is formed."""

    data: SideData
    features: Prior | None
    gram: Task | None


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
    """

    rank: int
    mean: float
    seed: int
    sweep: int
    hyperprior: Hyperprior
    ends: Ends | None = None


class Given(NamedTuple):
    """What a side's rows are drawn from: the other side's, their own as they are, their prior, the noise."""

    other: Generation
    current: Generation
    prior: Task
    alpha: Task


def prepare_side(cluster: Cluster, data: SideData, features: Prior | None, key: str) -> SideChain:
    """Form what stays the same in all sweeps."""
    if features is None or features.spec.n_features > MOST_DIRECT:
        return SideChain(data, features, None)
    both = list(zip(data.blocks, features.blocks, strict=True))
    parts = cluster.map_blocks(block_gram, both, key=f"gram-{data.side}-features-{key}")
    return SideChain(
        data, features, cluster.submit(add_arrays, parts, key=f"gram-{data.side}-features-{key}")
    )


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
    features = None if chain.features is None else chain.features.blocks
    arguments = [
        (
            block,
            given.other.near(cluster.home(n)),
            None if features is None else features[n],
            given.prior,
            given.alpha,
            side,
            spec,
            None if spec.ends is None else given.current.slabs[n],
        )
        for n, block in enumerate(chain.data.blocks)
    ]
    slabs = cluster.map_blocks(draw_slab, arguments, key=f"draw-{side}s-{key}")
    return gather(cluster, side, slabs, key)


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
    moments = cluster.submit(fold_moments, list(rows.slabs), key=f"reduce-{side}-moments-{key}")
    if chain.features is None or chain.gram is not None:
        return cluster.submit(
            next_prior, moments, prior, chain.gram, side, spec, key=f"draw-{side}-prior-{key}"
        )
    drawn = cluster.submit(next_mean, moments, prior, side, spec, key=f"draw-{side}-mean-{key}")
    arguments = [(slab, chain.data.blocks[n], drawn, side, spec) for n, slab in enumerate(rows.slabs)]
    perturbed = cluster.map_blocks(perturb_rows, arguments, key=f"perturb-{side}s-{key}")
    extra = cluster.submit(
        perturb_weights, drawn, chain.features.spec.n_features, side, spec, key=f"perturb-{side}-prior-{key}"
    )
    eta = cluster.submit(read_eta, prior, key=f"read-{side}-eta-{key}")
    present = cluster.submit(read_weights, prior, key=f"read-{side}-weights-{key}")
    context = SolveContext(side, eta, key)
    start = start_gradients(cluster, perturbed, chain.features.blocks, present, context, extra)
    values = take_gradients(cluster, perturbed, chain.features.blocks, start, context)
    return cluster.submit(finish_prior, drawn, values, side, spec, key=f"draw-{side}-prior-{key}")


def draw_slab(
    block: AnyBlock,
    other: Gathered,
    features: FeatureRows | None,
    prior: SidePrior,
    alpha: float,
    side: Side,
    spec: SweepSpec,
    current: Slab | DrawnSlab | None,
) -> DrawnSlab:
    """Draw the rows of one block, and sum what they tell of their prior.

    Where ratings are cut off, their latent values are drawn first, given the rows `current`.

    Parameters
    ----------
    block, other
        The rows' ratings; the other side's rows.
    features
        The rows' features, if they have any.
    prior, alpha
        What rows and ratings are drawn from: their prior, and the precision α of the noise.
    side, spec
        Whose rows, and what the tasks of a sweep share.
    current
        The rows as they are.
    """
    ratings = block_of(block)
    if spec.ends is not None and current is not None:
        ratings = complete(
            ratings,
            current.rows,
            other.rows,
            rank=spec.rank,
            mean=spec.mean,
            alpha=alpha,
            ends=spec.ends,
            noise=Noise(spec.seed, _LATENT[side], spec.sweep),
        )
    means = prior.mean[None] if features is None else prior.mean + times(features, prior.weights)
    rows, sse = draw_rows(
        ratings,
        other.rows,
        rank=spec.rank,
        mean=spec.mean,
        alpha=alpha,
        precision=prior.precision,
        priors=means,
        noise=Noise(spec.seed, _ROWS[side], spec.sweep),
    )
    moments = sum_moments(rows, np.diff(ratings.indptr), features, prior.weights, spec.rank)
    stats = BlockStats(sse, prior_pull(moments, prior.mean, prior.precision))
    return DrawnSlab(ratings.start, rows, stats, moments)


def fold_moments(slabs: Sequence[DrawnSlab]) -> Moments:
    """Add moments up in block order."""
    total = slabs[0].moments
    for slab in slabs[1:]:
        total = total.plus(slab.moments)
    return total


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
    return draw_side_prior(
        prior_draws(spec.seed, spec.sweep, side),
        moments,
        prior,
        spec.hyperprior,
        np.zeros((0, 0)) if gram is None else gram,
    )


def next_mean(moments: Moments, prior: SidePrior, side: Side, spec: SweepSpec) -> SidePrior:
    """Draw μ and Λ, leaving W and η as they were."""
    draws = prior_draws(spec.seed, spec.sweep, side)
    mean, precision = draw_mean_and_precision(draws, moments, prior, spec.hyperprior)
    return prior._replace(mean=mean, precision=precision)


def perturb_rows(
    slab: DrawnSlab, block: AnyBlock, prior: SidePrior, side: Side, spec: SweepSpec
) -> RatedRows:
    """Return x − μ + e, e ~ N(0, Λ⁻¹), of the rows with ratings: the right side that draws W.

    Parameters
    ----------
    slab, block
        Rows as drawn, and their ratings.
    prior
        With the μ and Λ of this sweep.
    side, spec
        Whose rows, and what the tasks of a sweep share.
    """
    noise = normal_rows(Noise(spec.seed, _FEATURES[side], spec.sweep), slab.start, slab.rows, spec.rank)
    x = slab.rows[:, : spec.rank + 1].astype(np.float64)
    x[:, spec.rank] = slab.rows[:, spec.rank + 1]
    counts = np.diff(block_of(block).indptr)
    right = x - prior.mean + spread(noise, prior.precision)
    right[counts == 0] = 0.0
    return RatedRows(counts, right)


def perturb_weights(prior: SidePrior, n_features: int, side: Side, spec: SweepSpec) -> Float64:
    """Return √η·e for each feature, e ~ N(0, Λ⁻¹): what W's own prior adds to the right side."""
    draws = prior_draws(spec.seed, spec.sweep, f"{side}-features")
    noise = spread(draws.normals(n_features, spec.rank + 1), prior.precision)
    return np.asarray(np.sqrt(prior.eta) * noise)


def read_eta(prior: SidePrior) -> float:
    """Return η alone."""
    return prior.eta


def read_weights(prior: SidePrior) -> Weights:
    """Return W alone, as conjugate gradients start from it."""
    return Weights(prior.weights, 0.0)


def finish_prior(prior: SidePrior, values: Float64, side: Side, spec: SweepSpec) -> SidePrior:
    """Put the drawn W, shape (features, size), in place and draw η."""
    draws = prior_draws(spec.seed, spec.sweep, f"{side}-eta")
    eta = draw_eta(draws, values, prior.precision, spec.hyperprior)
    return prior._replace(weights=values, eta=eta)


def next_alpha(stats: BlockStats, n: float, spec: SweepSpec) -> float:
    """Draw the noise precision from the items' squared errors."""
    return draw_alpha(prior_draws(spec.seed, spec.sweep, "noise"), stats.sse, n, spec.hyperprior)


def tally_slab(
    tally: Tally | None, block: AnyBlock, users: DrawnSlab, items: Gathered, spec: SweepSpec
) -> Tally:
    """Add one sweep's predictions of a block's held-out ratings.

    Parameters
    ----------
    tally, block
        Of the sweeps before, if any; the held-out ratings.
    users, items
        Rows as drawn.
    spec
        What the tasks of a sweep share.
    """
    predicted = predict_block(block_of(block), users.rows, items.rows, rank=spec.rank, mean=spec.mean).astype(
        np.float64
    )
    if tally is None:
        return Tally(predicted, predicted**2)
    return Tally(tally.total + predicted, tally.squares + predicted**2)


def start_slab(
    slab: Slab, block: AnyBlock, features: FeatureRows | None, weights: Float64, rank: int
) -> DrawnSlab:
    """Sum the moments of rows that a short ALS left.

    Parameters
    ----------
    slab, block
        The rows and their ratings.
    features, weights
        The rows' features, if they have any; W, shape (features, rank + 1).
    rank
        Number of factors.
    """
    counts = np.diff(block_of(block).indptr)
    moments = sum_moments(slab.rows, counts, features, weights, rank)
    return DrawnSlab(slab.start, slab.rows, slab.stats, moments)
