"""`--model auto`: which model and which hyperparameters, learnt from the training ratings alone.

A tenth of them validates. Short trainings find the ridges of the biases, then of the factors, then of the
features' weights; Gibbs chains on the same ratings are judged by the same tenth (`chains`). Where there is no
posterior to take, it is the simplest point estimate that is as good as the best but for chance, which is less
the more ratings validate. The better chain is taken unless it does not fit the time or is worse, by more than
chance and than users differ, than that estimate, which would be trained instead, rather than the luckiest of
all trials: where few users validate, as of a split by time, figures mean little, and a posterior is rarely
far off. But it is where few ratings decide, as of counts over decades: there several parts judge each trial
(`trials`), what is best by all of them is the estimate, and a chain is taken if it is better by more than
chance. All ridges are relative to the ratings' standard deviation, so that no choice depends on their unit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import DataError, NumericalError, RowError
from daskals.fitting.chains import MIRRORED, Chain, Chains, Kinds
from daskals.fitting.choice import CHOSEN, Choice, Point
from daskals.fitting.gain import Gain, gain_of, validating_users
from daskals.fitting.trials import Trials
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.compiling import prepare_workers
from daskals.training.events import Callback, Notice, teller
from daskals.training.problem import Problem
from daskals.training.run import RunOptions
from daskals.types import Float64

BIAS_RIDGES = (1.0, 2.0, 4.0, 8.0, 16.0)
FACTOR_RIDGES = (25.0, 14.0, 8.0, 5.0)
EXPONENTS = (0.0, 0.5)
FEATURE_RIDGES = (10.0, 2.5, 0.6)
"""Of W, relative to the factors' own."""

MOST_BEYOND = 5
"""Steps beyond an end of these that are tried while they help."""

USUAL_BIAS_RIDGE = 4.0
FEWEST_RATINGS = 50
"""Below as many training ratings nothing can be chosen: biases alone."""

VALIDATION_SHARE = 0.1
PLAIN_EPOCHS = 50
TRIAL_EPOCHS, TRIAL_PATIENCE = 30, 2
SEARCH_SECONDS = 20.0
"""What a search may take beside the time of a plain training, within the budget."""

CHANCE, MOST_CHANCE = 0.5, 0.01
"""What of the standard error of a validation RMSE, and at most which share of it, counts as chance: the least
error of many trials is low by luck as well."""

MOST_RISK = 0.05
"""Share by which a chain's error may be higher and yet be chance between users."""


class Selection:
    """One choice.

    Parameters
    ----------
    cluster, store
        Where, and on what.
    config
        The options, resolved as if nothing were to learn.
    spec
        Which ratings train.
    callbacks
        Told what is going on, in lines.
    run
        Memory and threads.
    kinds
        What a chain may be that nobody asked for.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        config: TrainConfig,
        spec: SplitSpec,
        callbacks: Sequence[Callback],
        run: RunOptions,
        kinds: Kinds,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._config = config
        self._tell = teller(callbacks)
        self._run = run
        self._spec = _validating_spec(store, spec)
        self._split = ensure_split(store, self._spec)
        is_mirrored = spec.method in MIRRORED
        self._chains = Chains(
            cluster, store, self._split, config, self._run, self._tell, kinds, is_mirrored=is_mirrored
        )
        self._trials: Trials | None = None
        self._tried: list[Point] = []
        self._started = time.perf_counter()
        self._spent = 0.0
        self._compile_seconds = 0.0

    def choose(self) -> Choice:
        """Find the configuration to train."""
        split = self._split
        if split.n_train < FEWEST_RATINGS or not split.n_validation:
            why = f"{split.n_train:,} ratings are too few to learn more from than biases"
            return self._taken(self._point_config("bias", 0.0, USUAL_BIAS_RIDGE), why)
        if split.has_one_rating:
            return self._taken(self._point_config("bias", 0.0, USUAL_BIAS_RIDGE), "all ratings are the same")
        configs = [
            self._point_config(model, 1.0, 1.0)
            for model in dict.fromkeys(("bias", "als", self._config.model))
        ]
        # least squares with features last: other processes may be compiling for them (`fitting.ahead`)
        for config in (configs[0], *self._chains.configs(), configs[-1]):
            problem = Problem(self._cluster, self._store, split, config)
            self._compile_seconds += prepare_workers(problem, self._run.numba_threads, self._tell)
        n_epochs = self._search_seconds / self._chains.epoch_seconds
        self._trials = Trials(self._cluster, self._store, self._spec, split, configs, n_epochs)
        self._search(self._trials)
        point = self._simplest()
        if self._config.effective_rank and all(tried.config.model == "bias" for tried in self._tried):
            why = f"the time budget of {self._config.time_budget:g} s has room for no more"
            return self._taken(self._refit(self._tried_best("bias")), why)
        return self._judge_chain(point, self._trials)

    @property
    def _plain_seconds(self) -> float:
        return PLAIN_EPOCHS * self._chains.epoch_seconds

    @property
    def _budget(self) -> float:
        """Seconds that may be spent beside those of a plain training."""
        return self._config.time_budget

    @property
    def _search_seconds(self) -> float:
        return min(self._budget, SEARCH_SECONDS + self._plain_seconds)

    def _search(self, trials: Trials) -> None:
        config = self._config
        self._walk(trials, BIAS_RIDGES, lambda ridge: self._point_config("bias", 0.0, ridge))
        if trials.has_long_tails:
            self._tell(Notice(trials.told))
        if config.effective_rank == 0 or self._spent > self._budget:
            return
        bias = self._tried_best("bias").config.ridge.bias
        users, items = self._store.n_users, self._store.n_rated_items
        typical = self._split.n_train / math.sqrt(users * max(items, 1))
        for exponent in EXPONENTS:

            def held(ridge: float, exponent: float = exponent) -> TrainConfig:
                scale = typical**-exponent
                return self._point_config("als", scale * ridge, scale * bias, exponent)

            self._walk(trials, FACTOR_RIDGES, held)
        if config.model == "hierarchical":
            ridge = self._tried_best("als").config.ridge
            own = partial(self._point_config, "hierarchical", *ridge)
            self._walk(trials, FEATURE_RIDGES, lambda share: own(eta=share * ridge.factors))

    def _walk(self, trials: Trials, ridges: Sequence[float], make: Callable[[float], TrainConfig]) -> None:
        """Try ridges in turn until one is worse than the one before it, beyond an end where that is best."""
        before = len(self._tried)
        self._descend(trials, [make(ridge) for ridge in _and_beyond(ridges)])
        tried = self._tried[before:]
        if len(tried) > 1 and tried[0].rmse == min(point.rmse for point in tried):
            away = _and_beyond(ridges[::-1])[len(ridges) :]
            self._descend(trials, [make(ridge) for ridge in away], tried[0].rmse)

    def _descend(self, trials: Trials, configs: Sequence[TrainConfig], last: float = math.inf) -> None:
        for config in configs:
            if any(tried.config.model == config.model for tried in self._tried) and self._is_late():
                return
            try:
                found = trials.run(config)
            except (RowError, NumericalError):
                self._tried.append(Point(config, math.inf, 1))
                return
            self._tried.append(found.point)
            self._spent += found.n_epochs * self._chains.epoch_seconds
            if found.point.rmse > last:
                return
            last = found.point.rmse

    def _is_late(self) -> bool:
        return self._spent > self._search_seconds

    def _tried_best(self, model: str) -> Point:
        return min((point for point in self._tried if point.config.model == model), key=lambda p: p.rmse)

    def _simplest(self) -> Point:
        """Return the simplest of the points that are hardly worse than the best."""
        models = [
            model
            for model in ("bias", "als", "hierarchical")
            if any(p.config.model == model for p in self._tried)
        ]
        best = min(point.rmse for point in self._tried)
        return next(
            self._tried_best(model)
            for model in models
            if self._tried_best(model).rmse <= (1.0 + self._chance) * best
        )

    @property
    def _chance(self) -> float:
        """What two validation RMSEs may differ by, as a share, and mean nothing; none by several parts."""
        if self._trials is not None and self._trials.n_draws > 1:
            return 0.0
        return min(MOST_CHANCE, CHANCE / math.sqrt(2 * self._split.n_validation))

    def _judge_chain(self, point: Point, trials: Trials) -> Choice:
        left = self._budget + self._plain_seconds - self._spent
        if self._config.effective_rank == 0:
            return self._taken(self._refit(point), "there is no rank for more than biases")
        if not self._chains.fit(left):
            why = (
                f"a posterior would take some {self._chains.least_seconds:,.0f} s, the time budget leaves "
                f"{max(left, 0):,.0f} s; validation RMSE {point.rmse:.4f}"
            )
            return self._taken(self._refit(point), why)
        try:
            chains = self._chains.judge(left)
        except NumericalError as error:
            return self._taken(self._refit(point), f"a chain failed ({error.found})")
        chain = min((one for one in chains if one.may_be_taken), key=lambda judged: judged.rmse)
        figures = {
            "chains": [judged.as_report() for judged in chains],
            "chain_validation_rmse": chain.rmse,
        }
        compared = f"validation RMSE {chain.rmse:.4f}, {point.config.model} {point.rmse:.4f}"
        if trials.has_long_tails:
            squares = trials.squares(point)
            gain = self._gain(chain.squares, squares, few_decide=True)
            figures["gain_over_point"] = gain._asdict()
            own = math.sqrt(float(np.mean(squares)))
            compared = f"validation RMSE {chain.rmse:.4f}, {point.config.model} {own:.4f} on the same part"
            if not gain.is_sure:
                why = f"few ratings decide, and the posterior is not better by more than chance ({compared})"
                return self._taken(self._refit(point), why, figures)
        elif self._is_worse(chain, point):
            gain = self._gain(trials.squares(point), chain.squares)
            figures["gain_over_chain"] = gain._asdict()
            if gain.is_sure or chain.rmse > (1.0 + MOST_RISK) * point.rmse:
                return self._taken(self._refit(point), f"the posterior is worse ({compared})", figures)
            compared += ", apart by no more than users differ"
        figures["forecast_seconds"] = chain.seconds
        why = f"{chain.told}{compared}; {chain.config.sweeps} sweeps, some {chain.seconds:,.0f} s"
        return self._taken(chain.config, why, figures)

    def _is_worse(self, chain: Chain, point: Point) -> bool:
        """Tell whether a chain is worse, by more than chance, than what would be trained instead."""
        return chain.rmse > (1.0 + self._chance) * point.rmse

    def _gain(self, squares: Float64, before: Float64, *, few_decide: bool = False) -> Gain:
        """Compare squared errors of the validation part with those before, user by user."""
        return gain_of(squares, before, validating_users(self._store, self._split), few_decide=few_decide)

    def _taken(self, config: TrainConfig, why: str, figures: dict[str, Any] | None = None) -> Choice:
        trials = self._trials
        section: dict[str, Any] = {
            "compile_seconds": self._compile_seconds,
            "taken": config.model,
            "why": why,
            "n_validation": self._split.n_validation if trials is None else trials.n_validation,
            "validation_draws": 1 if trials is None else trials.n_draws,
            "trials": [point.as_report() for point in self._tried],
            "seconds": time.perf_counter() - self._started,
            "options": {name: getattr(config, name) for name in CHOSEN},
            **(figures or {}),
        }
        return Choice(config, section)

    def _point_config(
        self, model: str, factors: float, biases: float, exponent: float = 0.0, eta: float | None = None
    ) -> TrainConfig:
        """Return the configuration of a point estimate with these ridges, relative to λ."""
        config = self._config
        features = () if model != "hierarchical" else config.item_features
        of_users = () if model != "hierarchical" else config.user_features
        lambda_ = config.lambda_
        update = {
            "model": model,
            "units": "deviations",
            "tau": lambda_ * factors,
            "gamma": lambda_ * biases,
            "eta": None if eta is None else lambda_ * eta,
            "reg_exponent": exponent,
            "item_features": features,
            "user_features": of_users,
            "epochs": TRIAL_EPOCHS,
            "patience": TRIAL_PATIENCE,
            "monitor_test": False,
        }
        return config.model_copy(update=update)

    def _refit(self, point: Point) -> TrainConfig:
        update = {"epochs": point.epochs, "patience": None, "monitor_test": self._config.monitor_test}
        return point.config.model_copy(update=update)


def _and_beyond(ridges: Sequence[float]) -> list[float]:
    """Return ridges, and more beyond the last in steps like the last one; none beyond a single one."""
    if len(ridges) < 2:
        return list(ridges)
    step = ridges[-1] / ridges[-2]
    return [*ridges, *(ridges[-1] * step**number for number in range(1, MOST_BEYOND + 1))]


def _validating_spec(store: RatingsStore, spec: SplitSpec) -> SplitSpec:
    """Return a split with a validation part, or without where the ratings are too few for one."""
    if spec.validation_fraction:
        return spec
    validating = replace(spec, validation_fraction=VALIDATION_SHARE)
    try:
        ensure_split(store, validating)
    except DataError:
        return spec
    return validating
