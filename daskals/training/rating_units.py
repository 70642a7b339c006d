"""From factors of standardised ratings to those of the ratings as they were given, once, at the end of a run.

With y = (r − c)/σ, r̂ = c + σŷ: factors grow by √σ, biases by σ, and with them W, priors and errors.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from daskals.kernels.toolkit.layout import pack_rows, unpack_rows
from daskals.model.samples import column_units
from daskals.training.events import EpochFinished
from daskals.training.outcome import TrainedFactors
from daskals.training.state import TrainingState
from daskals.types import AS_RATED, FactorRows, Float32, RatingsBlock, Ridge, Standard


def factors_as_rated(trained: TrainedFactors, standard: Standard) -> TrainedFactors:
    """Return what a run left, in rating units; its history and error sums already are."""
    if standard == AS_RATED:
        return trained
    spec, sigma = trained.spec, standard.deviation
    rank = spec.rank
    return replace(
        trained,
        user_rows=scale_rows(trained.user_rows, rank, sigma),
        item_rows=scale_rows(trained.item_rows, rank, sigma),
        time_rows=None if trained.time_rows is None else scale_rows(trained.time_rows, rank, sigma),
        spec=replace(spec, mean=standard.centre + sigma * spec.mean, ridge=ridge_as_rated(spec.ridge, sigma)),
        weights={side: weights * column_units(rank, sigma) for side, weights in trained.weights.items()},
    )


def state_as_measured(state: TrainingState, rank: int, standard: Standard) -> TrainingState:
    """Return a state in rating units as training on standardised ratings starts from it."""
    if standard == AS_RATED:
        return state
    shrink = 1.0 / standard.deviation
    return replace(
        state,
        rows={side: scale_rows(rows, rank, shrink) for side, rows in state.rows.items()},
        weights={side: weights * column_units(rank, shrink) for side, weights in state.weights.items()},
    )


def record_as_rated(record: EpochFinished, standard: Standard) -> EpochFinished:
    """Return an epoch's record in rating units, but for its objective."""
    if standard == AS_RATED:
        return record
    sigma, alpha = standard.deviation, record.noise_precision
    return replace(
        record,
        train_rmse=_times(record.train_rmse, sigma),
        validation_rmse=_times(record.validation_rmse, sigma),
        test_rmse=_times(record.test_rmse, sigma),
        noise_precision=_times(alpha, sigma**-2),
    )


def scale_rows(rows: FactorRows, rank: int, sigma: float) -> FactorRows:
    """Return factor rows with factors times √σ and biases times σ, float32, shape (rows, stride)."""
    factors, biases = unpack_rows(rows, rank)
    return pack_rows(np.float32(math.sqrt(sigma)) * factors, np.float32(sigma) * biases)


def ridge_as_rated(ridge: Ridge, sigma: float) -> Ridge:
    """Return the ridge that has the same effect on factors of unstandardised ratings."""
    return ridge._replace(factors=ridge.factors * sigma)


def _times(figure: float | None, factor: float) -> float | None:
    return None if figure is None else factor * figure


class AsRated(NamedTuple):
    """How what is scored comes back to rating units.

    Attributes
    ----------
    standard
        What the ratings are measured from and in.
    scale
        The distinct ratings as they are, float32, or empty.
    """

    standard: Standard
    scale: Float32


def block_as_rated(block: RatingsBlock, target: AsRated) -> RatingsBlock:
    """Return a standardised block with its ratings as they were; exactly so where they have a scale."""
    if target.standard == AS_RATED:
        return block
    if len(block.scale):
        return block._replace(scale=target.scale)
    values = block.values.astype(np.float64) * target.standard.deviation + target.standard.centre
    if target.standard.curve is not None:
        values = target.standard.curve.back(values)
    return block._replace(values=values.astype(np.float32))
