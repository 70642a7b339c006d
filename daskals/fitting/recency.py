"""How popular items are of late: what is chosen today is seldom what was chosen over all the years."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from daskals.types import Float64, Int64

POPULARITY_WEIGHT = 1.0
"""Weight of popularity by itself in an order whose popularity is that of late; see notebooks/README.md."""


def recent_popularity(x: scipy.sparse.csr_array, seconds: Int64, half_life: float) -> Float64:
    """Return how popular items are of late, float64, shape (items,).

        P_i = Σ_u w_ui·x_ui / Σ_u max_j w_uj,  w = 2^(−a/h)

    a is the share of all ratings that were made later: on no set need anybody know whether tastes move by
    days or by years. The denominator counts people as far as they are still there.

    Parameters
    ----------
    x
        Interactions, sparse float64, shape (users, items).
    seconds
        When each was, in the order of `x.data`, int64, shape (ratings,).
    half_life
        h: the share of all ratings after which one counts half.
    """
    n = len(seconds)
    later = n - np.searchsorted(np.sort(seconds), seconds, side="right")
    # float32 hides in what two CPUs' powers differ
    weights = np.exp2(-later / (half_life * max(n, 1))).astype(np.float32).astype(np.float64)
    rated = np.flatnonzero(np.diff(x.indptr))
    latest = np.maximum.reduceat(weights, x.indptr[rated]) if n else weights
    chosen = np.bincount(x.indices, weights * x.data, minlength=x.shape[1])
    popularity: Float64 = chosen / max(float(np.sum(latest)), np.finfo(np.float64).tiny)
    return popularity
