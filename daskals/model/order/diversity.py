"""Lists that do not say the same thing ten times: maximal marginal relevance (Carbonell and Goldstein 1998).

Of the best candidates the next one listed is the one with the greatest (1 − d)·s − d·max likeness to what is
listed already, s its score from 0 to 1 among the candidates. Two items are alike as their order has it: by
their regression on one another, √(B_ij·B_ji), the partial correlation of who chose them, as a share of the
greatest among the candidates, and by the cosine of their genres; the mean of both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError
from daskals.kernels.scoring.weighted_rows import best_of
from daskals.model.order.scoring import OrderScorer
from daskals.types import Float32, Float64, Int64

LEAST_CANDIDATES = 50
CANDIDATES_A_PLACE = 5
"""How many of the best items a list is chosen from: as many a place, but no fewer than these."""


def check_diversity(diversity: float, order: str | None) -> None:
    """Refuse, with ConfigError, what is no share from 0 to 1, or is asked of another order than affinity."""
    if not 0.0 <= diversity <= 1.0:
        raise ConfigError(f"found {diversity}", where="diversity", expected="a number from 0 to 1")
    if diversity and order != "affinity":
        raise ConfigError(
            f"found {diversity} with the order by {order}",
            where="diversity",
            expected="0: it is of the order by affinity",
        )


def diverse(
    scorer: OrderScorer, scores: Float32, n: int, allowed: NDArray[np.bool_], diversity: float
) -> Int64:
    """Choose the n items of a list, int64, in its order; fewer if fewer are allowed.

    Parameters
    ----------
    scorer
        What scored them.
    scores
        float32, shape (items,).
    n
        Length of the list.
    allowed
        bool, shape (items,).
    diversity
        d, from 0, the n best, to 1, the best one and then those least like it.
    """
    candidates = best_of(scores, allowed, max(LEAST_CANDIDATES, CANDIDATES_A_PLACE * n))
    if diversity == 0.0 or len(candidates) <= 2:
        return candidates[:n]
    own = scores[candidates].astype(np.float64)
    worth = (own - own[-1]) / max(own[0] - own[-1], 1e-12)
    return candidates[_chosen(worth, scorer.likeness(candidates), n, diversity)]


def _chosen(worth: Float64, likeness: Float64, n: int, diversity: float) -> list[int]:
    """Return the places of the candidates that are listed, of equal ones the better first."""
    left = np.ones(len(worth), np.bool_)
    nearest = np.full(len(worth), -np.inf)
    chosen = [0]
    while len(chosen) < min(n, len(worth)):
        left[chosen[-1]] = False
        nearest = np.maximum(nearest, likeness[chosen[-1]])
        gain = (1.0 - diversity) * worth - diversity * nearest
        chosen.append(int(np.argmax(np.where(left, gain, -np.inf))))
    return chosen
