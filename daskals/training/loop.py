"""The training loop, the only one: epochs submitted ahead, states taken home, going back when workers die.

What is trained is a `Step`: least squares (`als`), the Gibbs chain (`bayes`), a trial of a search
(`training.trial`), affinity (`affinity`). A step says how one epoch is submitted and what it leaves; when
that is awaited, kept, repeated or given up is known here alone. Two things go through its methods as values:

position    what lies on the cluster between two epochs: tasks, still to come or done
state       what lies in this process: the history, and all that the rest of the run depends on
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from numpy.typing import NDArray

from daskals.cluster import interruption
from daskals.cluster.bundles import Bundle
from daskals.cluster.failures import LostTasksError
from daskals.cluster.workers import Cluster
from daskals.training.checkpoint import Checkpoints
from daskals.training.departures import WorkerLoss, note_workers
from daskals.training.events import Callback, EpochFinished, Notice, PhaseStarted
from daskals.training.stopping import is_settled

MOST_RETURNS = 10
"""How often a run goes back to the same state before it gives up."""


class State(Protocol):
    """What an epoch leaves to the next, in this process; written as a checkpoint."""

    @property
    def history(self) -> tuple[EpochFinished, ...]:
        """The epochs so far."""

    def attributes(self) -> dict[str, Any]:
        """Return what JSON can hold."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""


PositionT = TypeVar("PositionT")
StateT = TypeVar("StateT", bound=State)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Epoch(NamedTuple):
    """The number of an epoch, from 1, and what makes the names of its tasks unique."""

    number: int
    key: str


class End(NamedTuple, Generic[PositionT, StateT]):
    """Where the last epoch left things, and what makes the names of the last tasks unique."""

    position: PositionT
    state: StateT
    key: str


class Step(Protocol[PositionT, StateT, ResultT_co]):
    """What the loop drives.

    Every method may raise LostTasksError: the loop then places everything again and goes back to the last
    state taken home. All but `place` leave the step as it was, so that an epoch can be repeated.

    Attributes
    ----------
    phase, epochs
        What watchers are told while the epochs run; how many there are at most.
    state_every
        Epochs after which the state is taken home at the latest: Dask keeps the lineage since then.
    checkpoint_epochs
        Epochs that count as one of `Checkpoints.every`.
    is_small
        Whether an epoch is over before its tasks would have come through a scheduler: `cluster.bundles`.
    tol, patience
        When the run ends before its last epoch; see `stopping.is_settled`.
    """

    phase: str
    epochs: int
    state_every: int
    checkpoint_epochs: int
    is_small: bool
    tol: float
    patience: int | None

    def place(self, key: str, *, again: bool) -> None:
        """Start loading the data at their homes and wait; `again`, only what has another home, unawaited."""

    def init(self, key: str) -> tuple[PositionT, StateT]:
        """Start from nothing."""

    def hand_out(self, state: StateT, key: str) -> PositionT:
        """Put a state on the cluster; its tasks depend on no earlier ones, so that Dask forgets those."""

    def submit(self, position: PositionT, epoch: Epoch) -> PositionT:
        """Start the tasks of an epoch, without awaiting any."""

    def finish(self, position: PositionT, state: StateT, epoch: Epoch, started: float) -> StateT:
        """Await an epoch; return the state before it with what is told and kept of it, its record first.

        What only the next epoch needs stays as it was until `take_home`.
        """

    def take_home(self, position: PositionT, state: StateT, key: str) -> StateT:
        """Return the state with all that the next epoch depends on."""

    def conclude(self, end: End[PositionT, StateT]) -> ResultT_co:
        """Return what the run leaves."""


@dataclass
class Together:
    """Epochs that are one task, and the seconds of each once it is over."""

    bundle: Bundle
    n_epochs: int
    seconds: float | None = None


class Ran(NamedTuple, Generic[ResultT_co]):
    """What a run left, the workers that left it, and the bytes they sent to one another."""

    result: ResultT_co
    workers_lost: tuple[WorkerLoss, ...]
    bytes_moved: int


class Loop(Generic[PositionT, StateT, ResultT_co]):
    """One run of a step, to its end.

    Parameters
    ----------
    cluster
        Where the tasks run.
    step
        What is trained.
    store_path
        The ratings, which workers that join must reach.
    tell
        Called with every event.
    checkpoints
        Where states are written; in this process only if None.
    state
        State to start from; the step's own start if None.
    """

    def __init__(
        self,
        cluster: Cluster,
        step: Step[PositionT, StateT, ResultT_co],
        store_path: str,
        *,
        tell: Callback = lambda _: None,
        checkpoints: Checkpoints | None = None,
        state: StateT | None = None,
    ) -> None:
        self._cluster = cluster
        self._step = step
        self._store_path = store_path
        self._tell = tell
        self._checkpoints = checkpoints
        self._state = state
        self._saved = 0 if state is None else len(state.history)
        self._workers_lost: list[WorkerLoss] = []
        self._together: Together | None = None
        self._homes: tuple[str, ...] = ()
        self._key = ""
        self._is_watched = True
        self._epoch = 0

    def run(self) -> Ran[ResultT_co]:
        """Run to the end, from the last state again and again where results die with their workers.

        Raises KeyboardInterrupt at the next epoch where a signal was noted, its state kept; ClusterError if
        the scheduler goes away, no worker is left, or results die more than `MOST_RETURNS` times after the
        same state.
        """
        with interruption.deferring(), self._cluster.watched():
            before = self._cluster.bytes_moved()
            result = self._run()
            moved = self._cluster.bytes_moved() - before
        return Ran(result, tuple(self._workers_lost), max(0, moved))

    def _run(self) -> ResultT_co:
        returns, reached = 0, -1
        while True:
            try:
                return self._attempt()
            except KeyboardInterrupt:
                self._keep()
                raise
            except LostTasksError:
                if interruption.is_noted():
                    self._keep()
                    raise KeyboardInterrupt from None
                epoch = 0 if self._state is None else len(self._state.history)
                returns, reached = (returns + 1 if reached == epoch else 1), epoch
                if returns > MOST_RETURNS:
                    raise
                self._tell(Notice(f"results died with their workers: back to the end of epoch {epoch}"))
                self._note_workers()

    def _attempt(self) -> ResultT_co:
        self._key = new_key()
        self._is_watched = self._cluster.dashboard_link is not None
        self._cluster.begin()
        self._note_workers()
        self._tell(PhaseStarted("load"))
        self._place(self._key, again=False)
        interruption.check()
        self._tell(PhaseStarted(self._step.phase))
        position, state = self._run_epochs()
        self._tell(PhaseStarted("evaluate"))
        return self._step.conclude(End(position, state, f"{self._key}-end"))

    def _run_epochs(self) -> tuple[PositionT, StateT]:
        step = self._step
        position, state = self._start()
        ahead: deque[PositionT] = deque()
        started = time.perf_counter()
        while not self._is_over(state):
            epoch = self._nth(len(state.history) + 1)
            number, key = epoch
            self._epoch = number
            if not ahead:
                ahead += self._submit_ahead(position, number)
            seconds = self._arrived(started)
            position = ahead.popleft()
            is_due = self._state_is_due(number)
            if not ahead and not is_due:
                # the next epoch is on its way before this one is awaited, so that workers never wait for us;
                # but not past a state, from which the next one starts afresh
                ahead += self._submit_ahead(position, number + 1)
            if seconds is not None:
                started = time.perf_counter() - seconds
            state = step.finish(position, state, epoch, started)
            started += state.history[-1].seconds
            self._cluster.note_traffic()
            self._note_workers()
            if self._cluster.homes != self._homes:
                self._place(f"{self._key}-{new_key()}", again=True)
            is_over = self._is_over(state)
            if is_due or is_over:
                state = self._state = step.take_home(position, state, key)
                position = step.hand_out(state, key)
                ahead.clear()
            if is_due and not is_over:
                ahead += self._submit_ahead(position, number + 1)
            if is_over or self._is_kept(number):
                self._save(state)  # the workers are at the next epoch meanwhile
            self._tell(state.history[-1])
            if interruption.is_noted():
                self._state = step.take_home(position, state, key)
                raise KeyboardInterrupt
        return position, state

    def _start(self) -> tuple[PositionT, StateT]:
        if self._state is None:
            return self._step.init(self._key)
        return self._step.hand_out(self._state, f"{self._key}-{len(self._state.history)}"), self._state

    def _submit_ahead(self, position: PositionT, number: int) -> list[PositionT]:
        """Submit an epoch: in this process as one task, unless a dashboard shows what its parts are.

        Small ones are one task with those up to the next state.
        """
        if not (self._step.is_small and self._cluster.bundles):
            self._together = None
            if self._is_watched or not self._cluster.bundles:
                return [self._step.submit(position, self._nth(number))]
            with self._cluster.bundled(f"epoch-{self._key}-{number}"):
                return [self._step.submit(position, self._nth(number))]
        positions = []
        with self._cluster.bundled(f"small-epochs-{self._key}-{number}") as bundle:
            for later in range(number, self._next_due(number) + 1):
                position = self._step.submit(position, self._nth(later))
                positions.append(position)
        self._together = Together(bundle, len(positions))
        return positions

    def _arrived(self, started: float) -> float | None:
        """Wait for epochs that are one task; return the seconds of each, None for one of many tasks."""
        together = self._together
        if together is None:
            return None
        if together.seconds is None:
            self._cluster.arrive(together.bundle)
            together.seconds = (time.perf_counter() - started) / together.n_epochs
        return together.seconds

    def _next_due(self, number: int) -> int:
        return next(later for later in itertools.count(number) if self._state_is_due(later))

    def _nth(self, number: int) -> Epoch:
        return Epoch(number, f"{self._key}-{number}")

    def _place(self, key: str, *, again: bool) -> None:
        self._homes = self._cluster.homes
        self._step.place(key, again=again)

    def _note_workers(self) -> None:
        self._workers_lost += note_workers(self._cluster, self._store_path, self._epoch, self._tell)

    def _is_over(self, state: StateT) -> bool:
        step, history = self._step, state.history
        return len(history) >= step.epochs or is_settled(history, step.tol, step.patience)

    def _state_is_due(self, number: int) -> bool:
        last = number == self._step.epochs
        return last or number % self._step.state_every == 0 or self._is_kept(number)

    def _is_kept(self, number: int) -> bool:
        kept = self._checkpoints
        return kept is not None and number % (kept.every * self._step.checkpoint_epochs) == 0

    def _save(self, state: StateT) -> None:
        self._saved = len(state.history)
        if self._checkpoints is not None:
            self._checkpoints.write(self._saved, state.attributes(), state.arrays())

    def _keep(self) -> None:
        """Write the last state down, where that is still to do, for a run that is interrupted."""
        if self._state is not None and len(self._state.history) > self._saved:
            self._save(self._state)


def new_key() -> str:
    """Return what makes the names of a run's tasks unique; no digits at its end, which Dask would cut off."""
    return uuid.uuid4().hex[:6] + "x"
