"""Multiple tests: which p-values stand out, and variances that differ from row to row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from daskals.types import Float64

Bools = NDArray[np.bool_]

_LEAST_BULK = 100


def discoveries(p_values: Float64, level: float) -> Bools:
    """Tell which hypotheses are rejected at a false discovery rate (Benjamini and Hochberg 1995).

    `p_values` are float64, shape (tests,), NaN for what was not tested; `level` is the share of false ones
    expected among what is rejected, at most. Where nothing is true, this is the chance that anything is
    rejected.
    """
    tested = np.flatnonzero(~np.isnan(p_values))
    rejected = np.zeros(len(p_values), dtype=bool)
    if not len(tested):
        return rejected
    order = tested[np.argsort(p_values[tested], kind="stable")]
    within = p_values[order] <= level * np.arange(1, len(order) + 1) / len(order)
    if within.any():
        rejected[order[: int(np.flatnonzero(within)[-1]) + 1]] = True
    return rejected


def against_the_bulk(p_values: Float64) -> Float64:
    """Stretch p-values so that no more of them are below 0.1 than by chance; never to smaller ones.

    Where most hypotheses hold, the bulk tells what the theory left out: an empirical null (Efron 2004), by
    the median and the upper tenth of the normal scores, which few true discoveries do not move. P-values are
    float64, shape (tests,), NaN for what was not tested; fewer than `_LEAST_BULK` stay as they are.
    """
    tested = ~np.isnan(p_values)
    if np.count_nonzero(tested) < _LEAST_BULK:
        return p_values
    scores = stats.norm.isf(p_values)
    middle, high = np.quantile(scores[tested], (0.5, 0.9))
    middle = max(float(middle), 0.0)
    stretch = max((float(high) - middle) / stats.norm.isf(0.1), 1.0)
    return np.asarray(stats.norm.sf((scores - middle) / stretch))


class Variances(NamedTuple):
    """How the variances of rows scatter: s² = `level` times an F variable (Smyth 2004).

    `level`: typical variance; `freedom`: degrees of freedom of the scatter of true variances; infinite where
    they are all the same.
    """

    level: float
    freedom: float

    def p_values(self, variances: Float64, freedoms: Float64) -> Float64:
        """Return the chance of a variance as large, one a row as `variances` and `freedoms` are."""
        return np.asarray(stats.f.sf(variances / self.level, freedoms, min(self.freedom, 1e8)))

    def draw(self, n: int, rng: np.random.Generator) -> Float64:
        """Draw true variances of n rows, shape (n,)."""
        if self.freedom > 1e6:
            return np.full(n, self.level)
        drawn: Float64 = self.level * self.freedom / rng.chisquare(self.freedom, n)
        return drawn


def fit_variances(variances: Float64, freedoms: Float64) -> Variances:
    """Fit the scatter of true variances to the quartiles of log s², which outliers do not move.

    `variances` are s² of each row, `freedoms` their degrees of freedom, float64, shape (rows,).
    """
    kept = (variances > 0) & (freedoms >= 4)
    if np.count_nonzero(kept) < 20:
        return Variances(float(np.median(variances)) if len(variances) else 1.0, np.inf)
    half = freedoms[kept] / 2.0
    logs = np.log(variances[kept]) - special.digamma(half) + np.log(half)
    low, middle, high = np.quantile(logs, (0.25, 0.5, 0.75))
    excess = ((high - low) / 1.349) ** 2 - float(np.mean(special.polygamma(1, half)))
    if excess <= 1e-4:
        return Variances(float(np.exp(middle)), np.inf)
    half_freedom = float(optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-3, 1e6))
    level = np.exp(middle + special.digamma(half_freedom) - np.log(half_freedom))
    return Variances(float(level), 2.0 * half_freedom)


def effective_freedoms(counts: Any, standardised: Float64) -> Float64:
    """Return n·2/(κ − 1): the degrees of freedom of mean squares whose terms have kurtosis κ.

    `standardised` are the terms, shape (terms,); `counts`, and what is returned, one n a row.
    """
    squares = standardised.astype(np.float64) ** 2
    kurtosis = float(np.mean(squares**2) / np.mean(squares) ** 2) if len(squares) else 3.0
    return np.asarray(counts, np.float64) * 2.0 / max(kurtosis - 1.0, 0.5)
