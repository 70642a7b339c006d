"""The epoch loop: user half-step, item half-step, reductions, stop rule."""

from __future__ import annotations

import itertools
import math
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from daskals.cluster import Cluster, Task
from daskals.config import TrainConfig
from daskals.errors import NumericalError, RowError
from daskals.exchange import Generation, fetch_rows
from daskals.kernels.score import NO_ERRORS, ErrorSums
from daskals.kernels.warm_up import timed_warm_up
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.events import Callback, EpochFinished, Event, PhaseStarted
from daskals.training.half_step import HalfStep, SideData, SolveSpec, initialise, load_side
from daskals.training.plan import plan_blocks
from daskals.training.scoring import HeldOut, error_figures, load_held_out, submit_errors
from daskals.types import SIDES, TEST, VALIDATION, BlockStats, FactorRows, Side


@dataclass(frozen=True)
class TrainedFactors:
    """What a training run leaves.

    Attributes
    ----------
    user_rows, item_rows
        Factor rows of all users and all items. The users' belong to the final items: training closes
        with one more user half-step.
    spec
        How they were solved.
    history
        One entry an epoch.
    train_rmse
        Training error of the final rows.
    validation, test
        Error sums of the held-out parts.
    compile_seconds
        Longest time a worker took to compile the kernels, or to read them from the cache.
    """

    user_rows: FactorRows
    item_rows: FactorRows
    spec: SolveSpec
    history: tuple[EpochFinished, ...]
    train_rmse: float
    validation: ErrorSums
    test: ErrorSums
    compile_seconds: float


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
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        split: Split,
        config: TrainConfig,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.cluster = cluster
        self.store = store
        self.split = split
        self.config = config
        self.callbacks = tuple(callbacks)
        self.spec = SolveSpec(
            rank=config.effective_rank,
            mean=0.0 if config.no_global_mean else split.mean,
            ridge=config.ridge,
            solver=config.solver,
            damping=config.damping,
        )
        self._limits = rating_limits(store)
        self._run = uuid.uuid4().hex[:6] + "x"

    def train(self) -> TrainedFactors:
        """Run all phases and bring the factors home."""
        self._tell(PhaseStarted("compile"))
        compile_seconds = self._compile()
        self._tell(PhaseStarted("load"))
        data = {side: self._load(side) for side in SIDES}
        held_out = self._load_held_out(data["user"])
        self._wait_for_ratings(data, held_out)
        self._tell(PhaseStarted("train"))
        last, history = self._run_epochs(data, held_out)
        self._tell(PhaseStarted("evaluate"))
        closing = HalfStep(data["user"], self.spec).submit(
            self.cluster, last.items, last.users, f"{self._run}-closing"
        )
        stats = self._wait(closing)
        factors = (closing, last.items)
        return TrainedFactors(
            user_rows=fetch_rows(self.cluster, closing, self._run),
            item_rows=fetch_rows(self.cluster, last.items, self._run),
            spec=self.spec,
            history=tuple(history),
            train_rmse=math.sqrt(max(stats.sse, 0.0) / self.split.n_train),
            validation=self._errors(held_out[0], factors),
            test=self._errors(held_out[1], factors),
            compile_seconds=compile_seconds,
        )

    def _tell(self, event: Event) -> None:
        for callback in self.callbacks:
            callback(event)

    def _compile(self) -> float:
        seconds = self.cluster.everywhere(timed_warm_up, self.spec.rank, len(self.store.scale))
        return max(seconds.values())

    @property
    def _source(self) -> tuple[str, str]:
        return str(self.store.path), self.split.key

    def _load(self, side: Side) -> SideData:
        ranges = plan_blocks(self.split.train_counts(side), self.spec.rank)
        return load_side(self.cluster, self._source, side, ranges, self._run)

    def _load_held_out(self, users: SideData) -> tuple[HeldOut | None, HeldOut | None]:
        def load(name: str, code: int, n: int) -> HeldOut | None:
            if n == 0:
                return None
            return load_held_out(self.cluster, self._source, (name, code), users.ranges, self._run)

        return load("validation", VALIDATION, self.split.n_validation), load("test", TEST, self.split.n_test)

    def _wait_for_ratings(
        self, data: dict[Side, SideData], held_out: tuple[HeldOut | None, HeldOut | None]
    ) -> None:
        # ratings stay where they were loaded: only their arrival is awaited
        self.cluster.wait([task for side in SIDES for task in data[side].blocks])
        self.cluster.wait([task for part in held_out if part is not None for task in part.blocks])

    def _run_epochs(
        self, data: dict[Side, SideData], held_out: tuple[HeldOut | None, HeldOut | None]
    ) -> tuple[_Epoch, list[EpochFinished]]:
        history: list[EpochFinished] = []
        epochs = self._submit_epochs(data, held_out)
        started = time.perf_counter()
        epoch = next(epochs)
        while True:
            # the next epoch is on its way before this one is awaited, so that workers never wait for us
            following = next(epochs, None)
            record = self._finish(epoch, started)
            started += record.seconds
            history.append(record)
            self._tell(record)
            if following is None or self._is_settled(history):
                return epoch, history
            epoch = following

    def _submit_epochs(
        self, data: dict[Side, SideData], held_out: tuple[HeldOut | None, HeldOut | None]
    ) -> Iterator[_Epoch]:
        config = self.config
        start = {
            side: initialise(
                self.cluster, data[side], self.spec.rank, config.seed, config.initial_deviation, self._run
            )
            for side in SIDES
        }
        users, items = start["user"], start["item"]
        validation, test = held_out
        for number in itertools.count(1):
            if number > config.epochs:
                return
            key = f"{self._run}-{number}"
            users = HalfStep(data["user"], self.spec).submit(self.cluster, items, users, key)
            items = HalfStep(data["item"], self.spec).submit(self.cluster, users, items, key)
            yield _Epoch(
                number,
                users,
                items,
                self._submit_errors(validation, (users, items), key),
                self._submit_errors(test, (users, items), key) if config.monitor_test else None,
            )

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
        if self.config.tol == 0 or len(history) < 2:
            return False
        before, after = history[-2].objective, history[-1].objective
        return before - after < self.config.tol * abs(before)


def rating_limits(store: RatingsStore) -> tuple[float, float]:
    """Return the lowest and the highest rating of a store."""
    values = store.scale if len(store.scale) else store.read_column("user", "values", 0, store.n_ratings)
    return float(np.min(values)), float(np.max(values))
