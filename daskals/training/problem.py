"""What is trained, on which ratings, where: the same for least squares, the chain and a search's trial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from daskals.cluster.bundles import is_small
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.config.dates import DATED
from daskals.errors import ConfigError
from daskals.store.curves import curve_of, curved_standard
from daskals.store.limits import rating_limits
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.standard import standardised_ratings, standardised_scale
from daskals.store.timing import FoundTiming, Timing, ratings_a_visit, timing_of
from daskals.store.weighing import WeighedRatings, Weighing, weigh_rows, weighed_ratings, weighing_of
from daskals.training.features import FeatureSpec, date_features, side_features
from daskals.training.half_step import SolveSpec
from daskals.training.rating_units import AsRated
from daskals.training.scoring import Scoring
from daskals.types import AS_RATED, Curve, Float32, Float64, Ridge, Side, Standard


@dataclass(frozen=True)
class Problem:
    """One configuration, resolved, on one split of one store, and the cluster that runs it."""

    cluster: Cluster
    store: RatingsStore
    split: Split
    config: TrainConfig

    @cached_property
    def weighing(self) -> Weighing | None:
        """What training ratings count; None where each counts once.

        Raises ConfigError where the configuration takes none that weigh.
        """
        found = weighing_of(self.store, self.split, self.config.half_life)
        try:
            self.config.check_weighable(weighed=found is not None)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return found

    @cached_property
    def _weighed(self) -> WeighedRatings | None:
        if self.weighing is None:
            return None
        return weighed_ratings(self.store, self.split, self.weighing, self.curve)

    @cached_property
    def found_timing(self) -> FoundTiming:
        """The third side of a training that is asked for one, and what is to be told of it.

        Raises DataError where the ratings have no timestamps.
        """
        unit = self.config.time_bins
        if unit == "none" or self.config.model not in DATED:
            return FoundTiming(None, None)
        return timing_of(self.store, self.split, unit, self.config.time_features or ())

    @property
    def timing(self) -> Timing | None:
        """The third side; None where there are two."""
        return self.found_timing.timing

    @cached_property
    def curve(self) -> Curve | None:
        """What training sees ratings through; None for as they are.

        Raises DataError where there are ratings that `config.transform` cannot take.
        """
        transform = self.config.transform
        return None if transform == "none" else curve_of(self.store, self.split, transform)

    @property
    def is_small(self) -> bool:
        """Whether an epoch takes less than its tasks' way through a scheduler."""
        rows = self.store.n_users + self.store.n_rated_items
        return is_small(self.split.n_train, rows, self.config.effective_rank)

    @property
    def total_weight(self) -> float:
        """What the training ratings count together: how many they are, where each counts once."""
        return self.split.n_train if self._weighed is None else self._weighed.total

    def row_weights(self, side: Side) -> Float64:
        """Return what each row's training ratings count together, float64, shape (rows of the side,)."""
        if self.weighing is None:
            return self.split.train_counts(side).astype(np.float64)
        return weigh_rows(self.store, self.split, self.weighing, side)

    @cached_property
    def rated(self) -> Standard:
        """Mean and standard deviation of the training ratings, as they are seen and weigh."""
        if self._weighed is not None:
            return self._weighed.standard
        if self.curve is not None:
            return curved_standard(self.store, self.split, self.curve)
        return self.split.standard

    @cached_property
    def standard(self) -> Standard:
        """What blocks of ratings are measured from and in."""
        if self.config.taken_units == "ratings":
            return AS_RATED._replace(curve=self.curve)
        found = self.rated
        return found._replace(centre=0.0) if self.config.no_global_mean else found

    @property
    def mean(self) -> float:
        """The global mean that ratings are centred on as they come, already measured by `standard`."""
        centred = self.config.no_global_mean or self.config.taken_units == "deviations"
        if centred or self.config.model == "ials":
            return 0.0
        if self.curve is not None:
            return self.rated.centre
        return self.split.mean if self._weighed is None else self._weighed.mean

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest rating, measured by `standard`."""
        # as blocks hold them, to the bit: what is cut off at an end is found by comparing with it
        ends = np.array(rating_limits(self.store), np.float32)
        low, high = standardised_ratings(ends, self.standard, has_scale=len(self.store.scale) > 0)
        return float(low), float(high)

    @property
    def scale(self) -> Float32:
        """The distinct ratings, measured by `standard`, float32, shape (ratings,); empty without a scale."""
        return standardised_scale(self.store.scale, self.standard)

    @cached_property
    def features(self) -> dict[Side, FeatureSpec]:
        """What is known of the rows of each side that has features."""
        found = side_features(self.store, self.config)
        of_dates = None if self.timing is None else date_features(self.timing)
        return found if of_dates is None else {**found, "time": of_dates}

    def solve_spec(self, threads: int = 1) -> SolveSpec:
        """Return what shapes a solve, `threads` Numba threads inside a block."""
        config = self.config
        return SolveSpec(
            config.effective_rank, self.mean, config.ridge, config.taken_solver, config.damping, threads
        )

    @cached_property
    def time_ridge(self) -> Ridge:
        """Regularisation of the rows of a third side, as the kernels take it."""
        if self.timing is None or self.config.time_tau is not None:
            return self.config.time_ridge(1.0)
        return self.config.time_ridge(ratings_a_visit(self.split, self.timing))

    def solve_spec_of_times(self) -> SolveSpec:
        """Return what shapes the solve of a third side."""
        return replace(self.solve_spec(), ridge=self.time_ridge)

    def scoring(self) -> Scoring:
        """Return what shapes a prediction of ratings as they are measured."""
        return Scoring(self.config.effective_rank, self.mean, self.limits)

    def final_scoring(self) -> Scoring:
        """Return what shapes a prediction of ratings as they are."""
        centre, sigma = self.standard.centre, self.standard.deviation
        mean = self.mean if self.standard == AS_RATED else centre + sigma * self.mean
        return Scoring(self.config.effective_rank, mean, rating_limits(self.store))

    @property
    def as_rated(self) -> AsRated | None:
        """How final figures come back to rating units; None where they are in them."""
        return None if self.standard == AS_RATED else AsRated(self.standard, self.store.scale)
