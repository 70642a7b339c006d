"""Implicit feedback: what an observation counts, and the solve that training and fold-in share.

Σ_observed c·(1 − p·q)² + α₀ Σ_all (p·q)² + Σ_rows λ(n + α₀·n_other)^ν‖row‖² (Rendle et al. 2022, "Revisiting
the Performance of iALS"), c from counts as Hu, Koren and Volinsky 2008 have it. With `zeros` "unobserved" the
second sum runs over pairs that nobody observed, as in Hu's paper and in the library implicit: an observed
pair then adds c(1 − s)² − α₀s², which is w(y − s)² with w = c − α₀ and y = c/w, but for a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from daskals.config import ModelConfig
from daskals.errors import ConfigError, DataError
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.slices import solve_slices
from daskals.kernels.half_step.weighted import Weighting, solve_weighted
from daskals.types import BlockStats, FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge

COUNTS = (float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max))
"""Lowest and highest count of an observation."""


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
    unobserved: float
    zeros: Literal["all", "unobserved"]

    @classmethod
    def of(cls, config: ModelConfig) -> ImplicitSpec:
        """Read it from a configuration."""
        return cls(
            config.rank,
            config.ridge,
            config.confidence,
            config.confidence_weight,
            config.confidence_scale,
            config.unobserved_weight,
            config.zeros,
        )

    def confidences(self, counts: Float32) -> Float32:
        """Return c of each count, float32, shape (counts,)."""
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
                remedy="Leave rows that observe nothing out, or train a rating model",
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
            weights = (known[block.values] if coded else known) * block.weights
            ones = np.ones(len(known), np.float32)
            replaced = block._replace(scale=ones) if coded else block._replace(values=ones)
            return Observed(replaced, weights, 0.0)
        weights = known if self.zeros == "all" else known - np.float32(self.unobserved)
        targets = (known / weights).astype(np.float32)
        constant = 0.0
        if self.zeros == "unobserved":
            extra = known.astype(np.float64) * (1.0 - targets)
            each = np.bincount(block.values, minlength=len(known)) if coded else np.ones(len(known))
            constant = float(np.sum(extra * each))
        if coded:
            return Observed(block._replace(scale=targets), weights[block.values], constant)
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
        observed = self.observed(block)
        weighting = Weighting(
            observed.weights, self.row_counts(block, len(other)), self.unobserved * gram, biased=False
        )
        given: dict[str, Any] = {"rank": self.rank, "mean": 0.0, "ridge": self.ridge}
        if current is None:
            rows, stats = solve_weighted(observed.block, other, weighting, **given)
        else:
            rows, stats = solve_slices(
                observed.block, other, current, weighting=weighting, sweeps=sweeps, **given
            )
        return rows, BlockStats(stats.sse + observed.constant, stats.penalty)

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
    ) -> Float64:
        """Share a score out among the observations it comes from: p is A⁻¹Σ w·y·q.

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

        Returns
        -------
        Float64
            Shape (observations,): they add up to the score.
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
        return (q @ share) * strengths * observed.block.values
