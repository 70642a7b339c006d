"""Trials of point estimates, judged by a validation part, or by several where squared errors have long tails.

Of counts over decades ten ratings of five thousand may make half of a mean squared error: what validates
best by one part is luck. There every trial is made on several parts of the training ratings, drawn anew, and
judged by the mean over all of them, after as many epochs as are best for that mean. Where no few ratings
decide, one part is what is judged by.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.fitting.choice import Point
from daskals.fitting.gain import PointEstimate
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, ensure_split
from daskals.training.problem import Problem
from daskals.training.trial import Judge, SharedData, TrialResult, run_trial
from daskals.types import Float64

FEW = 100.0
"""Ratings that decide a mean squared error below which they are few."""

OF_MANY = 30.0
"""How many times as many must validate for errors to have long tails: of Gaussian ones it is 3."""

DRAWS, EPOCHS = 5, 12
"""Validation parts of a trial on long tails, and its epochs on each."""

USUAL_TRIALS = 15


class Tried(NamedTuple):
    """A trial's point, and how many epochs it took."""

    point: Point
    n_epochs: int


class Trials:
    """Trials of one choice; the first, of biases, shows whether few ratings decide.

    Parameters
    ----------
    cluster, store
        Where, and on what.
    spec, split
        Which ratings train; the same with the validation part that judges.
    configs
        Resolved configurations that cover the ranks and features of all trials.
    n_epochs
        How many epochs there is time for.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        spec: SplitSpec,
        split: Split,
        configs: Sequence[TrainConfig],
        n_epochs: float,
    ) -> None:
        self._cluster, self._store, self._spec, self._configs = cluster, store, spec, configs
        self._data = [self._shared(split)]
        self._most_draws = min(DRAWS, int(n_epochs / (USUAL_TRIALS * EPOCHS)))
        self._deciding: float | None = None

    @property
    def n_validation(self) -> int:
        """Ratings that judge a trial, those of each part."""
        return sum(data.split.n_validation for data in self._data)

    @property
    def n_draws(self) -> int:
        """Validation parts that they are of."""
        return len(self._data)

    @property
    def has_long_tails(self) -> bool:
        """Whether few ratings of many decide what the first part says."""
        few = math.inf if self._deciding is None else self._deciding
        return few < FEW and OF_MANY * few < self._data[0].split.n_validation

    def run(self, config: TrainConfig) -> Tried:
        """Try a configuration.

        Raises RowError or NumericalError where it cannot be trained.
        """
        if len(self._data) == 1:
            found = run_trial(self._cluster, self._data[0], config)
            if self._deciding is None:
                self._look(config, found)
            if len(self._data) == 1:
                point = Point(config, found.validation_rmse, found.epoch)
                return Tried(point, found.epoch + (config.patience or 0))
        whole = config.model_copy(update={"epochs": EPOCHS, "patience": None})
        paths = [run_trial(self._cluster, data, whole).validation_path for data in self._data]
        weights = [data.split.n_validation for data in self._data]
        means = np.average(np.square(paths), axis=0, weights=weights)
        best = int(np.argmin(means))
        return Tried(Point(config, math.sqrt(means[best]), best + 1), len(paths) * EPOCHS)

    @property
    def told(self) -> str:
        """What few ratings mean for the choice, as a sentence."""
        validating = self._data[0].split.n_validation
        several = "" if self.n_draws == 1 else f": every trial is judged by {self.n_draws} of them"
        return (
            f"some {self._deciding:,.0f} of the {validating:,} ratings of a validation part decide its "
            f"squared error, as of counts over decades{several}"
        )

    def squares(self, point: Point) -> Float64:
        """Return a trial's squared error of each rating of the first part, float64, in users' order.

        It is trained once more as it was tried: of several parts for the epochs that all of them chose, not
        for those that are best for the first.
        """
        config, data = point.config, self._data[0]
        if self.n_draws == 1:
            return self._squares(config, run_trial(self._cluster, data, config))
        config = config.model_copy(update={"epochs": point.epochs, "patience": None})
        return self._squares(config, run_trial(self._cluster, data, config, _latest_is_best()))

    def _look(self, config: TrainConfig, found: TrialResult) -> None:
        """See by a first trial whether few ratings decide; if so, draw more validation parts."""
        self._deciding = deciding_ratings(self._squares(config, found))
        if self.has_long_tails and self._spec.draws_validation:
            for draw in range(1, self._most_draws):
                spec = replace(self._spec, validation_draw=draw)
                self._data.append(self._shared(ensure_split(self._store, spec)))

    def _squares(self, config: TrainConfig, found: TrialResult) -> Float64:
        split = self._data[0].split
        problem = Problem(self._cluster, self._store, split, config)
        rows = found.user_rows, found.item_rows
        estimate = PointEstimate(*rows, config.effective_rank, problem.standard, problem.mean)
        return estimate.validation_squares(self._store, split)

    def _shared(self, split: Split) -> SharedData:
        return SharedData(self._cluster, self._store, split, self._configs)


def _latest_is_best() -> Judge:
    """Return what lets a trial end with its last epoch, whatever the validation part says of it."""
    numbers = itertools.count()
    return lambda *_: float(next(numbers))


def deciding_ratings(squares: Float64) -> float:
    """Return how many ratings a mean of squared errors, shape (ratings,), rests on: (Σs)²/Σs².

    It is their number where all are alike, a third of it where errors are Gaussian, and 1 where one is all.
    """
    total = float(np.sum(squares))
    # by shares of the sum, whose squares do not vanish
    return 1.0 / float(np.sum((squares / total) ** 2)) if total > 0.0 else float(len(squares))
