"""Joint density of pairs of factors against a Gaussian, the prior of the model (paper 2, section 1)."""

from __future__ import annotations

import numpy as np
from scipy import stats

from daskals.analysis.missing import Numbers, missing
from daskals.types import Float64

LEVELS = (0.5, 0.9, 0.99)
_BINS = 40
_AXES = 3
MIN_ROWS = 20


def joint_density(factors: Float64) -> Numbers:
    """Compare pairs of factors with the Gaussian of the same mean and covariance.

    Parameters
    ----------
    factors
        Factors of the rows with training ratings, float64, shape (rows, rank).

    Returns
    -------
    Numbers
        `pairs` among the three leading principal axes, each with its `histogram` (counts, and the edges
        `x`, `y`), the `deviations` of the Gaussian, the share of rows `within` its 50, 90 and 99 %
        ellipses, and Mardia's `skewness` and `excess_kurtosis`, 0 for a Gaussian; `distance`, the
        Kolmogorov-Smirnov distance of all rows' squared Mahalanobis lengths from χ², 0 for a Gaussian.
    """
    n, rank = factors.shape
    if rank < 2:
        return missing(f"a pair takes two factors, and the model has {rank}")
    if n < max(MIN_ROWS, 2 * rank):
        return missing(f"only {n} rows have ratings")
    centred = factors - factors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    solid = int(np.sum(lengths > 1e-6 * lengths[0]))
    if solid < 2:
        return missing("the factors lie on one line")
    places = centred @ axes[:solid].T
    deviations = places.std(axis=0)
    squared = ((places / deviations) ** 2).sum(axis=1)
    leading = min(_AXES, solid)
    return {
        "rows": n,
        "distance": float(stats.kstest(squared, stats.chi2(solid).cdf).statistic),
        "pairs": [
            _pair(places[:, [first, second]], (first, second))
            for first in range(leading)
            for second in range(first + 1, leading)
        ],
    }


def _pair(places: Float64, axes: tuple[int, int]) -> Numbers:
    deviations = places.std(axis=0)
    units = places / deviations
    limit = float(np.quantile(np.abs(units), 0.99)) * 1.2
    edges = [np.linspace(-limit * one, limit * one, _BINS + 1) for one in deviations]
    counts, _, _ = np.histogram2d(places[:, 0], places[:, 1], bins=edges)
    squared = (units**2).sum(axis=1)
    third = [np.mean(units[:, 0] ** power * units[:, 1] ** (3 - power)) for power in range(4)]
    skewness = third[3] ** 2 + 3 * third[2] ** 2 + 3 * third[1] ** 2 + third[0] ** 2
    return {
        "axes": [axes[0] + 1, axes[1] + 1],
        "deviations": deviations.tolist(),
        "x": edges[0].tolist(),
        "y": edges[1].tolist(),
        "histogram": counts.astype(int).tolist(),
        "within": [float(np.mean(squared <= stats.chi2.ppf(level, 2))) for level in LEVELS],
        "skewness": float(skewness),
        "excess_kurtosis": float(np.mean(squared**2) - 8.0),
    }
