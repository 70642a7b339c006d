"""The Gibbs sampler: a short ALS, then the chain, or several; what comes before and after the loop."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.kernels.gibbs.censored import ends_of
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.compiling import prepare_workers
from daskals.training.events import Callback, EpochFinished, Event, teller
from daskals.training.gibbs.side_by_side import SideBySide, chain_configs, stored_state
from daskals.training.gibbs.step import GibbsStep, Posterior, Until
from daskals.training.gibbs.weights import has_many
from daskals.training.loop import Loop, Step
from daskals.training.outcome import TrainedFactors
from daskals.training.problem import Problem
from daskals.training.run import NO_OPTIONS, RunOptions
from daskals.training.trainer import Trainer
from daskals.types import TEST


class GibbsSampler:
    """Samples the posterior of one configuration on one split of one store.

    Parameters
    ----------
    cluster
        Where the tasks run.
    store, split
        The ratings, and which of them train.
    config
        The model's configuration, resolved.
    callbacks
        Called with every event, in this process.
    run
        Checkpoints and memory.
    judged, until
        TEST or VALIDATION: the part that the chain's figures are about; what ends the chain before its last
        sweep, by validation's error at every state.
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
        judged: int = TEST,
        until: Until | None = None,
    ) -> None:
        self._problem = Problem(cluster, store, split, config)
        self._tell = teller(callbacks)
        self._options = run
        self._judged = judged
        self._until = until

    def run(self) -> Posterior:
        """Start from a short ALS, or from a checkpoint, and sweep to the end.

        Raises ClusterError if a worker does not fit, the scheduler goes away, or workers keep dying;
        NumericalError if the noise precision collapses or explodes, or a row or a prior cannot be drawn.
        """
        with self._problem.cluster.watched():
            return self._run()

    def _run(self) -> Posterior:
        problem, options = self._problem, self._options
        checkpoints, resumed = options.checkpoints, None
        configs = chain_configs(problem.config)
        alone = [problem] if len(configs) == 1 else [replace(problem, config=config) for config in configs]
        if checkpoints is not None:
            resumed = checkpoints.open(problem.config, problem.store, problem.split, stored_state)
        is_censored = problem.config.likelihood == "censored"
        ends = ends_of(problem.scale, problem.limits) if is_censored else None
        compile_seconds = prepare_workers(problem, options.numba_threads, self._tell, ends=ends)
        warm = [self._short_als(one) for one in alone] if resumed is None else []
        steps = [
            GibbsStep(one, ends, start, options.ratings_memory, self._judged, self._until)
            for one, start in itertools.zip_longest(alone, warm)
        ]
        step: Step[Any, Any, Posterior] = steps[0] if len(steps) == 1 else SideBySide(problem, steps)
        ran = Loop(
            problem.cluster,
            step,
            problem.store.path,
            tell=self._tell,
            checkpoints=checkpoints,
            state=resumed,
        ).run()
        trained = replace(
            ran.result.trained,
            compile_seconds=compile_seconds + sum(one.compile_seconds for one in warm),
            workers_lost=(*(loss for one in warm for loss in one.workers_lost), *ran.workers_lost),
            bytes_moved=ran.bytes_moved + sum(one.bytes_moved for one in warm),
            resumed_from=None if resumed is None else resumed.sweep,
        )
        return replace(ran.result, trained=trained)

    def _short_als(self, problem: Problem) -> TrainedFactors:
        config = problem.config
        update: dict[str, Any] = {
            "model": "hierarchical" if set(problem.features) - {"time"} else "als",
            "epochs": config.warm_start,
            "monitor_test": False,
            "time_bins": "none",
            "time_features": None,
            "chains": 1,
        }
        if any(has_many(spec) for spec in problem.features.values()):
            # the first sweep draws W of many features from rows that know none; to solve for it takes longer
            # than all the sweeps
            update |= {"model": "als", "item_features": (), "user_features": ()}
        run = replace(self._options, checkpoints=None)
        config = config.model_copy(update=update)
        trainer = Trainer(
            problem.cluster, problem.store, problem.split, config, [self._forward], run, as_measured=True
        )
        return trainer.train()

    def _forward(self, event: Event) -> None:
        # the phases of the short ALS are the run's; its epochs are not
        if not isinstance(event, EpochFinished):
            self._tell(event)
