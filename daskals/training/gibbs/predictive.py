"""How well a chain's predictive distribution fits ratings it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from daskals.kernels.gibbs.censored import Ends, recorded, recorded_moments
from daskals.training.gibbs.rows import Tally
from daskals.types import Float64

INTERVALS = {50: 0.6744897501960817, 90: 1.6448536269514722, 95: 1.959963984540054}
"""Half-width of central intervals of the normal distribution, in deviations, by per cent."""


@dataclass(frozen=True, eq=False)
class PredictiveFigures:
    """Error of the posterior mean, and the share of ratings within its intervals.

    Attributes
    ----------
    n
        Held-out ratings.
    rmse, mae
        Of the posterior mean, unclipped.
    deviation
        Mean predictive deviation of a rating; √(posterior variance + noise variance) unless it is cut off.
    coverage
        Share of the ratings within mean ± z deviations, by the interval's per cent; where ratings are cut
        off at the ends of the scale, so are the intervals.
    squares
        Squared error of each rating, float64, shape (ratings,), by user.
    """

    n: int
    rmse: float
    mae: float
    deviation: float
    coverage: dict[int, float]
    squares: Float64 = field(repr=False)

    def as_rated(self, sigma: float) -> PredictiveFigures:
        """Return figures of ratings that were measured in `sigma` in rating units."""
        return replace(
            self,
            rmse=sigma * self.rmse,
            mae=sigma * self.mae,
            deviation=sigma * self.deviation,
            squares=sigma**2 * self.squares,
        )


def predictive_figures(
    ratings: Float64, tally: Tally, n_sweeps: int, noise_variance: float, ends: Ends | None
) -> PredictiveFigures:
    """Compare predictions added up over sweeps with the ratings.

    Parameters
    ----------
    ratings, tally
        Held-out ratings, shape (ratings,), and the predictions in the same order.
    n_sweeps, noise_variance
        Sweeps in the tally; 1/α, mean over the sweeps.
    ends
        Of the scale, where ratings are cut off: predictions then are of the latent values.
    """
    mean = tally.total / n_sweeps
    variance = np.maximum(tally.squares / n_sweeps - mean**2, 0.0)
    if n_sweeps > 1:
        variance *= n_sweeps / (n_sweeps - 1)
    deviation = np.sqrt(variance + noise_variance)
    coverage = {}
    for share, z in INTERVALS.items():
        low, high = (recorded(ends, mean + sign * z * deviation) for sign in (-1, 1))
        coverage[share] = float(np.mean((low <= ratings) & (ratings <= high)))
    if ends is not None:
        mean, deviation = recorded_moments(ends, mean, deviation)
    errors = np.abs(ratings - mean)
    return PredictiveFigures(
        n=len(ratings),
        rmse=math.sqrt(float(np.mean(errors**2))),
        mae=float(np.mean(errors)),
        deviation=float(np.mean(deviation)),
        coverage=coverage,
        squares=errors**2,
    )
