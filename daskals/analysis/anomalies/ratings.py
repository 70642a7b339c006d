"""Residuals: the ratings a model was trained on beside its predictions and how sure those are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from daskals.cluster.connect import available_cores
from daskals.errors import ConfigError
from daskals.evaluation.prediction_error import known_times
from daskals.kernels.data.csr import compact_part
from daskals.kernels.statistics.leverages import leverages
from daskals.model.fitted import Model
from daskals.model.stored_ratings import open_history, training_data
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.types import TRAIN, Float32, Float64, Int32, Int64, Side

PAIRS_AT_ONCE = 1 << 20
LEAST_SHARE = 0.05
"""Least share of the noise that is left to a residual: below it a rating predicts itself."""
_RANGES = 16


@dataclass(frozen=True)
class Rated:
    """Training ratings by user, in order of the item rows within a user.

    Attributes
    ----------
    indptr, items
        Where users start, int64, shape (users + 1,); item rows, int32, shape (ratings,).
    values, predicted
        Ratings and predictions, float32, shape (ratings,).
    free
        Share of the noise's variance that a residual keeps, float32: 1 less the leverages of the user's and
        the item's system, or, with a posterior, 1 less posterior variance over noise variance.
    times
        Seconds since 1970, int64, or None where the ratings have none.
    step, limits
        Distance of the rating scale's values, 0 where it is continuous; lowest and highest rating.
    spread
        Mean of (Σxxᵀ + D)⁻¹ over the users, float64, shape (rank + 1, rank + 1).
    """

    indptr: Int64
    items: Int32
    values: Float32
    predicted: Float32
    free: Float32
    times: Int64 | None
    step: float
    limits: tuple[float, float]
    spread: Float64

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.indptr) - 1

    @cached_property
    def users(self) -> Int32:
        """User row of each rating, int32."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def noise(self) -> float:
        """Variance of a rating about what the model would predict with all else known."""
        return float(np.sum(self.residuals.astype(np.float64) ** 2) / np.sum(self.free, dtype=np.float64))

    @property
    def residuals(self) -> Float32:
        """Rating less prediction, float32, shape (ratings,)."""
        return np.asarray(self.values - self.predicted)

    @cached_property
    def standardised(self) -> Float32:
        """Residuals over their standard deviation under the model, float32, shape (ratings,)."""
        deviations = np.sqrt(max(self.noise, 1e-12) * self.free)
        return np.asarray(self.residuals / deviations, np.float32)

    def rows(self, side: Side) -> Int32:
        """Return the row of each rating on one side."""
        return self.users if side == "user" else self.items


def read_rated(model: Model) -> Rated:
    """Read what a model was trained on, and predict it.

    Raises StoreError if the ratings are gone, or are others by now; ConfigError if the model saw them through
    a curve: its factors then are not about ratings.
    """
    if model.curve is not None:
        raise ConfigError(
            f"the model was trained with --transform={model.curve.name}",
            where="anomalies",
            expected="a model of ratings as they are",
            remedy="Train one without --transform",
        )
    data = training_data(model.report)
    store = open_history(data, "Restore it: what does not fit is looked for among those ratings")
    split = ensure_split(store, SplitSpec(**data["split"]))
    found = store.read("user", 0, store.n_users, ("timestamps",) if store.has_timestamps else ())
    parts = split.parts("user", 0, store.n_ratings)
    block = found.block
    pieces = [(block.indices, block.values)]
    indptr, items, codes = compact_part(block.indptr, parts, TRAIN, pieces, block.values.dtype.type)
    values = block.scale[codes] if len(block.scale) else codes.astype(np.float32)
    times = None if found.timestamps is None else found.timestamps[parts == TRAIN]
    users = np.repeat(np.arange(store.n_users), np.diff(indptr))
    predicted = np.empty(len(items), np.float32)
    dates = None if model.times is None or times is None else known_times(model.times, times)
    for start in range(0, len(items), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        own = None if dates is None else dates[pairs]
        predicted[pairs] = model.predict_rows(users[pairs], items[pairs].astype(np.int64), own)
    free, spread = _free_shares(model, indptr, users, items)
    return Rated(indptr, items, values, predicted, free, times, step_of(store), model.limits, spread)


def step_of(store: RatingsStore) -> float:
    """Return the distance of neighbouring values of a store's scale, 0 where it is continuous."""
    return float(np.diff(store.scale).min()) if len(store.scale) > 1 else 0.0


def _free_shares(model: Model, indptr: Int64, users: Int64, items: Int32) -> tuple[Float32, Float64]:
    own = np.empty(len(items))
    spread = side_leverages(model, "user", indptr, items, own)
    if model.samples is not None:
        noise = model.samples.noise_variance
        explained = np.empty(len(items))
        for start in range(0, len(items), PAIRS_AT_ONCE):
            pairs = slice(start, start + PAIRS_AT_ONCE)
            deviations = model.samples.deviations(users[pairs], items[pairs].astype(np.int64))
            explained[pairs] = deviations.astype(np.float64) ** 2 / noise - 1.0
        free = 1.0 - explained
    else:
        order = np.argsort(items, kind="stable")
        starts = np.searchsorted(items[order], np.arange(len(model.item_ids) + 1))
        other = np.empty(len(items))
        side_leverages(model, "item", starts, users[order].astype(np.int32), other)
        free = 1.0 - own
        free[order] *= 1.0 - other
    return np.maximum(free, LEAST_SHARE).astype(np.float32), spread


def side_leverages(model: Model, side: Side, indptr: Int64, indices: Int32, out: Float64) -> Float64:
    """Write the leverages of all ratings of one side.

    Parameters
    ----------
    model, side
        Whose systems they are.
    indptr, indices
        Its ratings as compressed rows, shapes (rows + 1,) and (ratings,).
    out
        The leverages, float64, shape (ratings,), written.

    Returns
    -------
    Float64
        The mean inverse of the systems, shape (rank + 1, rank + 1).
    """
    rows = model.item_rows if side == "user" else model.user_rows
    diagonal = np.full(model.rank + 1, model.ridge.factors)
    diagonal[-1] = model.ridge.bias
    sums = in_ranges(
        indptr,
        lambda first, stop: leverages(
            range(first, stop), indptr, indices, rows, diagonal, model.ridge.exponent, out
        ),
    )
    return np.asarray(np.sum(sums, axis=0) / max(len(indptr) - 1, 1))


def in_ranges(indptr: Int64, work: Callable[[int, int], Float64 | None]) -> list[Float64]:
    """Call `work` on ranges of rows with about as many ratings each, on all threads; return the results.

    `indptr`, shape (rows + 1,), tells how many each row has.
    """
    goals = np.linspace(0, indptr[-1], _RANGES + 1)
    bounds = np.unique(np.append(np.searchsorted(indptr[:-1], goals[:-1]), len(indptr) - 1))
    with ThreadPoolExecutor(available_cores()) as pool:
        results = pool.map(
            lambda bound: work(*bound), zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        )
        return [result for result in results if result is not None]
