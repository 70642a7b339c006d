"""Implicit feedback as a step: half-steps whose rows share a matrix; see `daskals.model.implicit`.

Where least squares for ratings sums over what was rated, a row here also answers for all pairs nobody
observed: α₀QᵀQ, the same for all rows of a half-step and summed once. Rows of a side with features are
eliminated from W's equations and filled in, as those of ratings are (`training.prior`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from daskals.cluster.exchange import Factors, Gathered, Generation, Slab, fetch_rows, submit_slabs
from daskals.cluster.parts import BlockCall
from daskals.cluster.workers import Share, Task
from daskals.kernels.half_step.curvature import Curvature, side_curvature
from daskals.kernels.half_step.gradients import STEPS, Course
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.prior.features import FeatureRows, times
from daskals.kernels.scoring.score import NO_ERRORS
from daskals.model.implicit import EPOCH, ImplicitSpec
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.als import AlsPosition, AlsStateT, AlsStep
from daskals.training.data.placed import RatingsPlan
from daskals.training.events import EpochFinished
from daskals.training.half_step import SolveSpec
from daskals.training.hand_over import fetch_weights
from daskals.training.loop import End, Epoch
from daskals.training.outcome import TrainedFactors
from daskals.training.prior.gradients import Weights
from daskals.training.prior.half_step import PriorHalfStep
from daskals.training.problem import Problem
from daskals.training.state import TrainingState
from daskals.training.sums import submit_sums
from daskals.types import SIDES, FactorRows, Float64, Side


class IalsStep(AlsStep):
    """Implicit feedback by least squares; a `loop.Step`. It has no predicted rating, so no error is summed.

    Parameters
    ----------
    problem, spec, ratings_memory, plan
        As `AlsStep` takes them.
    """

    def __init__(
        self,
        problem: Problem,
        spec: SolveSpec,
        ratings_memory: int | None = None,
        plan: RatingsPlan | None = None,
    ) -> None:
        super().__init__(problem, spec, ratings_memory, plan)
        self._implicit = ImplicitSpec.of(problem.config, problem.rated.centre)
        self._implicit.check(problem.limits[0])

    def submit(self, position: AlsPosition, epoch: Epoch) -> AlsPosition:
        """Start both half-steps."""
        factors = position.factors
        for side in SIDES:
            factors = factors.put(self._submit_half_step(side, factors, epoch.key))
        return AlsPosition(self._held(factors), submit_sums(self.problem.cluster, factors, epoch.key))

    def finish(self, position: AlsPosition, state: AlsStateT, epoch: Epoch, started: float) -> AlsStateT:
        """Await an epoch and add its record: the objective, with the sum over all pairs."""
        sums = self._wait(position.sums)
        seconds = time.perf_counter() - started
        record = EpochFinished(
            epoch=epoch.number,
            epochs=self.epochs,
            objective=sums.objective(),
            train_rmse=None,
            validation_rmse=None,
            test_rmse=None,
            seconds=seconds,
            ratings_per_second=self.problem.split.n_train / seconds,
        )
        return replace(state, history=(*state.history, record))

    def conclude(self, end: End[AlsPosition, TrainingState]) -> TrainedFactors:
        """Solve the users for the final items, and bring both home."""
        cluster, key = self.problem.cluster, end.key
        factors = end.position.factors
        factors = factors.put(self._submit_half_step("user", factors, key, self.spec.closing))
        stats = self._wait(submit_sums(cluster, factors, key)).users
        weights = fetch_weights(cluster, factors)
        user_rows, item_rows = (fetch_rows(cluster, generation, key) for generation in factors.generations)
        penalty = self._item_penalty(item_rows, factors.items.prior, key)
        return TrainedFactors(
            user_rows=user_rows,
            item_rows=item_rows,
            spec=self.spec,
            history=end.state.history,
            train=NO_ERRORS,
            validation=NO_ERRORS,
            test=NO_ERRORS,
            weights=weights,
            objective=stats.sse + stats.penalty + penalty,
        )

    def _item_penalty(self, rows: FactorRows, prior: Task | None, key: str) -> float:
        """Return the ridge of all items, and of the W they are drawn to; without features to 0."""
        spec = self._implicit
        counts = self.problem.row_weights("item") + spec.unobserved * self.problem.store.n_users
        steps = rows[:, : spec.rank].astype(np.float64)
        of_weights = 0.0
        if prior is not None:
            steps -= self._item_means(prior, key)
            weights: Weights = self.problem.cluster.result(prior)
            of_weights = self.eta_of("item") * float(np.sum(np.square(weights.values)))
        squares = np.sum(np.square(steps), axis=1)
        return float(spec.ridge.factors * np.sum(counts**spec.ridge.exponent * squares)) + of_weights

    def _item_means(self, prior: Task, key: str) -> Float64:
        """Return F·W of all items without the bias."""
        cluster, blocks = self.problem.cluster, self.priors["item"].blocks
        tasks = [
            cluster.submit(prior_means, features, prior, key=f"item-means-{key}-{n}", block=n)
            for n, features in enumerate(blocks)
        ]
        return np.concatenate([cluster.result(task) for task in tasks])[:, :-1]

    def eta_of(self, side: Side) -> float:
        """Return the regularisation of a side's W; see `ImplicitSpec.ridge_of_weights`."""
        store = self.problem.store
        n_other = store.n_items if side == "user" else store.n_users
        return self._implicit.ridge_of_weights(self.problem.config.eta, n_other)

    def _submit_half_step(
        self, side: Side, factors: Factors, key: str, spec: SolveSpec | None = None
    ) -> Generation:
        cluster, spec = self.problem.cluster, spec or self.spec
        around, current = factors.around(side), factors.of(side)
        other, improves = around.other, spec.solver == "gradients"
        pooled = cluster.submit(
            curvature_of if improves else side_gram_of,
            other.gathered,
            self._implicit,
            key=f"gram-{other.side}s-{key}",
        )
        prior = self.priors.get(side)
        if prior is not None:
            half = PriorHalfStep(self.ratings.sides[side], self._implicit, prior, pooled)
            return half.submit(cluster, around, current, key)

        # what closes the training is followed by nothing that it could anticipate
        course = EPOCH if spec.sweeps == 1 else Course(STEPS * spec.sweeps)

        def shared(share: Share) -> tuple[Any, ...]:
            near = current.near(share.worker) if spec.needs_current else None
            far = course if improves else spec.sweeps
            return other.near(share.worker), pooled, self._implicit, near, far

        data = self.ratings.sides[side]
        solve = improved_slab if improves else implicit_slab
        call = BlockCall(solve, [(block,) for block in data.blocks], shared, data.order)
        return submit_slabs(cluster, data.whole(self.spec.rank), call, key=key, name=f"{side}-half-step")


def prior_means(features: FeatureRows, weights: Weights) -> Float64:
    """Return F·W of a block's rows, float64, shape (rows, rank + 1)."""
    return times(features, weights.values)


def side_gram_of(gathered: Gathered, spec: ImplicitSpec) -> Float64:
    """Return Σ qqᵀ over all rows of a side, float64, shape (rank, rank)."""
    return side_gram(gathered.rows, spec.rank)


def curvature_of(gathered: Gathered, spec: ImplicitSpec) -> Curvature:
    """Return the pooled curvature of a side, for rows without a bias."""
    return side_curvature(gathered.rows, spec.rank, spec.ridge, biased=False)


def improved_slab(
    block: AnyBlock,
    other: Gathered,
    curvature: Curvature,
    spec: ImplicitSpec,
    current: Gathered,
    course: Course,
) -> Slab:
    """Improve the rows of one block by conjugate gradients; rows that observed nothing are 0.

    Parameters
    ----------
    block, other
        The observations; the other side.
    curvature, spec
        Of the other side; what shapes the solve.
    current, course
        The side's rows as they are, and how far each goes from there.
    """
    ratings = block_of(block)
    rows, stats = spec.improve(ratings, other.rows, curvature, current.of(ratings), course)
    return Slab(ratings.start, rows, stats)


def implicit_slab(
    block: AnyBlock,
    other: Gathered,
    gram: Float64,
    spec: ImplicitSpec,
    current: Gathered | None = None,
    sweeps: int = 1,
) -> Slab:
    """Solve the rows of one block; rows that observed nothing are 0.

    Parameters
    ----------
    block, other
        The observations; the other side.
    gram
        `side_gram` of it, float64, shape (rank, rank).
    spec
        What shapes the solve.
    current, sweeps
        The side's rows as they are, where they are improved by slices, and how often.
    """
    ratings = block_of(block)
    present = None if current is None else current.of(ratings)
    rows, stats = spec.solve(ratings, other.rows, gram, current=present, sweeps=sweeps)
    return Slab(ratings.start, rows, stats)
