"""The Gibbs sampler's loop: a short ALS, then sweeps; samples kept, predictions added up, states taken home.

All random numbers are functions of (seed, sweep, side, row), so the chain is the same for any workers and
blocks, and a run that goes back to a state, in this process or from a checkpoint, continues it to the bit.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from daskals.cluster.exchange import restore
from daskals.cluster.failures import LostTasksError
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.kernels.gibbs.censored import Ends, ends_of
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, load_block
from daskals.training.chain import (
    Chain,
    fetch_sample,
    fetch_tally,
    hand_out_chain,
    submit_sweep,
    submit_tallies,
    take_chain_home,
)
from daskals.training.departures import note_workers
from daskals.training.events import Callback, EpochFinished, Event, Notice, PhaseStarted
from daskals.training.features import side_features
from daskals.training.gibbs_state import GibbsState, Sample, kept_sweeps
from daskals.training.outcome import TrainedFactors, WorkerLoss
from daskals.training.placed import PlacedRatings, RatingsPlan
from daskals.training.posterior import Hyperprior, SidePrior, check_alpha, start_prior
from daskals.training.predictive import PredictiveFigures, predictive_figures
from daskals.training.prior import load_prior
from daskals.training.run import NO_OPTIONS, RunOptions
from daskals.training.sweep import SideChain, Step, fold_moments, prepare_side, start_slab
from daskals.training.trainer import MOST_RETURNS, Trainer, rating_limits
from daskals.types import SIDES, TEST, BlockStats, Float64, Int64, Side

STATE_SWEEPS = 20
"""Sweeps after which the state is taken home: Dask keeps the lineage since then."""

CHECKPOINT_SWEEPS = 20
"""Sweeps that count as an epoch of --checkpoint-every: a state holds every sample so far."""


@dataclass(frozen=True)
class Posterior:
    """What a chain leaves.

    Attributes
    ----------
    trained
        The run as any training leaves it, but for rows, weights and figures, which are those of the short
        ALS that the chain started from.
    samples
        The kept samples, oldest first.
    noise_variance
        Mean of 1/α over the sweeps after the burn-in.
    predictive
        Figures of the whole chain on the test ratings, None without any.
    ends
        Of the rating scale, where ratings count as cut off there.
    """

    trained: TrainedFactors
    samples: list[Sample]
    noise_variance: float
    predictive: PredictiveFigures | None
    ends: Ends | None


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
    """

    def __init__(
        self,
        cluster: Cluster,
        store: RatingsStore,
        split: Split,
        config: TrainConfig,
        callbacks: Sequence[Callback] = (),
        run: RunOptions = NO_OPTIONS,
    ) -> None:
        self.cluster = cluster
        self.store = store
        self.split = split
        self.config = config
        self.callbacks = tuple(callbacks)
        self.options = run
        self.features = side_features(store, config)
        self._rank = config.rank
        self._mean = 0.0 if config.no_global_mean else split.mean
        self._limits = rating_limits(store)
        self._ends = ends_of(store.scale, self._limits) if config.likelihood == "censored" else None
        self._kept = kept_sweeps(config.sweeps, config.burn_in, config.keep_samples)
        self._plan = RatingsPlan(store, split, self._rank)
        self._starts = {side: [rows.start for rows in self._plan.ranges[side]] for side in SIDES}
        self._ratings: PlacedRatings
        self._sides: dict[Side, SideChain] = {}
        self._state: GibbsState | None = None
        self._losses: list[WorkerLoss] = []
        self._run = ""

    def run(self) -> Posterior:
        """Start from a short ALS, or from a checkpoint, and sweep to the end.

        Raises
        ------
        ClusterError
            If a worker does not fit, the scheduler goes away, or workers keep dying.
        NumericalError
            If the noise precision collapses or explodes, or a row or a prior cannot be drawn.
        """
        checkpoints = self.options.checkpoints
        stored = None if checkpoints is None else checkpoints.open(self.config, self.store, self.split)
        warm = self._warm_up()
        if stored is not None:
            self._state = GibbsState.from_stored(stored.attributes, stored.arrays)
            warm = replace(warm, resumed_from=self._state.sweep)
        with self.cluster.watched():
            return self._sample(warm)

    def _sample(self, warm: TrainedFactors) -> Posterior:
        """Run to the end, from the last state again and again where workers die."""
        returns = 0
        while True:
            try:
                posterior = self._attempt(warm)
            except LostTasksError:
                returns += 1
                if returns > MOST_RETURNS:
                    raise
                sweep = 0 if self._state is None else self._state.sweep
                self._tell(Notice(f"results died with their workers: back to the end of sweep {sweep}"))
                self._note_workers(sweep)
            else:
                losses = (*warm.losses, *self._losses)
                return replace(posterior, trained=replace(posterior.trained, losses=losses))

    def _note_workers(self, sweep: int) -> bool:
        """Record who left in this sweep; return whether blocks have to move."""
        homes = self.cluster.homes
        self._losses += note_workers(self.cluster, self.store.path, sweep, self._tell)
        return self.cluster.homes != homes

    def _warm_up(self) -> TrainedFactors:
        update = {
            "model": "hierarchical" if self.features else "als",
            "epochs": self.config.warm_start,
            "monitor_test": False,
        }
        config = self.config.model_copy(update=update)
        run = replace(self.options, checkpoints=None)
        return Trainer(self.cluster, self.store, self.split, config, [self._forward], run).train()

    def _forward(self, event: Event) -> None:
        # the phases of the short ALS are the run's; its epochs are not
        if not isinstance(event, EpochFinished):
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for callback in self.callbacks:
            callback(event)

    def _attempt(self, warm: TrainedFactors) -> Posterior:
        """Run from the last state to the end."""
        self._run = uuid.uuid4().hex[:6] + "x"
        self._tell(PhaseStarted("sample"))
        self._place()
        if self._state is None:
            self._state = self._first_state(warm)
        state = self._sweep_to_the_end(self._state)
        self._tell(PhaseStarted("evaluate"))
        n = self.config.sweeps - self.config.burn_in
        noise_variance = state.noise_total / n
        predictive = None
        if state.tally is not None:
            predictive = predictive_figures(self._test_ratings, state.tally, n, noise_variance, self._ends)
        trained = replace(warm, history=tuple(state.history))
        return Posterior(trained, state.samples, noise_variance, predictive, self._ends)

    def _place(self) -> None:
        budgets = self.cluster.memory_budgets(self.options.ratings_memory)
        self._ratings = self._plan.place(self.cluster, budgets, self._run)
        for side in SIDES:
            data, spec = self._ratings.sides[side], self.features.get(side)
            features = None
            if spec is not None:
                features = load_prior(self.cluster, self.store.path, data, spec, 0.0, self._run)
            self._sides[side] = prepare_side(self.cluster, data, features, self._run)
        self._ratings.wait(self.cluster)

    def _first_state(self, warm: TrainedFactors) -> GibbsState:
        """Take the short ALS as the state before the first sweep, its rows' spread as their priors."""
        rows: dict[Side, np.ndarray] = {"user": warm.user_rows, "item": warm.item_rows}
        priors = {side: self._first_prior(side, rows[side], warm.weights.get(side)) for side in SIDES}
        alpha = self.split.n_train / max(warm.train.squared, 1e-12)
        return GibbsState((), rows, priors, alpha, [], None, 0.0)

    def _first_prior(self, side: Side, rows: np.ndarray, weights: Float64 | None) -> SidePrior:
        chain = self._sides[side]
        if weights is None:
            weights = np.zeros((0, self._rank + 1))
        slabs = restore(self.cluster, side, self._starts[side], rows, f"{self._run}-warm").slabs
        features = None if chain.features is None else chain.features.blocks
        arguments = [
            (slab, chain.data.blocks[n], None if features is None else features[n], weights, self._rank)
            for n, slab in enumerate(slabs)
        ]
        moments = self.cluster.map_blocks(start_slab, arguments, key=f"start-{side}-moments-{self._run}")
        folded = self.cluster.submit(fold_moments, moments, key=f"start-{side}-prior-{self._run}")
        return start_prior(self.cluster.result(folded), weights, Hyperprior())

    def _sweep_to_the_end(self, state: GibbsState) -> GibbsState:
        chain = self._hand_out(state)
        history, samples, noise = list(state.history), list(state.samples), state.noise_total
        coming: Chain | None = None
        started = time.perf_counter()
        while len(history) < self.config.sweeps:
            sweep = len(history)
            chain = coming or self._submit_sweep(chain, sweep)
            state_is_due = self._state_is_due(sweep + 1)
            # the next sweep is on its way before this one is awaited, but not past a state
            coming = None if state_is_due else self._submit_sweep(chain, sweep + 1)
            record, variance = self._finish(chain, sweep, started, noise)
            started += record.seconds
            history.append(record)
            if sweep >= self.config.burn_in:
                noise += variance
            if sweep in self._kept:
                key = f"{self._run}-{sweep}-sample"
                samples.append(fetch_sample(self.cluster, chain, self._mean, self._rank, key))
            if state_is_due:
                key = f"{self._run}-{sweep + 1}"
                state = take_chain_home(self.cluster, chain, (history, samples, noise), key)
                self._state = state
                if self._note_workers(sweep + 1):
                    self._run = uuid.uuid4().hex[:6] + "x"
                    self._place()
                chain = self._hand_out(state)
                if self.options.checkpoints is not None and self._is_kept(sweep + 1):
                    self.options.checkpoints.write(state.sweep, state.attributes(), state.arrays())
            self._tell(record)
        return state

    def _hand_out(self, state: GibbsState) -> Chain:
        key = f"{self._run}-{state.sweep}"
        return hand_out_chain(self.cluster, state, self._starts, self._test_cuts, key)

    def _submit_sweep(self, chain: Chain, sweep: int) -> Chain:
        step = Step(self._rank, self._mean, self.config.seed, sweep, Hyperprior(), self._ends)
        key = f"{self._run}-{sweep}"
        chain = submit_sweep(self.cluster, self._sides, chain, step, self.split.n_train, key)
        test = self._ratings.test
        if test is None or sweep < self.config.burn_in:
            return chain
        return replace(chain, tallies=submit_tallies(self.cluster, test, chain, step, key))

    def _finish(
        self, chain: Chain, sweep: int, started: float, noise_total: float
    ) -> tuple[EpochFinished, float]:
        """Await a sweep; return its figures and the noise variance, `noise_total` being those before."""
        alpha = float(self.cluster.result(chain.alpha))
        low, high = self._limits
        check_alpha(alpha, max(high - low, 1e-6), sweep + 1)
        users: BlockStats = self.cluster.result(chain.users.stats)
        items: BlockStats = self.cluster.result(chain.items.stats)
        seconds = time.perf_counter() - started
        record = EpochFinished(
            epoch=sweep + 1,
            epochs=self.config.sweeps,
            objective=0.5 * (alpha * items.sse + users.penalty + items.penalty),
            train_rmse=math.sqrt(max(items.sse, 0.0) / self.split.n_train),
            validation_rmse=None,
            test_rmse=self._monitored(chain, sweep, noise_total + 1.0 / alpha),
            seconds=seconds,
            ratings_per_second=self.split.n_train / seconds,
            noise_precision=alpha,
        )
        return record, 1.0 / alpha

    def _monitored(self, chain: Chain, sweep: int, noise_total: float) -> float | None:
        if not self.config.monitor_test:
            return None
        tally = fetch_tally(self.cluster, chain)
        if tally is None:
            return None
        n = sweep + 1 - self.config.burn_in
        return predictive_figures(self._test_ratings, tally, n, noise_total / n, self._ends).rmse

    def _state_is_due(self, done: int) -> bool:
        return done % STATE_SWEEPS == 0 or done == self.config.sweeps or self._is_kept(done)

    def _is_kept(self, done: int) -> bool:
        checkpoints = self.options.checkpoints
        if checkpoints is None:
            return False
        return done == self.config.sweeps or done % (CHECKPOINT_SWEEPS * checkpoints.every) == 0

    @cached_property
    def _test_blocks(self) -> list[Float64]:
        found = []
        for start, stop in self._plan.ranges["user"] if self.split.n_test else ():
            block = load_block(str(self.store.path), "user", start, stop, self.split.key, TEST)
            values = block.ratings
            found.append(np.asarray(values, np.float64))
        return found

    @property
    def _test_ratings(self) -> Float64:
        return np.concatenate(self._test_blocks)

    @property
    def _test_cuts(self) -> Int64:
        return np.concatenate(
            [[0], np.cumsum([len(ratings) for ratings in self._test_blocks], dtype=np.int64)]
        )
