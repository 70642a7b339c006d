"""A power law fitted to how many ratings users or items have, and how well it fits.

Discrete maximum likelihood with the lower cut-off that minimises the Kolmogorov-Smirnov distance, a
parametric bootstrap for the goodness of fit, and Vuong's test against a log-normal: Clauset, Shalizi and
Newman (2009), "Power-law distributions in empirical data", sections 3.1, 3.3, 4.1 and 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import optimize, special

from daskals.analysis.missing import Numbers, missing
from daskals.types import Float64, Int64

MIN_TAIL = 50
"""A cut-off leaves at least so many rows, or no exponent is fitted."""

_CANDIDATES = 60
_CELLS = 400
_REPLICATES = 200
_EXPONENTS = (1.01, 8.0)


def fit_power_law(degrees: Int64) -> Numbers:
    """Fit p(d) ∝ d^−α, d ≥ d_min, to the number of ratings of each row.

    Parameters
    ----------
    degrees
        Ratings of each row, int64, shape (rows,); rows without any are left out.

    Returns
    -------
    Numbers
        `exponent` α with `standard_error`, `cutoff` d_min, `n_tail` rows from there on, `ks_distance`,
        `p_value` (share of samples of the fitted law that lie further from their own fit: small means that
        it is no power law), `lognormal_ratio` (normalised log-likelihood ratio, negative where a
        log-normal fits better) with `lognormal_p_value`; or why there is no fit.
    """
    values, counts = np.unique(degrees[degrees > 0], return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    possible = values[(counts.sum() - below >= MIN_TAIL) & (values < values.max(initial=0))]
    if len(possible) < 2:
        return missing(
            f"no exponent was fitted: that takes {MIN_TAIL} rows with different numbers of ratings"
        )
    places = np.unique(np.linspace(0, len(possible) - 1, min(_CANDIDATES, len(possible))).astype(int))
    fits = [_fit_tail(values, counts, int(cutoff)) for cutoff in possible[places]]
    distance, cutoff, exponent = min(fits)
    tail = values >= cutoff
    n_tail = int(counts[tail].sum())
    ratio, ratio_p = _against_lognormal(values[tail], counts[tail], cutoff, exponent)
    return {
        "exponent": exponent,
        "standard_error": (exponent - 1.0) / math.sqrt(n_tail),
        "cutoff": cutoff,
        "n_tail": n_tail,
        "ks_distance": distance,
        "p_value": _bootstrap(exponent, cutoff, n_tail, int(values.max()), distance),
        "lognormal_ratio": ratio,
        "lognormal_p_value": ratio_p,
    }


def power_law_counts(fit: Numbers, degrees: Int64) -> Float64:
    """Return how many rows with each number of ratings the fitted law expects, from its cut-off on.

    `degrees` and what is returned have shape (numbers,).
    """
    law = degrees ** -float(fit["exponent"]) / special.zeta(fit["exponent"], fit["cutoff"])
    expected: Float64 = fit["n_tail"] * law
    return expected


def _fit_tail(values: Int64, counts: Int64, cutoff: int) -> tuple[float, int, float]:
    # KS distance, cut-off, exponent: in this order the smallest tuple is the best fit
    tail = values >= cutoff
    cells = _cells(cutoff, int(values.max()))
    places = np.searchsorted(values[tail], cells, side="right")
    observed = np.concatenate([[0.0], np.cumsum(counts[tail])])[places] / counts[tail].sum()
    mean_log = float(counts[tail] @ np.log(values[tail])) / int(counts[tail].sum())
    exponent = _exponent(mean_log, cutoff)
    return float(np.abs(observed - _cdf(cells, exponent, cutoff)).max()), cutoff, exponent


def _exponent(mean_log: float, cutoff: int) -> float:
    """Return the maximum-likelihood α, given the mean logarithm of the tail."""

    def loss(exponent: float) -> float:
        return exponent * mean_log + math.log(float(special.zeta(exponent, cutoff)))

    return float(optimize.minimize_scalar(loss, bounds=_EXPONENTS, method="bounded").x)


def _cells(cutoff: int, largest: int) -> Int64:
    """Return the degrees at which distributions are compared: all, or 400 evenly over their logarithms."""
    cells: Int64 = np.unique(np.round(np.geomspace(cutoff, largest, _CELLS)).astype(np.int64))
    return cells


def _cdf(cells: Int64, exponent: float, cutoff: int) -> Float64:
    cdf: Float64 = 1.0 - special.zeta(exponent, cells + 1.0) / special.zeta(exponent, cutoff)
    return cdf


def _bootstrap(exponent: float, cutoff: int, n_tail: int, largest: int, distance: float) -> float:
    cells = _cells(cutoff, 4 * largest)
    cdf = _cdf(cells, exponent, cutoff)
    shares = np.diff(cdf, prepend=0.0)
    edges = np.concatenate([[cutoff - 1], cells]).astype(float)
    # a cell's degrees count with the logarithm of its middle: the cells are narrow in the logarithm
    middles = np.log((edges[:-1] + 1.0 + edges[1:]) / 2.0)
    rng = np.random.default_rng(0)
    further = 0
    for sample in rng.multinomial(n_tail, np.append(shares, max(0.0, 1.0 - shares.sum())), _REPLICATES):
        mean_log = float(sample[:-1] @ middles + sample[-1] * math.log(6.0 * largest)) / n_tail
        refitted = _cdf(cells, _exponent(mean_log, cutoff), cutoff)
        further += np.abs(np.cumsum(sample[:-1]) / n_tail - refitted).max() >= distance
    return float(further) / _REPLICATES


def _against_lognormal(values: Int64, counts: Int64, cutoff: int, exponent: float) -> tuple[float, float]:
    """Return Vuong's normalised log-likelihood ratio of power law over log-normal, and its p-value."""
    n = int(counts.sum())
    law = -exponent * np.log(values) - math.log(float(special.zeta(exponent, cutoff)))

    def log_likelihoods(parameters: Float64) -> Float64:
        middle, width = parameters[0], math.exp(parameters[1])
        upper = special.log_ndtr(-(np.log(values - 0.5) - middle) / width)
        lower = special.log_ndtr(-(np.log(values + 0.5) - middle) / width)
        with np.errstate(divide="ignore"):
            mass = upper + np.log(-np.expm1(lower - upper))
        whole = special.log_ndtr(-(math.log(cutoff - 0.5) - middle) / width)
        result: Float64 = np.maximum(mass - whole, -1e6)
        return result

    logs = np.log(values)
    middle = float(counts @ logs) / n
    width = math.sqrt(float(counts @ (logs - middle) ** 2) / n) or 1.0
    best: Any = optimize.minimize(  # type: ignore[call-overload]
        lambda parameters: -float(counts @ log_likelihoods(parameters)) / n,
        np.array([middle, math.log(width)]),
        method="Nelder-Mead",
        options={"maxiter": 400, "xatol": 1e-4, "fatol": 1e-8},
    )
    differences = law - log_likelihoods(best.x)
    total = float(counts @ differences)
    variance = float(counts @ (differences - total / n) ** 2) / n
    if variance == 0.0:
        return 0.0, 1.0
    ratio = total / math.sqrt(n * variance)
    return ratio, math.erfc(abs(ratio) / math.sqrt(2.0))
