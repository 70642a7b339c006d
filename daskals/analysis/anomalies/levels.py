"""Outlying levels: users and items whose residuals are larger than those of others like them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from daskals.analysis.anomalies.ratings import Rated
from daskals.analysis.anomalies.testing import Variances, against_the_bulk, effective_freedoms, fit_variances
from daskals.types import Float64, Int64, Side

LEAST_RATINGS = 5
_KNOTS = 10


class Levels(NamedTuple):
    """Standardised residuals of the rows of one side.

    Attributes
    ----------
    counts
        Ratings.
    means, squares
        Mean and mean square of the standardised residuals; NaN without ratings.
    usual
        Mean square that is usual for as many ratings.
    p_values
        Chance of a mean square as large among rows like most; NaN for fewer than `LEAST_RATINGS`.
    variances
        How mean squares scatter over the rows.
    """

    counts: Int64
    means: Float64
    squares: Float64
    usual: Float64
    p_values: Float64
    variances: Variances


def residual_levels(rated: Rated, side: Side, n_rows: int) -> Levels:
    """Compare the mean squares of a side's rows with one another."""
    z = rated.standardised.astype(np.float64)
    rows = rated.rows(side)
    counts = np.bincount(rows, minlength=n_rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(rows, z, n_rows) / counts
        squares = np.bincount(rows, z**2, n_rows) / counts
    tested = counts >= LEAST_RATINGS
    freedoms = np.maximum(effective_freedoms(counts, z), 1e-3)
    usual = np.full(n_rows, np.nan)
    usual[tested] = _usual(squares[tested], freedoms[tested])
    variances = fit_variances(squares[tested] / usual[tested], freedoms[tested])
    p_values = np.full(n_rows, np.nan)
    p_values[tested] = against_the_bulk(variances.p_values(squares[tested] / usual[tested], freedoms[tested]))
    return Levels(counts, means, squares, usual, p_values, variances)


def _usual(squares: Float64, freedoms: Float64) -> Float64:
    """Return the typical true mean square for as many ratings, a line through medians over log counts."""
    kept = squares > 0
    if np.count_nonzero(kept) < 20 * 2:
        return np.full(len(squares), float(np.median(squares)) if len(squares) else 1.0)
    half = freedoms / 2.0
    logs = np.log(np.maximum(squares, 1e-300)) - special.digamma(half) + np.log(half)
    order = np.argsort(freedoms, kind="stable")
    order = order[kept[order]]
    parts = np.array_split(order, min(_KNOTS, len(order) // 20))
    places = [float(np.mean(np.log(freedoms[part]))) for part in parts]
    middles = [float(np.median(logs[part])) for part in parts]
    return np.exp(np.interp(np.log(freedoms), places, middles))
