"""Training by least squares: what comes before and after the loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.als import AlsStep
from daskals.training.compiling import prepare_workers
from daskals.training.events import Callback, teller
from daskals.training.ials import IalsStep
from daskals.training.loop import Loop
from daskals.training.outcome import TrainedFactors
from daskals.training.problem import Problem
from daskals.training.rating_units import state_as_measured
from daskals.training.run import NO_OPTIONS, RunOptions
from daskals.training.state import TrainingState


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
    as_measured
        Whether rows and weights of least squares stay as training saw ratings; not for `ials`.
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
        as_measured: bool = False,
    ) -> None:
        self._as_measured = as_measured
        self._problem = Problem(cluster, store, split, config)
        self._tell = teller(callbacks)
        self._options = run
        self._start = start

    def train(self) -> TrainedFactors:
        """Run all phases and bring the factors home.

        Raises ClusterError if a worker does not fit, the scheduler goes away, or workers keep dying;
        ConfigError if the checkpoint to continue from belongs to another configuration or other data;
        NumericalError if a row cannot be solved.
        """
        problem, options = self._problem, self._options
        checkpoints, resumed = options.checkpoints, None
        if checkpoints is not None:
            resumed = checkpoints.begin(problem.config, problem.store, problem.split)
        compile_seconds = prepare_workers(problem, options.numba_threads, self._tell)
        spec, memory = problem.solve_spec(options.numba_threads), options.ratings_memory
        if problem.config.model == "ials":
            step: AlsStep = IalsStep(problem, spec, memory)
        else:
            step = AlsStep(problem, spec, memory, as_measured=self._as_measured)
        ran = Loop(
            problem.cluster,
            step,
            problem.store.path,
            tell=self._tell,
            checkpoints=checkpoints,
            state=resumed or self._measured_start(),
        ).run()
        return replace(
            ran.result,
            compile_seconds=compile_seconds,
            workers_lost=ran.workers_lost,
            bytes_moved=ran.bytes_moved,
            resumed_from=None if resumed is None else resumed.epoch,
        )

    def _measured_start(self) -> TrainingState | None:
        problem, start = self._problem, self._start
        if start is None:
            return None
        return state_as_measured(start, problem.config.effective_rank, problem.standard)
