"""Implicit feedback as a step: half-steps whose rows share a matrix; see `daskals.model.implicit`.

Where least squares for ratings sums over what was rated, a row here also answers for all pairs nobody
observed: α₀QᵀQ, the same for all rows of a half-step and summed once.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from daskals.cluster.exchange import Factors, Gathered, Generation, Slab, fetch_rows, submit_slabs
from daskals.cluster.parts import BlockCall
from daskals.cluster.workers import Share
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.scoring.score import NO_ERRORS
from daskals.model.implicit import ImplicitSpec
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.als import AlsPosition, AlsStateT, AlsStep
from daskals.training.events import EpochFinished
from daskals.training.half_step import SolveSpec
from daskals.training.loop import End, Epoch
from daskals.training.outcome import TrainedFactors
from daskals.training.problem import Problem
from daskals.training.state import TrainingState
from daskals.training.sums import submit_sums
from daskals.types import FactorRows, Float64


class IalsStep(AlsStep):
    """Implicit feedback by least squares; a `loop.Step`. It has no predicted rating, so no error is summed.

    Parameters
    ----------
    problem, spec, ratings_memory
        As `AlsStep` takes them.
    """

    def __init__(self, problem: Problem, spec: SolveSpec, ratings_memory: int | None = None) -> None:
        super().__init__(problem, spec, ratings_memory)
        self._implicit = ImplicitSpec.of(problem.config)
        self._implicit.check(problem.limits[0])

    def submit(self, position: AlsPosition, epoch: Epoch) -> AlsPosition:
        """Start both half-steps."""
        users, items = position.factors
        users = self._submit_half_step(items, users, epoch.key)
        factors = Factors(users, self._submit_half_step(users, items, epoch.key))
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
        users, items = end.position.factors
        factors = Factors(self._submit_half_step(items, users, key, self.spec.closing), items)
        stats = self._wait(submit_sums(cluster, factors, key)).users
        user_rows, item_rows = (fetch_rows(cluster, generation, key) for generation in factors)
        return TrainedFactors(
            user_rows=user_rows,
            item_rows=item_rows,
            spec=self.spec,
            history=end.state.history,
            train=NO_ERRORS,
            validation=NO_ERRORS,
            test=NO_ERRORS,
            objective=stats.sse + stats.penalty + self._item_penalty(item_rows),
        )

    def _item_penalty(self, rows: FactorRows) -> float:
        """Return the ridge of all items; those nobody observed are 0."""
        spec = self._implicit
        counts = self.problem.row_weights("item") + spec.unobserved * self.problem.store.n_users
        squares = np.sum(np.square(rows[:, : spec.rank], dtype=np.float64), axis=1)
        return float(spec.ridge.factors * np.sum(counts**spec.ridge.exponent * squares))

    def _submit_half_step(
        self, other: Generation, current: Generation, key: str, spec: SolveSpec | None = None
    ) -> Generation:
        cluster, side, spec = self.problem.cluster, current.side, spec or self.spec
        gram = cluster.submit(side_gram_of, other.gathered, self.spec.rank, key=f"gram-{other.side}s-{key}")

        def shared(share: Share) -> tuple[Any, ...]:
            near = current.near(share.worker) if spec.needs_current else None
            return other.near(share.worker), gram, self._implicit, near, spec.sweeps

        data = self.ratings.sides[side]
        call = BlockCall(implicit_slab, [(block,) for block in data.blocks], shared, data.order)
        return submit_slabs(cluster, data.whole(self.spec.rank), call, key=key, name=f"{side}-half-step")


def side_gram_of(gathered: Gathered, rank: int) -> Float64:
    """Return Σ qqᵀ over all rows of a side, float64, shape (rank, rank)."""
    return side_gram(gathered.rows, rank)


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
