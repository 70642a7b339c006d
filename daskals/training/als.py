"""Alternating least squares as a step: user half-step, item half-step, reductions, a closing half-step."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import NamedTuple, TypeVar

from daskals.cluster.exchange import Factors, Generation, fetch_rows
from daskals.cluster.workers import Task
from daskals.errors import NumericalError, RowError
from daskals.kernels.scoring.score import NO_ERRORS, ErrorSums
from daskals.store.timing import first_day
from daskals.training.data.placed import PlacedRatings, RatingsPlan
from daskals.training.events import EpochFinished
from daskals.training.half_step import HalfStep, SolveSpec, initialise, initialise_times
from daskals.training.hand_over import fetch_weights, hand_out, take_home
from daskals.training.loop import End, Epoch
from daskals.training.other_dates import submit_added
from daskals.training.outcome import TrainedFactors
from daskals.training.prior.half_step import Prior, PriorHalfStep, load_prior
from daskals.training.problem import Problem
from daskals.training.rating_units import factors_as_rated, record_as_rated
from daskals.training.scoring import HeldOut, error_figures, submit_errors
from daskals.training.state import TrainingState
from daskals.training.sums import Sums, submit_sums
from daskals.types import SIDES, Side

STATE_EPOCHS = 10
"""Epochs after which the state is taken home at the latest."""

AlsStateT = TypeVar("AlsStateT", bound=TrainingState)


class AlsPosition(NamedTuple):
    """Factors after an epoch, its sums, and errors on held-out ratings where somebody asks for them."""

    factors: Factors
    sums: Task | None = None
    validation: Task | None = None
    test: Task | None = None


class AlsStep:
    """One configuration, by least squares; a `loop.Step`.

    `ratings_memory` is the bytes each worker may use for ratings, None for half of its machine's memory;
    `plan` how the ratings are cut, where others share them. `ratings` and `priors` are what the next tasks
    read, as `place` left it; `keeps_rows` tells whether the rows of an epoch stay on the cluster as long as
    its position is held. With `as_measured`, rows and W are left to whoever goes on from them as training saw
    ratings: brought to rating units and back, they would differ in their last digits by the unit.
    """

    phase = "train"
    state_every = STATE_EPOCHS
    checkpoint_epochs = 1

    def __init__(
        self,
        problem: Problem,
        spec: SolveSpec,
        ratings_memory: int | None = None,
        plan: RatingsPlan | None = None,
        *,
        as_measured: bool = False,
    ) -> None:
        self._as_measured = as_measured
        self.problem = problem
        self.spec = spec
        self.epochs = problem.config.epochs
        self.is_small = problem.is_small
        self.tol, self.patience = problem.config.tol, problem.config.patience
        self.plan = plan or RatingsPlan(
            problem.store,
            problem.split,
            spec.rank,
            problem.standard,
            problem.weighing,
            problem.timing,
            improved=spec.solver == "gradients",
        )
        self.ratings: PlacedRatings
        self.priors: dict[Side, Prior] = {}
        self.keeps_rows = spec.needs_current
        self._ratings_memory = ratings_memory

    def place(self, key: str, *, again: bool) -> None:
        """Load the ratings and features."""
        problem, cluster = self.problem, self.problem.cluster
        before = self.ratings if again else None
        self.ratings = self.plan.place(cluster, self._ratings_memory, key, before)
        for side, spec in problem.features.items():
            data = self.ratings.sides[side]
            self.priors[side] = load_prior(cluster, problem.store.path, data, spec, self.eta_of(side), key)
        if not again:
            self.ratings.wait(cluster)

    def eta_of(self, _side: Side) -> float:
        """Return the regularisation of a side's W as the rows' penalties are relative to."""
        return self.problem.config.relative_eta

    def init(self, key: str) -> tuple[AlsPosition, TrainingState]:
        """Start with random factors, of times with zeros."""
        cluster, config, rank = self.problem.cluster, self.problem.config, self.spec.rank
        sides, deviation = self.ratings.sides, config.initial_deviation
        users, items = (initialise(cluster, sides[side], rank, config.seed, deviation, key) for side in SIDES)
        times = initialise_times(cluster, sides["time"], rank, key) if "time" in sides else None
        return AlsPosition(Factors(users, items, times)), TrainingState((), {})

    def hand_out(self, state: TrainingState, key: str) -> AlsPosition:
        """Put a state on the cluster."""
        return AlsPosition(hand_out(self.problem.cluster, state, self.plan.starts, key))

    def submit(self, position: AlsPosition, epoch: Epoch) -> AlsPosition:
        """Start the half-steps of all sides, and the errors that are watched."""
        key, factors = epoch.key, position.factors
        for generation in factors.generations:
            factors = factors.put(self._submit_half_step(generation.side, factors, key))
        validation = self.ratings.validation
        monitored = self.ratings.test if self.problem.config.monitor_test else None
        added = None if validation is None and monitored is None else self._submit_added(factors, key)
        scoring = self.problem.scoring()

        def submit_part(part: HeldOut | None) -> Task | None:
            if part is None:
                return None
            return submit_errors(self.problem.cluster, part, factors, scoring, key, added=added)

        errors = submit_part(validation), submit_part(monitored)
        sums = submit_sums(self.problem.cluster, factors, key)
        return AlsPosition(self._held(factors), sums, *errors)

    def _held(self, factors: Factors) -> Factors:
        """Return the factors without what nobody needs once this epoch's tasks are on their way."""
        if self.keeps_rows:
            return factors
        # no solve starts from the rows as they are
        return factors.put(replace(factors.users, replicas={}))

    def finish(self, position: AlsPosition, state: AlsStateT, epoch: Epoch, started: float) -> AlsStateT:
        """Await an epoch and add its record."""
        sums = self._wait(position.sums)
        seconds = time.perf_counter() - started
        config, n_train = self.problem.config, self.problem.split.n_train
        sigma = self.problem.standard.deviation
        record = EpochFinished(
            epoch=epoch.number,
            epochs=self.epochs,
            objective=config.lambda_ / 2 * sigma**2 * sums.objective(),
            train_rmse=math.sqrt(max(sums.last.sse, 0.0) / self.problem.total_weight),
            validation_rmse=self._rmse(position.validation),
            test_rmse=self._rmse(position.test),
            seconds=seconds,
            ratings_per_second=n_train / seconds,
        )
        record = record_as_rated(record, self.problem.standard)
        return replace(state, history=(*state.history, record))

    def take_home(self, position: AlsPosition, state: AlsStateT, key: str) -> AlsStateT:
        """Fetch what the next epoch depends on."""
        rows, weights = take_home(self.problem.cluster, position.factors, self.spec, key)
        return replace(state, rows=rows, weights=weights)

    def conclude(self, end: End[AlsPosition, TrainingState]) -> TrainedFactors:
        """Solve the users for the final items, bring the factors home, and sum their errors."""
        cluster, key = self.problem.cluster, end.key
        factors = end.position.factors
        factors = factors.put(self._submit_half_step("user", factors, key, self.spec.closing))
        self._wait(submit_sums(cluster, factors, key))
        rows = {one.side: fetch_rows(cluster, one, key) for one in factors.generations}
        train = HeldOut("train", self.ratings.sides["user"].blocks)
        added = self._submit_added(factors, key)
        trained = TrainedFactors(
            user_rows=rows["user"],
            item_rows=rows["item"],
            time_rows=rows.get("time"),
            spec=self.spec,
            history=end.state.history,
            train=self._errors(train, factors, key, added),
            validation=self._errors(self.ratings.validation, factors, key, added),
            test=self._errors(self.ratings.test, factors, key, added),
            weights=fetch_weights(cluster, factors),
        )
        return trained if self._as_measured else factors_as_rated(trained, self.problem.standard)

    def _submit_half_step(
        self, side: Side, factors: Factors, key: str, spec: SolveSpec | None = None
    ) -> Generation:
        spec = self.problem.solve_spec_of_times() if side == "time" else spec or self.spec
        data, prior = self.ratings.sides[side], self.priors.get(side)
        half = HalfStep(data, spec) if prior is None else PriorHalfStep(data, spec, prior)
        return half.submit(self.problem.cluster, factors.around(side), factors.of(side), key)

    def _submit_added(self, factors: Factors, key: str) -> Task | None:
        """Start finding what any date adds to a rating; None where there are two sides."""
        dates = self.ratings.sides.get("time")
        if dates is None:
            return None
        return submit_added(self.problem.cluster, dates, factors, self.spec.rank, key)

    def _errors(self, held_out: HeldOut | None, factors: Factors, key: str, added: Task | None) -> ErrorSums:
        if held_out is None:
            return NO_ERRORS
        problem = self.problem
        scoring, target = problem.final_scoring(), problem.as_rated
        task = submit_errors(problem.cluster, held_out, factors, scoring, key, target, added)
        sums: ErrorSums = problem.cluster.result(task)
        return sums

    def _rmse(self, task: Task | None) -> float | None:
        figures = None if task is None else error_figures(self.problem.cluster.result(task))
        return None if figures is None else figures.rmse

    def _wait(self, task: Task | None) -> Sums:
        assert task is not None, "an epoch that was submitted has sums"
        try:
            sums: Sums = self.problem.cluster.result(task)
        except RowError as error:
            raise self._named(error) from None
        for side, stats in sums.by_side.items():
            if not math.isfinite(stats.sse + stats.penalty):
                raise NumericalError(f"the {side} half-step's objective is not finite", where="training")
        return sums

    def _named(self, error: RowError) -> NumericalError:
        store, side, timing = self.problem.store, error.side, self.problem.timing
        if side == "time" and timing is not None:
            name = f"the {timing.unit} of {first_day(int(timing.bins[error.row]), timing.unit)}"
        else:
            ids = store.user_ids if side == "user" else store.item_ids
            name = f"{side} {ids[error.row].as_py()!r}"
        return NumericalError(
            error.found,
            where=f"{name} (row {error.row})",
            remedy="Raise --tau and --gamma, or look at this row's ratings",
        )
