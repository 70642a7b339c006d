"""One trial of a search: epochs over blocks that all trials share, judged on the validation part."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import NamedTuple

import numpy as np

from daskals.cluster.exchange import Factors, fetch_rows
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import DataError
from daskals.kernels.half_step.joined import join_rows
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.als import STATE_EPOCHS, AlsPosition, AlsStep
from daskals.training.data.placed import PlacedRatings, RatingsPlan
from daskals.training.events import EpochFinished
from daskals.training.features import FeatureSpec, side_features
from daskals.training.ials import IalsStep
from daskals.training.loop import End, Epoch, Loop
from daskals.training.prior.half_step import Prior, load_prior
from daskals.training.problem import Problem
from daskals.training.state import TrainingState
from daskals.training.stopping import best_epoch
from daskals.types import FactorRows

Judge = Callable[[FactorRows, FactorRows], float]
"""Tells from the rows of users and of items how good an epoch is; higher is better."""


class Placement(NamedTuple):
    """Ratings and features on the cluster, the workers that they were shared out to, and since when.

    `desertions` is the cluster's as they were placed: where all workers have gone since, they are lost.
    """

    ratings: PlacedRatings
    features: Mapping[FeatureSpec, Prior]
    homes: tuple[str, ...]
    desertions: int


class SharedData:
    """Ratings on the cluster, loaded once for all trials; blocks are cut for the largest rank.

    Trials run in threads; whichever notes first that workers changed places the data again, for all.

    Parameters
    ----------
    cluster
        Where to.
    store, split
        The ratings; the split must have a validation part.
    configs
        Resolved configurations that cover the ranks and features of all trials, in the same units, and of
        the same times.

    Raises
    ------
    DataError
        If there are no validation ratings.
    """

    def __init__(
        self, cluster: Cluster, store: RatingsStore, split: Split, configs: Sequence[TrainConfig]
    ) -> None:
        if not split.n_validation:
            raise DataError(
                "no validation ratings to choose by",
                where="tuning",
                expected="a validation part of the training ratings",
                remedy="Add --validation-fraction",
            )
        self.store = store
        self.split = split
        problem = Problem(cluster, store, split, configs[0])
        rank = max(config.effective_rank for config in configs)
        self.plan = RatingsPlan(store, split, rank, problem.standard, problem.weighing, problem.timing)
        self._cluster = cluster
        specs = (spec for config in configs for spec in side_features(store, config).values())
        self._specs = tuple(dict.fromkeys(specs))
        self._placed: Placement | None = None
        self._lock = Lock()

    def place(self, before: Placement | None, key: str, *, again: bool) -> Placement:
        """Return where the data are; `before`, from which a trial comes, is not good any more.

        `again` tells that all but what moved is; `key` makes the names of the tasks unique.
        """
        with self._lock:
            cluster = self._cluster
            moment = (cluster.homes, cluster.desertions)
            now = self._placed
            if now is None or now is before or (now.homes, now.desertions) != moment:
                stay = again and now is not None and now.desertions == cluster.desertions
                now = self._placed = self._place(now if stay else None, moment, key)
            return now

    def _place(self, before: Placement | None, moment: tuple[tuple[str, ...], int], key: str) -> Placement:
        cluster = self._cluster
        ratings = self.plan.place(cluster, None, key, None if before is None else before.ratings)
        features = {
            spec: load_prior(cluster, self.store.path, ratings.sides[spec.side], spec, 0.0, f"{key}-{n}")
            for n, spec in enumerate(self._specs)
        }
        return Placement(ratings, features, *moment)


@dataclass(frozen=True)
class TrialResult:
    """The best epoch of a trial.

    Attributes
    ----------
    epoch
        Its number, from 1.
    validation_rmse, train_rmse
        After it; of implicit feedback NaN and None.
    validation_path
        Validation RMSE after each epoch.
    user_rows, item_rows
        Factors after it, of ratings as they were measured; with a third side, as of its latest date.
    epoch_seconds
        Median over all epochs.
    """

    epoch: int
    validation_rmse: float
    train_rmse: float | None
    validation_path: tuple[float, ...]
    user_rows: FactorRows
    item_rows: FactorRows
    epoch_seconds: float


@dataclass(frozen=True)
class BestEpoch:
    """The epoch with the lowest validation RMSE so far, or that was judged best.

    Its factors are on the cluster, or at home: of both sides, users first.
    """

    record: EpochFinished
    factors: Factors | None
    rows: tuple[FactorRows, ...] = ()
    score: float | None = None


@dataclass(frozen=True)
class TrialState(TrainingState):
    """A training state with the best epoch so far."""

    best: BestEpoch | None = None


class TrialStep:
    """Least squares on shared blocks until validation no longer improves; a `loop.Step`.

    Parameters
    ----------
    cluster
        Where the tasks run.
    data
        The shared blocks.
    config
        The configuration, resolved; its `patience` and `epochs` end the trial.
    judge
        Tells which epoch is best, and what patience waits for; the validation RMSE if None.
    patience
        Epochs without a better one that end the trial; the configuration's if None.
    """

    phase = "train"
    state_every = STATE_EPOCHS
    checkpoint_epochs = 1
    tol = 0.0

    def __init__(
        self,
        cluster: Cluster,
        data: SharedData,
        config: TrainConfig,
        judge: Judge | None = None,
        patience: int | None = None,
    ) -> None:
        problem = Problem(cluster, data.store, data.split, config)
        self.epochs = config.epochs
        self.patience = config.patience if judge is None else None
        self._judge, self._judged_patience = judge, config.patience if patience is None else patience
        self._problem = problem
        self._data = data
        self._placed: Placement | None = None
        kind = IalsStep if config.model == "ials" else AlsStep
        self._als = kind(problem, problem.solve_spec(), plan=data.plan)
        self._als.keeps_rows = True
        self.is_small = problem.is_small

    def place(self, key: str, *, again: bool) -> None:
        """Take the shared blocks where they are, or place them anew for all trials."""
        placed = self._placed = self._data.place(self._placed, key, again=again)
        self._als.ratings = placed.ratings
        for side, spec in self._problem.features.items():
            self._als.priors[side] = Prior(spec, placed.features[spec].blocks, self._als.eta_of(side))
        if not again:
            placed.ratings.wait(self._problem.cluster)

    def init(self, key: str) -> tuple[AlsPosition, TrialState]:
        """Start with random factors."""
        return self._als.init(key)[0], TrialState((), {})

    def hand_out(self, state: TrialState, key: str) -> AlsPosition:
        """Put a state on the cluster."""
        return self._als.hand_out(state, key)

    def submit(self, position: AlsPosition, epoch: Epoch) -> AlsPosition:
        """Start both half-steps and the validation error."""
        return self._als.submit(position, epoch)

    def finish(self, position: AlsPosition, state: TrialState, epoch: Epoch, started: float) -> TrialState:
        """Await an epoch; note it if it is the best so far."""
        state = self._als.finish(position, state, epoch, started)
        record = state.history[-1]
        if self._judge is not None:
            return self._judged(self._judge, position, state, epoch)
        if best_epoch(state.history) == record.epoch:
            return replace(state, best=BestEpoch(record, position.factors))
        return state

    def _judged(self, judge: Judge, position: AlsPosition, state: TrialState, epoch: Epoch) -> TrialState:
        """Judge an epoch; let it be the last where none was better for as long as patience lasts."""
        record, best, patience = state.history[-1], state.best, self._judged_patience
        rows = self._fetch(position.factors, f"{epoch.key}-judged")
        score = judge(*rows)
        if best is None or best.score is None or score > best.score:
            return replace(state, best=BestEpoch(record, None, rows, score))
        if patience is not None and record.epoch - best.record.epoch >= patience:
            self.epochs = record.epoch
        return state

    def take_home(self, position: AlsPosition, state: TrialState, key: str) -> TrialState:
        """Fetch what the next epoch depends on, and the best epoch's factors."""
        state, best = self._als.take_home(position, state, key), state.best
        if best is None or best.factors is None:
            return state
        rows = self._fetch(best.factors, f"{key}-best")
        return replace(state, best=BestEpoch(best.record, None, rows))

    def _fetch(self, factors: Factors, key: str) -> tuple[FactorRows, ...]:
        """Fetch the rows of both sides, items of a third side's latest date."""
        users, items, *times = (fetch_rows(self._problem.cluster, one, key) for one in factors.generations)
        for dates in times:
            each, latest = np.arange(len(items), dtype=np.int32), len(dates) - 1
            items = join_rows(each, np.full_like(each, latest), items, dates, self._als.spec.rank)
        return users, items

    def conclude(self, end: End[AlsPosition, TrialState]) -> TrialResult:
        """Return the best epoch."""
        best = end.state.best
        assert best is not None
        record, (users, items) = best.record, best.rows
        seconds = statistics.median(passed.seconds for passed in end.state.history)
        path = tuple(
            math.nan if passed.validation_rmse is None else passed.validation_rmse
            for passed in end.state.history
        )
        error = path[record.epoch - 1]
        return TrialResult(record.epoch, error, record.train_rmse, path, users, items, seconds)


def run_trial(
    cluster: Cluster,
    data: SharedData,
    config: TrainConfig,
    judge: Judge | None = None,
    patience: int | None = None,
) -> TrialResult:
    """Train one configuration; return the epoch with the lowest validation RMSE, or that is judged best.

    Parameters
    ----------
    cluster, data, config, judge, patience
        As `TrialStep` takes them.

    Raises
    ------
    NumericalError
        If a row or W cannot be solved with this configuration, or the objective is not finite.
    """
    return Loop(cluster, TrialStep(cluster, data, config, judge, patience), data.store.path).run().result
