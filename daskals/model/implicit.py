"""Implicit feedback: what an observation counts, and the solve that training and fold-in share.

Σ_observed c·(1 − p·q)² + α₀ Σ_all (p·q)² + Σ_rows λ(n + α₀·n_other)^ν‖row‖² (Rendle et al. 2022, "Revisiting
the Performance of iALS"), c from counts as Hu, Koren and Volinsky 2008 have it. With `zeros` "unobserved" the
second sum runs over pairs that nobody observed, as in Hu's paper and in the library implicit: an observed
pair then adds c(1 − s)² − α₀s², which is w(y − s)² with w = c − α₀ and y = c/w, but for a constant.

Rows of a side that has features are drawn to F·W instead of 0, λ(n + α₀·n_other)^ν‖row − fW‖² + η‖W‖², those
that nobody observed as well: they answer for the pairs that all answer for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from daskals.config import ModelConfig
from daskals.errors import ConfigError, DataError
from daskals.kernels.half_step.curvature import Curvature
from daskals.kernels.half_step.gradients import Course, improve_by_gradients
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.slices import solve_slices
from daskals.kernels.half_step.weighted import Weighting, solve_weighted
from daskals.kernels.prior.eliminate import eliminate_rows
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.prior.fill import fill_rows
from daskals.kernels.prior.pattern_sums import PatternSums
from daskals.kernels.toolkit.codes import count_codes, look_up
from daskals.types import BlockStats, FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge

COUNTS = (float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max))
"""Lowest and highest count of an observation."""

EPOCH = Course(relaxation=1.3)
"""How far rows go in an epoch by conjugate gradients; see bench/README.md."""


class Observed(NamedTuple):
    """Observations as a weighted half-step takes them.

    Attributes
    ----------
    block
        Their targets y in place of the counts.
    weights
        float32, shape (observations,): w.
    constant
        What the objective has beyond Σ w(y − s)² and the sum over all pairs.
    """

    block: RatingsBlock
    weights: Float32
    constant: float


class Contributions(NamedTuple):
    """What a score comes from; together they are the score.

    `observations`: float64, shape (observations,), of each; `prior`: of the row's own prior mean.
    """

    observations: Float64
    prior: float


@dataclass(frozen=True)
class ImplicitSpec:
    """What shapes a solve of implicit feedback.

    Attributes
    ----------
    rank
        Number of factors.
    ridge
        λ as `factors`, and ν.
    confidence, weight, scale
        c = 1 + weight·count for "linear", 1 + weight·log(1 + count/scale) for "log".
    unit
        What a count is measured in.
    unobserved
        α₀: weight of a pair that counts as 0.
    zeros
        Which pairs do: "all", or the "unobserved".
    """

    rank: int
    ridge: Ridge
    confidence: Literal["linear", "log"]
    weight: float
    scale: float
    unit: float
    unobserved: float
    zeros: Literal["all", "unobserved"]

    @classmethod
    def of(cls, config: ModelConfig, mean_count: float) -> ImplicitSpec:
        """Read it from a configuration, given the mean count of what trains."""
        return cls(
            config.rank,
            config.ridge,
            config.confidence,
            config.confidence_weight,
            config.confidence_scale,
            mean_count if config.confidence_unit == "mean" else 1.0,
            config.unobserved_weight,
            config.zeros,
        )

    def confidences(self, counts: Float32) -> Float32:
        """Return c of each count, float32, shape (counts,)."""
        counts = counts / np.float32(self.unit)
        steps = np.log1p(counts / np.float32(self.scale)) if self.confidence == "log" else counts
        return (1 + np.float32(self.weight) * steps).astype(np.float32)

    def check(self, lowest: float) -> None:
        """Refuse counts that cannot be any, given the lowest.

        Raises
        ------
        DataError
            If it is not above 0.
        ConfigError
            If an observation would weigh no more than a pair nobody observed.
        """
        if not lowest > 0:
            raise DataError(
                f"counts from {lowest:g} up",
                where="--model=ials",
                expected="counts above 0: a row is an observation",
                remedy="Leave rows that observe nothing out with "
                f"--leave-out-ratings={lowest:g}, or train a rating model",
            )
        if self.zeros == "unobserved" and self.unobserved >= 1:
            raise ConfigError(
                f"found {self.unobserved:g} with --zeros=unobserved",
                where="--unobserved-weight",
                expected="less than 1, the least that an observation weighs",
            )

    def observed(self, block: RatingsBlock) -> Observed:
        """Turn a block's counts into weights and targets."""
        coded = len(block.scale) > 0
        known = self.confidences(block.scale if coded else block.values.astype(np.float32, copy=False))
        if block.weights is not None:  # of two pairs observed alike, one that counts twice adds its c twice
            weights = (look_up(block.values, known) if coded else known) * block.weights
            ones = np.ones(len(known), np.float32)
            replaced = block._replace(scale=ones) if coded else block._replace(values=ones)
            return Observed(replaced, weights, 0.0)
        weights = known if self.zeros == "all" else known - np.float32(self.unobserved)
        targets = (known / weights).astype(np.float32)
        constant = 0.0
        if self.zeros == "unobserved":
            extra = known.astype(np.float64) * (1.0 - targets)
            each = count_codes(block.values)[: len(known)] if coded else np.ones(len(known))
            constant = float(np.sum(extra * each))
        if coded:
            return Observed(block._replace(scale=targets), look_up(block.values, weights), constant)
        return Observed(block._replace(values=targets), weights, constant)

    def solve(
        self,
        block: RatingsBlock,
        other: FactorRows,
        gram: Float64,
        *,
        current: FactorRows | None = None,
        sweeps: int = 1,
    ) -> tuple[FactorRows, BlockStats]:
        """Solve the rows of a block of counts.

        Parameters
        ----------
        block
            The counts.
        other
            Factor rows of the other side, shape (rows of the other side, stride).
        gram
            `side_gram` of them, float64, shape (rank, rank).
        current, sweeps
            Rows that are improved by slices, shape (rows, stride), and how often; solved exactly if None.

        Returns
        -------
        tuple
            Factor rows, float32, shape (rows, stride), 0 without observations; and the block's part of the
            objective, whose `sse` is all but the ridge.
        """
        observed, weighting = self._weighted(block, other, gram)
        given: dict[str, Any] = {"rank": self.rank, "mean": 0.0, "ridge": self.ridge}
        if current is None:
            rows, stats = solve_weighted(observed.block, other, weighting, **given)
        else:
            rows, stats = solve_slices(
                observed.block, other, current, weighting=weighting, sweeps=sweeps, **given
            )
        return rows, BlockStats(stats.sse + observed.constant, stats.penalty)

    def improve(
        self,
        block: RatingsBlock,
        other: FactorRows,
        curvature: Curvature,
        current: FactorRows,
        course: Course = EPOCH,
    ) -> tuple[FactorRows, BlockStats]:
        """Improve the rows of a block of counts by conjugate gradients; return them as `solve` does.

        Parameters
        ----------
        block, other
            The counts; factor rows of the other side, shape (rows of the other side, stride).
        curvature
            `side_curvature` of them, without a bias.
        current, course
            Rows that the steps begin from, shape (rows, stride), and how far each goes.
        """
        observed = self.observed(block)
        weighting = Weighting(observed.weights, self.row_counts(block, len(other)), biased=False)
        rows, stats = improve_by_gradients(
            observed.block,
            other,
            current,
            curvature,
            rank=self.rank,
            mean=0.0,
            ridge=self.ridge,
            weighting=weighting,
            share=self.unobserved,
            course=course,
        )
        return rows, BlockStats(stats.sse + observed.constant, stats.penalty)

    def _weighted(self, block: RatingsBlock, other: FactorRows, gram: Float64) -> tuple[Observed, Weighting]:
        observed = self.observed(block)
        counts = self.row_counts(block, len(other))
        return observed, Weighting(observed.weights, counts, self.unobserved * gram, biased=False)

    def eliminate(
        self, block: RatingsBlock, other: FactorRows, gram: Float64, sums: PatternSums | None = None
    ) -> Eliminated:
        """Solve the rows of a block for a prior mean of zero, keeping what another needs.

        Parameters
        ----------
        block, other, gram
            As `solve` takes them; shapes (rows of the other side, stride) and (rank, rank).
        sums
            What the rows are added to, if anything.
        """
        observed, weighting = self._weighted(block, other, gram)
        return eliminate_rows(
            observed.block,
            other,
            rank=self.rank,
            mean=0.0,
            ridge=self.ridge,
            weighting=weighting,
            sums=sums,
        )

    def fill(
        self,
        eliminated: Eliminated,
        features: FeatureRows,
        weights: Float64,
        block: RatingsBlock,
        other: FactorRows,
        gram: Float64,
    ) -> tuple[FactorRows, BlockStats]:
        """Move the rows of a block from a prior mean of zero to F·W; return them as `solve` does.

        Parameters
        ----------
        eliminated, features
            Of `eliminate`; F of these rows.
        weights
            W, float64, shape (features, rank + 1), nothing on the bias.
        block, other, gram
            As `solve` takes them; shapes (rows of the other side, stride) and (rank, rank).
        """
        observed, weighting = self._weighted(block, other, gram)
        rows, stats = fill_rows(
            eliminated,
            features,
            weights,
            observed.block,
            other,
            rank=self.rank,
            mean=0.0,
            weighting=weighting,
        )
        return rows, BlockStats(stats.sse + observed.constant, stats.penalty)

    def solve_towards(self, block: RatingsBlock, other: FactorRows, prior: Float32) -> FactorRows:
        """Solve the rows of a block as training does those of a side with features.

        Parameters
        ----------
        block, other
            As `solve` takes them, shape (rows of the other side, stride).
        prior
            The rows' prior means, shape (rows, rank + 1).

        Returns
        -------
        Float32
            Factor rows, shape (rows, stride); without observations they are between their prior and 0.
        """
        n_rows, gram = block.n_rows, side_gram(other, self.rank)
        each = FeatureRows(
            np.arange(n_rows + 1),
            np.arange(n_rows, dtype=np.int32),
            np.ones(n_rows, np.float32),
            n_rows,
            np.empty(0, np.int64),
        )
        own = self.eliminate(block, other, gram)
        return self.fill(own, each, prior.astype(np.float64), block, other, gram)[0]

    def ridge_of_weights(self, eta: float | None, n_other: int) -> float:
        """Return η: as given, or as hard as a row that nobody observed is held, of `n_other` pairs."""
        if eta is not None:
            return eta
        return float(self.ridge.factors * (self.unobserved * n_other) ** self.ridge.exponent)

    def row_counts(self, block: RatingsBlock, n_other: int) -> Float64:
        """Return n + α₀·n_other of each row, n as its observations weigh, float64, shape (rows,)."""
        return block.row_weights + self.unobserved * n_other

    def contributions(
        self,
        other: FactorRows,
        rated: Int64,
        counts: Float32,
        target: int,
        weights: Float32 | None = None,
        priors: Float64 | None = None,
    ) -> Contributions:
        """Share a score out among what it comes from: p is A⁻¹(Σ w·y·q + T·m), m its prior mean.

        Parameters
        ----------
        other
            Factor rows of the other side, shape (rows, stride).
        rated, counts
            Rows of it that were observed, int64, shape (observations,), and how often.
        target
            The row whose score is explained.
        weights
            What each observation counts, float32, shape (observations,); once if None.
        priors
            Parts of the prior mean, shape (observations + 1, rank + 1): what each observation adds to it, and
            last what comes from none. No prior if None.
        """
        indptr = np.array([0, len(rated)], np.int64)
        block = RatingsBlock(0, indptr, rated.astype(np.int32), counts, np.empty(0, np.float32), weights)
        observed = self.observed(block)
        strengths = observed.weights.astype(np.float64)
        q = other[rated, : self.rank].astype(np.float64)
        strength = self.row_counts(block, len(other))[0] ** self.ridge.exponent
        system = (q * strengths[:, None]).T @ q + self.unobserved * side_gram(other, self.rank)
        system[np.diag_indices(self.rank)] += strength * self.ridge.factors
        share = np.linalg.solve(system, other[target, : self.rank].astype(np.float64))
        parts = np.zeros((len(rated) + 1, self.rank + 1)) if priors is None else priors
        drawn = strength * self.ridge.factors * (parts[:, : self.rank] @ share)
        return Contributions((q @ share) * strengths * observed.block.values + drawn[:-1], float(drawn[-1]))
