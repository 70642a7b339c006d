"""The project's own models on one set of ratings, each tuned on a validation tenth of train.

The grids are wider than those that `auto` walks, and walked whole: what the defaults are held against.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import NumericalError, RowError
from daskals.fitting.fit import fit, split_spec
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.features import resolve_model
from daskals.training.trial import SharedData, run_trial

BIAS_RIDGES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
FACTOR_RIDGES = (50.0, 25.0, 14.0, 8.0, 5.0, 3.0)
EXPONENTS = (0.0, 0.5, 1.0)
FEATURE_RIDGES = (40.0, 10.0, 2.5, 0.6, 0.2)
"""Relative to λ, in deviations of the ratings; the features' relative to the factors' own."""

EPOCHS, PATIENCE = 60, 3
SWEEPS = 240


class TunedModels:
    """The best configuration of every model on a set.

    Parameters
    ----------
    cluster, store
        Where, and on what.
    config
        Split, seed and rank of all of them; its validation part is the trials'.
    """

    def __init__(self, cluster: Cluster, store: RatingsStore, config: TrainConfig) -> None:
        self._cluster = cluster
        self._store = store
        self._config = config
        self._validating = config.model_copy(update={"validation_fraction": 0.1})
        self._resolved = resolve_model(store, config)
        split = ensure_split(store, split_spec(self._validating, store))
        self._typical = split.n_train / math.sqrt(store.n_users * store.n_rated_items)
        models = ("bias", "als", self._resolved.model)
        self._data = SharedData(cluster, store, split, [self._point(model, 1.0, 1.0) for model in models])

    def configs(self) -> Iterator[TrainConfig]:
        """Yield them, as they are to be trained on all of train."""
        bias = self._best([self._point("bias", 0.0, ridge) for ridge in BIAS_RIDGES])
        yield bias
        biases = bias.ridge.bias
        als = self._best(
            [
                self._point("als", factors, biases, exponent)
                for exponent in EXPONENTS
                for factors in FACTOR_RIDGES
            ]
        )
        yield als
        chains: list[Sequence[str]] = [()]
        if self._resolved.model == "hierarchical":
            yield self._best(
                [
                    als.model_copy(
                        update={
                            "model": "hierarchical",
                            "item_features": self._resolved.item_features,
                            "eta": share * als.tau,
                        }
                    )
                    for share in FEATURE_RIDGES
                ]
            )
            chains.append(self._resolved.item_features or ())
        yield self._best_chain([self._chain(features) for features in chains])

    def _point(self, model: str, factors: float, biases: float, exponent: float = 0.0) -> TrainConfig:
        scale = self._typical**-exponent if exponent else 1.0
        update = {
            "model": model,
            "units": "deviations",
            "tau": self._config.lambda_ * factors * scale,
            "gamma": self._config.lambda_ * biases * scale,
            "reg_exponent": exponent,
            "item_features": self._resolved.item_features if model == "hierarchical" else (),
            "user_features": (),
            "epochs": EPOCHS,
            "patience": PATIENCE,
        }
        return self._config.model_copy(update=update)

    def _chain(self, features: Sequence[str]) -> TrainConfig:
        update = {"model": "bayes", "units": "deviations", "sweeps": SWEEPS, "item_features": tuple(features)}
        return self._config.model_copy(update={**update, "burn_in": SWEEPS // 4, "user_features": ()})

    def _best(self, points: Sequence[TrainConfig]) -> TrainConfig:
        found = []
        for point in points:
            try:
                trial = run_trial(self._cluster, self._data, point)
            except (NumericalError, RowError):
                continue
            found.append((trial.validation_rmse, trial.epoch, point))
        _, epoch, point = min(found, key=lambda one: one[0])
        return point.model_copy(update={"epochs": epoch, "patience": None})

    def _best_chain(self, chains: Sequence[TrainConfig]) -> TrainConfig:
        if len(chains) == 1:
            return chains[0]

        def validation_rmse(chain: TrainConfig) -> float:
            judged = chain.model_copy(update={"validation_fraction": 0.1})
            return float(fit(self._store, judged, self._cluster.client).report["validation_rmse"])

        return min(chains, key=validation_rmse)
