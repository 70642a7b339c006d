"""Initial state of a night's training: the champion's rows where it knows, a fold-in for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from daskals.config import TrainConfig
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.toolkit.layout import aligned_empty, empty_rows, row_stride
from daskals.model.fitted import Model
from daskals.model.implicit import ImplicitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, load_block
from daskals.store.timing import Timing, timing_of
from daskals.training.data.plan import plan_blocks
from daskals.training.features import IMPLICIT, FeatureSpec, features_section, load_features, side_features
from daskals.training.state import TrainingState
from daskals.types import SIDES, TRAIN, FactorRows, Float32, Float64, Int64, RatingsBlock, Side


@dataclass(frozen=True)
class StartingRows:
    """A model brought into the rows of a store.

    `rows`: factor rows of both sides; those of whom and what the model does not know are at their prior;
    `known`: bool, by side: which rows are the model's own; `weights`: W of each side that has features, by
    the store's features.
    """

    rows: dict[Side, FactorRows]
    known: dict[Side, np.ndarray[tuple[int], np.dtype[np.bool_]]]
    weights: dict[Side, Float64]


@dataclass(frozen=True)
class Target:
    """The ratings that a model is brought to.

    `store`, `split`: the ratings, and which of them train; `config`: the configuration, resolved.
    """

    store: RatingsStore
    split: Split
    config: TrainConfig

    @property
    def mean(self) -> float:
        """The global mean."""
        return 0.0 if self.config.no_global_mean or self.config.model == "ials" else self.split.mean

    @property
    def implicit(self) -> ImplicitSpec | None:
        """What an observation counts as, of clicks; None of ratings."""
        if self.config.model != "ials":
            return None
        return ImplicitSpec.of(self.config, self.split.standard.centre)

    @property
    def timing(self) -> Timing | None:
        """The third side that is trained; None where there are two."""
        unit = self.config.time_bins
        return None if unit == "none" else timing_of(self.store, self.split, unit).timing

    def blocks(self, side: Side) -> list[tuple[int, int]]:
        """Cut a side into ranges of rows."""
        return [(start, stop) for start, stop in plan_blocks(self.split.train_counts(side), self.config.rank)]

    def load(self, side: Side, start: int, stop: int) -> RatingsBlock:
        """Read the training ratings of rows [start, stop)."""
        return load_block(str(self.store.path), side, start, stop, self.split.key, TRAIN)


def starting_rows(model: Model, target: Target) -> StartingRows:
    """Bring a model into the rows of a store that grew since; rows are found by their original ids."""
    features = side_features(target.store, target.config)
    weights = {side: _weights_by_feature(model, target, spec) for side, spec in features.items()}
    rows, known = {}, {}
    for side in SIDES:
        ids = target.store.user_ids if side == "user" else target.store.item_ids
        own = model.user_rows if side == "user" else model.item_rows
        counts = model.user_counts if side == "user" else model.item_counts
        found = model.rows_of(side, ids)
        known[side] = (found >= 0) & (counts[found] > 0)
        starting = aligned_empty(len(ids), row_stride(model.rank))
        starting[:] = 0.0
        starting[:, model.rank] = 1.0
        if side in features:
            _put_prior(starting, target, features[side], weights[side], ~known[side])
        starting[known[side]] = own[found[known[side]]]
        rows[side] = starting
    return StartingRows(rows, known, weights)


def initial_state(model: Model, target: Target) -> TrainingState:
    """Return the state that training starts from.

    Users that the model does not know are folded in by their training ratings against its items, then items
    it does not know by those of all users; both drawn to the model's own prior. Dates that it does not know
    begin at zero.
    """
    timing = target.timing
    if timing is not None and model.times is not None:
        model = model.dateless
    starting = starting_rows(model, target)
    for side in SIDES:
        fold_in_rows(starting, target, side, ~starting.known[side])
    needs_users = target.config.taken_solver != "joint" or target.config.damping < 1
    rows = {side: starting.rows[side] for side in SIDES if side == "item" or needs_users}
    if timing is not None:
        rows["time"] = _starting_times(model, timing)
    return TrainingState((), rows, starting.weights)


def _starting_times(model: Model, timing: Timing) -> FactorRows:
    """Bring the dates of a model, measured from where none has a say, to those of a store."""
    rank, dates = model.rank, model.times
    rows = empty_rows(len(timing.bins), rank)
    if dates is None or dates.biases is None or dates.timing.unit != timing.unit:
        return rows
    known = dates.rows_at(timing.bins.astype(np.int32))  # −1 is a date without ratings, which adds nothing
    rows[:, :rank] = dates.factors[known]
    rows[:, rank + 1] = dates.biases[known]
    return rows


def fold_in_rows(
    starting: StartingRows, target: Target, side: Side, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    """Solve some rows of one side for the other side's, as a half-step does, in place.

    `wanted`, bool, shape (rows,), tells which.
    """
    features = side_features(target.store, target.config).get(side)
    other: Side = "item" if side == "user" else "user"
    implicit = target.implicit
    for start, stop in target.blocks(side):
        if not wanted[start:stop].any():
            continue
        block = target.load(side, start, stop)
        prior = None
        if features is not None:
            prior = _prior_means(target, features, starting.weights[side], start, stop, block)
        others = starting.rows[other]
        if implicit is None:
            solved = _solved(target, block, others, prior)
        elif prior is None:
            solved, _ = implicit.solve(block, others, side_gram(others, implicit.rank))
        else:
            solved = implicit.solve_towards(block, others, prior)
        starting.rows[side][start:stop][wanted[start:stop]] = solved[wanted[start:stop]]


def _solved(target: Target, block: RatingsBlock, others: FactorRows, prior: Float32 | None) -> FactorRows:
    """Solve rows of ratings."""
    ridge, rank = target.config.ridge_as_rated(target.split.standard.deviation), target.config.effective_rank
    return solve_rows(block, others, rank=rank, mean=target.mean, ridge=ridge, prior=prior)[0]


def _prior_means(
    target: Target, spec: FeatureSpec, weights: Float64, start: int, stop: int, block: RatingsBlock
) -> Float32:
    found = load_features(str(target.store.path), spec, start, stop, block)
    matrix = scipy.sparse.csr_array(
        (found.values, found.indices, found.indptr), shape=(stop - start, spec.n_features)
    )
    return np.asarray(matrix @ weights, dtype=np.float32)


def _put_prior(
    rows: FactorRows,
    target: Target,
    spec: FeatureSpec,
    weights: Float64,
    wanted: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    rank = weights.shape[1] - 1
    for start, stop in target.blocks(spec.side):
        if wanted[start:stop].any():
            block = target.load(spec.side, start, stop)
            means = _prior_means(target, spec, weights, start, stop, block)
            rows[start:stop, :rank] = means[:, :rank]
            rows[start:stop, rank + 1] = means[:, rank]


def _weights_by_feature(model: Model, target: Target, spec: FeatureSpec) -> Float64:
    """Bring W to the store's features: by name, or for `implicit` by the other side's ids."""
    side = spec.side
    weights = np.zeros((spec.n_features, model.rank + 1))
    own = {group.column: group for group in model.feature_groups[side]}
    start = 0
    for entry in features_section(target.store, {side: spec})[side]:
        group, size = own.get(entry["column"]), entry["n_features"]
        if group is not None:
            if entry["column"] == IMPLICIT:
                other: Side = "item" if side == "user" else "user"
                ids = target.store.user_ids if other == "user" else target.store.item_ids
                places: Int64 = model.rows_of(other, ids)
            else:
                numbers = {name: place for place, name in enumerate(group.values or ())}
                places = np.array([numbers.get(name, -1) for name in entry["values"]], np.int64)
            weights[start : start + size][places >= 0] = group.weights[places[places >= 0]]
        start += size
    return weights
