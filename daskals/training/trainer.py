"""The epoch loop: user half-step, item half-step, reductions, stop rule, and going back when workers die."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from daskals.cluster.exchange import Generation, fetch_rows
from daskals.cluster.failures import LostTasksError
from daskals.cluster.workers import Cluster, Task
from daskals.config import TrainConfig
from daskals.errors import NumericalError, RowError
from daskals.kernels.scoring.score import NO_ERRORS, ErrorSums
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.compiling import compile_kernels
from daskals.training.departures import note_workers
from daskals.training.events import Callback, EpochFinished, Event, Notice, PhaseStarted
from daskals.training.features import side_features
from daskals.training.half_step import HalfStep, SideData, SolveSpec, initialise
from daskals.training.hand_over import fetch_weights, hand_out, take_home
from daskals.training.outcome import TrainedFactors, WorkerLoss
from daskals.training.placed import PlacedRatings, RatingsPlan
from daskals.training.prior import Prior, PriorHalfStep, load_prior
from daskals.training.run import NO_OPTIONS, RunOptions
from daskals.training.scoring import HeldOut, error_figures, submit_errors
from daskals.training.state import TrainingState
from daskals.training.stopping import is_settled
from daskals.types import SIDES, BlockStats, Side

MOST_RETURNS = 10
"""How often a run goes back to the same state before it gives up."""

STATE_EPOCHS = 10
"""Epochs after which this process takes the state home at the latest: Dask keeps the lineage since then."""


@dataclass(frozen=True)
class _Epoch:
    """The tasks of one epoch, all on their way."""

    number: int
    users: Generation
    items: Generation
    validation: Task | None
    test: Task | None


class Trainer:
    """Trains one configuration on one split of one store.

    Parameters
    ----------
    cluster
        Where the tasks run.
    store, split
        The ratings, and which of them train.
    config
        The model's configuration.
    callbacks
        Called with every event, in this process.
    run
        How it is carried out. Without checkpoints, states are kept in this process only.
    start
        State to start from, without history; random factors if None. A checkpoint goes before it.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        split: Split,
        config: TrainConfig,
        callbacks: Sequence[Callback] = (),
        run: RunOptions = NO_OPTIONS,
        *,
        start: TrainingState | None = None,
    ) -> None:
        self.cluster = cluster
        self.store = store
        self.split = split
        self.config = config
        self.callbacks = tuple(callbacks)
        self.checkpoints = run.checkpoints
        self.ratings_memory = run.ratings_memory
        self.spec = SolveSpec(
            rank=config.effective_rank,
            mean=0.0 if config.no_global_mean else split.mean,
            ridge=config.ridge,
            solver=config.solver,
            damping=config.damping,
            threads=run.numba_threads,
        )
        self.features = side_features(store, config)
        self._priors: dict[Side, Prior] = {}
        self._limits = rating_limits(store)
        self._plan = RatingsPlan(store, split, self.spec.rank)
        self._ratings: PlacedRatings
        self._state: TrainingState | None = None
        self._warm_start = start
        self._losses: list[WorkerLoss] = []
        self._fetched_bytes = 0
        self._run = ""
        self._epoch = 0

    def train(self) -> TrainedFactors:
        """Run all phases and bring the factors home.

        Raises
        ------
        ClusterError
            If a worker does not fit, the scheduler goes away, or workers keep dying.
        ConfigError
            If the checkpoint to continue from belongs to another configuration or other data.
        NumericalError
            If a row cannot be solved.
        """
        with self.cluster.watched():
            return self._train()

    def _train(self) -> TrainedFactors:
        if self.checkpoints is not None:
            self._state = self.checkpoints.begin(self.config, self.store, self.split)
        self._tell(PhaseStarted("compile"))
        self.cluster.preflight(self.store.path)
        if self.spec.threads > 1:
            self.cluster.require_one_thread()
        compile_seconds = compile_kernels(
            self.cluster, self.spec.rank, len(self.store.scale), features=bool(self.features)
        )
        sent = self.cluster.bytes_sent()
        resumed_from = None if self._state is None else self._state.epoch
        self._state = self._state or self._warm_start
        returns, reached = 0, resumed_from
        while True:
            try:
                trained = self._attempt(compile_seconds)
                break
            except LostTasksError:
                epoch = 0 if self._state is None else self._state.epoch
                returns, reached = (returns + 1 if reached == epoch else 1), epoch
                if returns > MOST_RETURNS:
                    raise
                self._tell(Notice(f"results died with their workers: back to the end of epoch {epoch}"))
                self._note_workers(self._epoch)
        after = self.cluster.bytes_sent()
        moved = sum(total - sent.get(worker, 0) for worker, total in after.items()) - self._fetched_bytes
        return replace(trained, resumed_from=resumed_from, bytes_moved=max(0, moved))

    def _attempt(self, compile_seconds: float) -> TrainedFactors:
        """Run from the last state to the end."""
        self._run = uuid.uuid4().hex[:6] + "x"
        self._tell(PhaseStarted("load"))
        self._place(None)
        self._ratings.wait(self.cluster)
        self._tell(PhaseStarted("train"))
        users, items, history = self._run_epochs()
        self._tell(PhaseStarted("evaluate"))
        closing = self._half_step("user").submit(self.cluster, items, users, f"{self._run}-closing")
        self._wait(closing)
        del users  # the memory of the rows before
        factors = (closing, items)
        user_rows, item_rows = (fetch_rows(self.cluster, side, self._run) for side in factors)
        self._fetched_bytes += user_rows.nbytes + item_rows.nbytes
        return TrainedFactors(
            user_rows=user_rows,
            item_rows=item_rows,
            spec=self.spec,
            history=tuple(history),
            train=self._errors(HeldOut("train", self._ratings.sides["user"].blocks), factors),
            validation=self._errors(self._ratings.validation, factors),
            test=self._errors(self._ratings.test, factors),
            compile_seconds=compile_seconds,
            weights=fetch_weights(self.cluster, factors),
            losses=tuple(self._losses),
            bytes_moved=0,
            resumed_from=None,
        )

    def _tell(self, event: Event) -> None:
        for callback in self.callbacks:
            callback(event)

    def _place(self, previous: PlacedRatings | None) -> None:
        key = self._run if previous is None else f"{self._run}-{uuid.uuid4().hex[:6]}x"
        budgets = self.cluster.memory_budgets(self.ratings_memory)
        self._ratings = self._plan.place(self.cluster, budgets, key, previous)
        path, eta = self.store.path, self.config.relative_eta
        for side, spec in self.features.items():
            self._priors[side] = load_prior(self.cluster, path, self._ratings.sides[side], spec, eta, key)

    def _half_step(self, side: Side) -> HalfStep | PriorHalfStep:
        data: SideData = self._ratings.sides[side]
        prior = self._priors.get(side)
        return HalfStep(data, self.spec) if prior is None else PriorHalfStep(data, self.spec, prior)

    def _run_epochs(self) -> tuple[Generation, Generation, list[EpochFinished]]:
        users, items = self._start()
        history = [] if self._state is None else list(self._state.history)
        coming: _Epoch | None = None
        started = time.perf_counter()
        while len(history) < self.config.epochs and not self._is_settled(history):
            number = len(history) + 1
            self._epoch = number
            epoch = coming or self._submit_epoch(number, users, items)
            users, items = epoch.users, epoch.items
            # the next epoch is on its way before this one is awaited, so that workers never wait for us;
            # but not past a state, from which the next one starts afresh
            state_is_due = self._state_is_due(number)
            coming = None if state_is_due else self._submit_epoch(number + 1, users, items)
            record = self._finish(epoch, started)
            started += record.seconds
            history.append(record)
            if self._note_workers(number):
                self._place(self._ratings)
            if state_is_due or self._is_settled(history):
                users, items = self._take_state(users, items, history)
            if state_is_due and number < self.config.epochs and not self._is_settled(history):
                coming = self._submit_epoch(number + 1, users, items)
            self._keep(number, history)
            self._tell(record)
        return users, items, history

    def _start(self) -> tuple[Generation, Generation]:
        config = self.config
        if self._state is not None:
            return self._hand_out(self._state)
        return tuple(  # type: ignore[return-value]
            initialise(
                self.cluster,
                self._ratings.sides[side],
                self.spec.rank,
                config.seed,
                config.initial_deviation,
                self._run,
            )
            for side in SIDES
        )

    def _hand_out(self, state: TrainingState) -> tuple[Generation, Generation]:
        starts = {side: [rows.start for rows in self._plan.ranges[side]] for side in SIDES}
        return hand_out(self.cluster, state, starts, self.spec.rank, f"{self._run}-{state.epoch}")

    def _submit_epoch(self, number: int, users: Generation, items: Generation) -> _Epoch:
        key = f"{self._run}-{number}"
        users = self._half_step("user").submit(self.cluster, items, users, key)
        items = self._half_step("item").submit(self.cluster, users, items, key)
        validation = self._submit_errors(self._ratings.validation, (users, items), key)
        monitored = self._ratings.test if self.config.monitor_test else None
        test = self._submit_errors(monitored, (users, items), key)
        if not self.spec.needs_current:
            # no solve starts from the users' rows: what this epoch needs of them is on its way
            users, items = replace(users, slabs=(), replicas={}), replace(items, slabs=())
        return _Epoch(number, users, items, validation, test)

    def _state_is_due(self, number: int) -> bool:
        every = STATE_EPOCHS if self.checkpoints is None else min(self.checkpoints.every, STATE_EPOCHS)
        return number % every == 0 or self._is_kept(number) or number == self.config.epochs

    def _is_kept(self, number: int) -> bool:
        return self.checkpoints is not None and number % self.checkpoints.every == 0

    def _take_state(
        self, users: Generation, items: Generation, history: list[EpochFinished]
    ) -> tuple[Generation, Generation]:
        """Bring the state home and start from it: Dask may forget how it came about."""
        key = f"{self._run}-{len(history)}"
        self._state = take_home(self.cluster, (users, items), history, self.spec, key)
        self._fetched_bytes += self._state.n_bytes
        return self._hand_out(self._state)

    def _keep(self, number: int, history: list[EpochFinished]) -> None:
        """Write the state to disk where one is due; the workers are at the next epoch meanwhile."""
        ended = number == self.config.epochs or self._is_settled(history)
        if self.checkpoints is not None and self._state is not None and (self._is_kept(number) or ended):
            self.checkpoints.save(self._state)

    def _note_workers(self, epoch: int) -> bool:
        """Record who left in this epoch; return whether blocks have to move."""
        homes = self.cluster.homes
        self._losses += note_workers(self.cluster, self.store.path, epoch, self._tell)
        return self.cluster.homes != homes

    def _submit_errors(
        self, held_out: HeldOut | None, factors: tuple[Generation, Generation], key: str
    ) -> Task | None:
        if held_out is None:
            return None
        model = (self.spec.rank, self.spec.mean, self._limits)
        return submit_errors(self.cluster, held_out, factors, model, key)

    def _errors(self, held_out: HeldOut | None, factors: tuple[Generation, Generation]) -> ErrorSums:
        task = self._submit_errors(held_out, factors, f"{self._run}-final")
        sums: ErrorSums = NO_ERRORS if task is None else self.cluster.result(task)
        return sums

    def _finish(self, epoch: _Epoch, started: float) -> EpochFinished:
        users, items = self._wait(epoch.users), self._wait(epoch.items)
        seconds = time.perf_counter() - started
        objective = self.config.lambda_ / 2 * (items.sse + users.penalty + items.penalty)
        return EpochFinished(
            epoch=epoch.number,
            epochs=self.config.epochs,
            objective=objective,
            train_rmse=math.sqrt(max(items.sse, 0.0) / self.split.n_train),
            validation_rmse=self._rmse(epoch.validation),
            test_rmse=self._rmse(epoch.test),
            seconds=seconds,
            ratings_per_second=self.split.n_train / seconds,
        )

    def _rmse(self, task: Task | None) -> float | None:
        figures = None if task is None else error_figures(self.cluster.result(task))
        return None if figures is None else figures.rmse

    def _wait(self, generation: Generation) -> BlockStats:
        try:
            stats: BlockStats = self.cluster.result(generation.stats)
        except RowError as error:
            # users are awaited before items and epochs in order, so the first failure is this side's own
            raise self._named(error, generation.side) from None
        if not math.isfinite(stats.sse + stats.penalty):
            raise NumericalError(
                f"the {generation.side} half-step's objective is not finite", where="training"
            )
        return stats

    def _named(self, error: RowError, side: Side) -> NumericalError:
        ids = self.store.user_ids if side == "user" else self.store.item_ids
        return NumericalError(
            error.found,
            where=f"{side} {ids[error.row].as_py()!r} (row {error.row})",
            remedy="Raise --tau and --gamma, or look at this row's ratings",
        )

    def _is_settled(self, history: list[EpochFinished]) -> bool:
        return is_settled(history, self.config.tol, self.config.patience)


def rating_limits(store: RatingsStore) -> tuple[float, float]:
    """Return the lowest and the highest rating of a store."""
    values = store.scale if len(store.scale) else store.read_column("user", "values", 0, store.n_ratings)
    return float(np.min(values)), float(np.max(values))
