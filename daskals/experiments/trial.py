"""One trial of a search: epochs over blocks that all trials share, judged on the validation part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from daskals.cluster.exchange import Generation, fetch_rows
from daskals.cluster.workers import Cluster, Task
from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.features import FeatureSpec, side_features
from daskals.training.half_step import HalfStep, SolveSpec, initialise
from daskals.training.placed import PlacedRatings, RatingsPlan
from daskals.training.prior import Prior, PriorHalfStep, load_prior
from daskals.training.scoring import error_figures, submit_errors
from daskals.training.trainer import rating_limits
from daskals.types import SIDES, BlockStats, FactorRows, Side


@dataclass(frozen=True)
class SharedData:
    """Ratings on the cluster, loaded once for all trials; blocks are cut for the largest rank.

    Attributes
    ----------
    store, split
        The ratings.
    ratings
        Their blocks.
    features
        Feature blocks of each side and choice of columns.
    limits
        Lowest and highest rating.
    """

    store: RatingsStore
    split: Split
    ratings: PlacedRatings
    features: Mapping[FeatureSpec, Prior]
    limits: tuple[float, float]


@dataclass(frozen=True)
class TrialResult:
    """The best epoch of a trial.

    Attributes
    ----------
    epoch
        Its number, from 1.
    validation_rmse, train_rmse
        After it.
    user_rows, item_rows
        Factors after it.
    """

    epoch: int
    validation_rmse: float
    train_rmse: float
    user_rows: FactorRows
    item_rows: FactorRows


def share_data(
    cluster: Cluster, store: RatingsStore, split: Split, configs: list[TrainConfig], key: str
) -> SharedData:
    """Load what the trials need, once.

    Parameters
    ----------
    cluster
        Where to.
    store, split
        The ratings; the split must have a validation part.
    configs
        Resolved configurations that cover the ranks and features of all trials.
    key
        Makes the names of these tasks unique.
    """
    rank = max(config.effective_rank for config in configs)
    ratings = RatingsPlan(store, split, rank).place(cluster, cluster.memory_budgets(None), key)
    if ratings.validation is None:
        raise DataError(
            "no validation ratings to choose by",
            where="tuning",
            expected="a validation part of the training ratings",
            remedy="Add --validation-fraction",
        )
    features: dict[FeatureSpec, Prior] = {}
    for config in configs:
        for side, spec in side_features(store, config).items():
            if spec not in features:
                named = f"{key}-{len(features)}"
                features[spec] = load_prior(cluster, store.path, ratings.sides[side], spec, 0.0, named)
    ratings.wait(cluster)
    return SharedData(store, split, ratings, features, rating_limits(store))


class Trial:
    """Trains one configuration on shared blocks until validation no longer improves.

    Parameters
    ----------
    cluster
        Where the tasks run.
    data
        The shared blocks.
    config
        The configuration, resolved; its `patience` and `epochs` end the trial.
    key
        Makes the names of its tasks unique.
    """

    def __init__(self, cluster: Cluster, data: SharedData, config: TrainConfig, key: str) -> None:
        self._cluster = cluster
        self._data = data
        self._config = config
        self._key = key
        mean = 0.0 if config.no_global_mean else data.split.mean
        self._spec = SolveSpec(config.effective_rank, mean, config.ridge, config.solver, config.damping)
        self._steps = {side: self._half_step(side) for side in SIDES}

    def _half_step(self, side: Side) -> HalfStep | PriorHalfStep:
        data = self._data.ratings.sides[side]
        spec = side_features(self._data.store, self._config).get(side)
        if spec is None:
            return HalfStep(data, self._spec)
        shared = self._data.features[spec]
        return PriorHalfStep(data, self._spec, Prior(spec, shared.blocks, self._config.relative_eta))

    def run(self) -> TrialResult:
        """Train; return the epoch with the lowest validation RMSE.

        Raises
        ------
        RowError, NumericalError
            If a row or W cannot be solved with this configuration.
        """
        config = self._config
        users, items = (
            initialise(
                self._cluster,
                self._data.ratings.sides[side],
                self._spec.rank,
                config.seed,
                config.initial_deviation,
                self._key,
            )
            for side in SIDES
        )
        best: tuple[float, int, float, Generation, Generation] | None = None
        for epoch in range(1, config.epochs + 1):
            key = f"{self._key}-{epoch}"
            users = self._steps["user"].submit(self._cluster, items, users, key)
            items = self._steps["item"].submit(self._cluster, users, items, key)
            rmse = self._validation_rmse((users, items), key)
            if best is None or rmse < best[0]:
                stats: BlockStats = self._cluster.result(items.stats)
                train = math.sqrt(max(stats.sse, 0.0) / self._data.split.n_train)
                best = (rmse, epoch, train, users, items)
            elif config.patience is not None and epoch - best[1] >= config.patience:
                break
        assert best is not None
        rmse, epoch, train, users, items = best
        rows = (fetch_rows(self._cluster, side, f"{self._key}-best") for side in (users, items))
        return TrialResult(epoch, rmse, train, *rows)

    def _validation_rmse(self, factors: tuple[Generation, Generation], key: str) -> float:
        held_out = self._data.ratings.validation
        assert held_out is not None
        model = (self._spec.rank, self._spec.mean, self._data.limits)
        task: Task = submit_errors(self._cluster, held_out, factors, model, key)
        figures = error_figures(self._cluster.result(task))
        return math.inf if figures is None or not math.isfinite(figures.rmse) else figures.rmse
