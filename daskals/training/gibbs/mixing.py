"""Whether a chain has mixed: R-hat and effective sample sizes of what it leaves behind (Vehtari et al. 2021).

A trace is cut into halves that count as chains of their own, so that one chain that still wanders is told
from one that stands. Draws are replaced by normal scores of their ranks: heavy tails do not hide anything.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from daskals.types import Float64

FEWEST = 8
"""Draws of a chain below which nothing can be said."""

TAILS = (0.05, 0.95)


class Mixing(NamedTuple):
    """How well the draws of a quantity have mixed.

    `r_hat`: 1 where halves of the chains agree, in their middle and in their spread; `bulk`, `tail`: how many
    independent draws would tell as much of the mean, and of the ends; `draws`: how many there are.
    """

    r_hat: float
    bulk: float
    tail: float
    draws: int


def mixing_of(traces: Float64) -> Mixing | None:
    """Judge draws, shape (chains, draws); None where they are too few, all the same, or not finite."""
    draws = traces.size
    if traces.shape[1] < FEWEST or not np.all(np.isfinite(traces)) or np.ptp(traces) == 0.0:
        return None
    halves = _halves(traces)
    folded = np.abs(halves - np.median(halves))
    tails = [effective_size((halves <= np.quantile(halves, share)).astype(np.float64)) for share in TAILS]
    scores = _normal_scores(halves)
    return Mixing(
        r_hat=max(r_hat(scores), r_hat(_normal_scores(folded))),
        bulk=effective_size(scores),
        tail=min(tails),
        draws=draws,
    )


def r_hat(chains: Float64) -> float:
    """Return √(pooled variance / variance within chains), shape (chains, draws); 1 where nothing varies."""
    n = chains.shape[1]
    within = float(chains.var(axis=1, ddof=1).mean())
    between = n * float(chains.mean(axis=1).var(ddof=1))
    if within == 0.0:
        return 1.0 if between == 0.0 else float("inf")
    return float(np.sqrt(((n - 1) / n * within + between / n) / within))


def effective_size(chains: Float64) -> float:
    """Return how many independent draws tell as much of the mean as these, shape (chains, draws).

    Autocorrelations are summed in pairs while these are positive, and as if they never rose (Geyer 1992).
    """
    n_chains, n = chains.shape
    centred = chains - chains.mean(axis=1, keepdims=True)
    covariances = np.mean([np.correlate(row, row, "full")[n - 1 :] / n for row in centred], axis=0)
    within = covariances[0] * n / (n - 1)
    pooled = within * (n - 1) / n + float(chains.mean(axis=1).var(ddof=1)) if n_chains > 1 else within
    if not pooled > 0.0:
        return float(chains.size)
    correlations = 1.0 - (within - covariances) / pooled
    correlations[0] = 1.0
    pairs = correlations[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0.0)
    kept = np.minimum.accumulate(pairs[: negative[0] if len(negative) else len(pairs)])
    time = max(2.0 * float(kept.sum()) - 1.0, 1.0 / np.log10(max(chains.size, 11)))
    return float(chains.size / time)


def _halves(traces: Float64) -> Float64:
    half = traces.shape[1] // 2
    return np.concatenate([traces[:, :half], traces[:, -half:]])


def _normal_scores(chains: Float64) -> Float64:
    """Replace draws by normal scores of their ranks among all, equal ones by the same."""
    _, which, counts = np.unique(chains, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    inverse = NormalDist().inv_cdf
    scores = np.array([inverse((rank - 0.375) / (chains.size + 0.25)) for rank in ranks])
    return scores[which.reshape(chains.shape)]
