"""What is trained, on which ratings, where: the same for least squares, the chain and a search's trial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.features import FeatureSpec, side_features
from daskals.training.half_step import SolveSpec
from daskals.training.scoring import Scoring
from daskals.types import Side


@dataclass(frozen=True)
class Problem:
    """One configuration on one split of one store.

    Attributes
    ----------
    cluster
        Where the tasks run.
    store, split
        The ratings, and which of them train.
    config
        The model's configuration, resolved.
    """

    cluster: Cluster
    store: RatingsStore
    split: Split
    config: TrainConfig

    @property
    def mean(self) -> float:
        """The global mean that ratings are centred on."""
        return 0.0 if self.config.no_global_mean or self.config.model == "ials" else self.split.mean

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest rating."""
        return rating_limits(self.store)

    @cached_property
    def features(self) -> dict[Side, FeatureSpec]:
        """What is known of the rows of each side that has features."""
        return side_features(self.store, self.config)

    def solve_spec(self, threads: int = 1) -> SolveSpec:
        """Return what shapes a solve, `threads` Numba threads inside a block."""
        config = self.config
        return SolveSpec(
            config.effective_rank, self.mean, config.ridge, config.solver, config.damping, threads
        )

    def scoring(self) -> Scoring:
        """Return what shapes a prediction."""
        return Scoring(self.config.effective_rank, self.mean, self.limits)


def rating_limits(store: RatingsStore) -> tuple[float, float]:
    """Return the lowest and the highest rating of a store."""
    values = store.scale if len(store.scale) else store.read_column("user", "values", 0, store.n_ratings)
    return float(np.min(values)), float(np.max(values))
