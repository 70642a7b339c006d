"""W of many features, drawn in one task: what is formed once for a side, and the draw of a sweep.

Few features' W is drawn by its normal equations (`posterior.draw_weights`). Of more, FᵀF or FFᵀ is
decomposed before the first sweep, or, where both are large, W is drawn by conjugate gradients; see
`kernels.gibbs.weights`. Between tasks of several workers no more passes than Fᵀx or the rows.

W of many features has a prior of its own, N(0, diag(ω)⁻¹) for each feature. Were it tied to Λ, as that of few
features is, thousands of them would rule Λ and not the rows, and a chain would wander for hundreds of sweeps.
Λ and ω are held by a belief that is worth as much as all rows and all features say, for with so many features
there is much that fits the ratings and predicts nothing. Its numbers were chosen on validation ratings of
ml-latest-small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from daskals.cluster.exchange import Gathered
from daskals.cluster.parts import over_blocks
from daskals.cluster.workers import Cluster, Task
from daskals.kernels.gibbs.moments import Moments, row_vectors
from daskals.kernels.gibbs.noise import Draws, Noise, normal_rows
from daskals.kernels.gibbs.weights import (
    ByFeatures,
    ByGradients,
    ByRows,
    PriorNoise,
    decomposed_rows,
    draw_by_features,
    draw_by_rows,
    for_gradients,
)
from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.prior.whole_features import join_rows, without_unrated
from daskals.kernels.toolkit.dense import product, symmetric_eigen
from daskals.kernels.toolkit.random import STREAM_GIBBS_ITEM_FEATURES, STREAM_GIBBS_USER_FEATURES
from daskals.kernels.toolkit.tridiagonal import tridiagonalise
from daskals.model.samples import column_units
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.features import IMPLICIT, FeatureSpec
from daskals.training.gibbs.posterior import BIAS_VARIANCE, FACTOR_VARIANCE, Belief, SidePrior
from daskals.types import Float64, Int64, Side

CHEAP_FEATURES = 256
"""Features whose normal equations are factorised in every sweep: that is as fast as a decomposition."""

MOST_DECOMPOSED = 1024
"""Rows of the largest FᵀF or FFᵀ that is decomposed: 2n³ operations once, then 8n² a sweep and column."""

FACTOR_PRECISION, BIAS_PRECISION = 25.0, 1 / 0.15
"""What Λ is believed to be at rank 20, the ratings' variance being 1."""

OWN_PRECISION = 8.0
"""What ω is believed to be, relative to the precision that rows have before the first sweep."""

REFERENCE_RANK = 20

_FEATURES = {"user": STREAM_GIBBS_USER_FEATURES, "item": STREAM_GIBBS_ITEM_FEATURES}


class WeightDraws(NamedTuple):
    """Random numbers of a draw of W: of W itself; `seed` and `sweep` for those of the rows."""

    of_weights: Draws
    seed: int
    sweep: int

    def of_rows(self, side: Side) -> Noise:
        """Return where the rows' random numbers come from."""
        return Noise(self.seed, _FEATURES[side], self.sweep)


WeightsSystem: TypeAlias = ByFeatures | ByRows | ByGradients


class Believed(NamedTuple):
    """What a side with many features is believed to be like: Λ's diagonal, and ω, both of shape (size,)."""

    precision: Float64
    own: Float64


def believed(rank: int, deviation: float) -> Believed:
    """Return the belief for a rank and a standard deviation of the ratings as the chain has them.

    The precision of factors grows with the root of the rank, so that what they add to a rating does not.
    """
    columns = column_units(rank, deviation) ** -2
    growth = np.sqrt(rank / REFERENCE_RANK)
    factors, start = np.full(rank, growth), [1.0 / FACTOR_VARIANCE]
    return Believed(
        columns * np.append(FACTOR_PRECISION * factors, BIAS_PRECISION),
        columns * OWN_PRECISION * np.append(start * factors, 1.0 / BIAS_VARIANCE),
    )


def has_many(spec: FeatureSpec) -> bool:
    """Whether a side's W has a prior of its own, and is drawn as that of many features is."""
    return IMPLICIT in spec.columns or spec.n_features > CHEAP_FEATURES


def belief_in_precision(expected: Believed, n_rows: int) -> Belief:
    """Return the belief in Λ that is worth as much as `n_rows` rows with ratings."""
    return Belief(float(n_rows), n_rows * np.diag(1.0 / expected.precision))


def draw_own(draws: Draws, weights: Float64, expected: Believed) -> Float64:
    """Draw ω, W's precision by column, shape (size,), given W, shape (features, size): Gamma."""
    half = 0.5 * len(weights)
    squares = 0.5 * np.sum(weights**2, axis=0)
    gammas = np.array([draws.gamma(2.0 * half) for _ in expected.own])
    return np.asarray(gammas / (half / expected.own + squares))


def draws_from_moments(spec: FeatureSpec, n_rows: int) -> bool:
    """Whether a draw of W needs Fᵀx alone, and FᵀF is formed, rather than all of F and of the side's rows."""
    return not has_many(spec) or spec.n_features <= min(n_rows, MOST_DECOMPOSED)


def submit_system(
    cluster: Cluster, blocks: Sequence[Task], features: Sequence[Task], side: Side, key: str
) -> Task:
    """Start forming what W is drawn from where that is all of F.

    Parameters
    ----------
    cluster
        Where the tasks run.
    blocks, features
        Loading tasks of each block's ratings, and of its features.
    side, key
        Whose rows; tells tasks apart.
    """
    counts = cluster.map_blocks(count_ratings, [(block,) for block in blocks], key=f"count-{side}s-{key}")
    return cluster.submit(form_system, list(features), counts, key=f"decompose-{side}-features-{key}")


def count_ratings(block: AnyBlock) -> Int64:
    """Return the number of ratings of each row, shape (rows,)."""
    return np.diff(block_of(block).indptr)


def form_system(features: Sequence[FeatureRows], counts: Sequence[Int64]) -> ByRows | ByGradients:
    """Join the features of all blocks, and decompose FFᵀ where it is small enough."""
    whole = without_unrated(join_rows(features), np.concatenate(counts))
    return decomposed_rows(whole) if whole.n_rows <= MOST_DECOMPOSED else for_gradients(whole)


def decompose_gram(gram: Float64) -> ByFeatures:
    """Decompose FᵀF, shape (features, features)."""
    return ByFeatures(tridiagonalise(gram))


def draw_many(
    drawn: SidePrior, system: WeightsSystem, given: Moments | Gathered, side: Side, draws: WeightDraws
) -> Float64:
    """Draw W of many features, shape (features, rank + 1), given μ, Λ and ω.

    With Ω = diag(ω) and Ω^(−½)ΛΩ^(−½) = UDUᵀ, the columns of (x − μ)B and of WB, B = Ω^½UD^½, are independent
    of each other, the rows' noise standard, and the precision of WB is D⁻¹.

    Parameters
    ----------
    drawn, system
        μ, Λ and ω; what was formed once.
    given
        Moments of the rows where FᵀF is decomposed, else all rows.
    side, draws
        Whose W, and the random numbers.
    """
    size = len(drawn.mean)
    roots = np.sqrt(drawn.own)
    values, vectors = symmetric_eigen(drawn.precision / np.outer(roots, roots))
    scales = np.sqrt(values)
    basis, back = roots[:, None] * vectors * scales, (vectors / scales).T / roots
    if isinstance(system, ByFeatures):
        assert isinstance(given, Moments)
        right = given.projected - np.outer(given.counted, drawn.mean)
        normals = draws.of_weights.normals(*right.shape)
        found = draw_by_features(system, product(right, basis), 1.0 / values, normals)
    else:
        assert isinstance(given, Gathered)
        rows = row_vectors(given.rows, size - 1) - drawn.mean
        noise = PriorNoise(
            draws.of_weights.normals(system.features.n_features, size),
            normal_rows(draws.of_rows(side), 0, given.rows, size - 1),
        )
        found = draw_by_rows(system, product(rows, basis), 1.0 / values, noise, over_blocks)
    return product(found, np.ascontiguousarray(back))
