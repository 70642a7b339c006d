"""The Gibbs chain as a step: sweeps; samples kept, predictions added up.

All random numbers are functions of (seed, sweep, side, row), so the chain is the same for any workers and
blocks, and a run that goes back to a state, in this process or from a checkpoint, continues it to the bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from daskals.cluster.exchange import scatter_rows
from daskals.cluster.parts import BlockCall, submit_fold
from daskals.kernels.gibbs.censored import Ends, ends_of
from daskals.kernels.scoring.score import NO_ERRORS
from daskals.kernels.toolkit.layout import empty_rows
from daskals.store.blocks import BlockSource
from daskals.store.limits import rating_limits
from daskals.training.data.placed import PlacedRatings, RatingsPlan
from daskals.training.events import EpochFinished
from daskals.training.gibbs.chain import (
    Chain,
    fetch_sample,
    fetch_tally,
    hand_out_chain,
    submit_sweep,
    submit_tallies,
    take_chain_home,
)
from daskals.training.gibbs.posterior import Hyperprior, SidePrior, check_alpha, fixed_prior, start_prior
from daskals.training.gibbs.predictive import PredictiveFigures, predictive_figures
from daskals.training.gibbs.rows import SweepSpec, Tally
from daskals.training.gibbs.state import GibbsState, Sample, kept_sweeps
from daskals.training.gibbs.sweep import SideChain, add_moments, prepare_side, start_moments
from daskals.training.gibbs.time_prior import first_time_prior
from daskals.training.loop import End, Epoch
from daskals.training.outcome import TrainedFactors
from daskals.training.prior.half_step import load_prior
from daskals.training.problem import Problem
from daskals.training.rating_units import record_as_rated
from daskals.training.sums import Sums
from daskals.types import SIDES, TEST, FactorRows, Float64, Int64, Side

STATE_SWEEPS = 20
"""Sweeps after which the state is taken home at the latest."""

CHECKPOINT_SWEEPS = 20
"""Sweeps that count as an epoch of --checkpoint-every: a state holds every sample so far."""


Until = Callable[[Sequence[EpochFinished]], bool]
"""Tells from a history, some of whose sweeps have a validation error, whether a chain has gone far enough."""


class Alone(NamedTuple):
    """One of several chains: its seed, its sweeps, its mean of 1/α, and the RMSE of its mean prediction."""

    seed: int
    history: tuple[EpochFinished, ...]
    noise_variance: float
    rmse: float | None


@dataclass(frozen=True)
class Posterior:
    """What a chain leaves.

    Attributes
    ----------
    trained
        The run as any training leaves it, but for rows, weights and error sums: the rows are those of the
        last sweep, and the rest is empty. What stands for the samples is for whoever summarises them.
    samples, noise_variance
        The kept samples, oldest first; mean of 1/α over the sweeps after the burn-in.
    predictive
        Figures of the whole chain on the test ratings, None without any.
    ends
        Of the rating scale, where ratings count as cut off there.
    unit
        What the chain measured ratings in, which samples are rounded in.
    chains
        Of several chains what each was alone, else none; then samples are theirs one after another, and
        the history and the figures of all.
    """

    trained: TrainedFactors
    samples: list[Sample]
    noise_variance: float
    predictive: PredictiveFigures | None
    ends: Ends | None
    unit: float
    chains: tuple[Alone, ...] = ()


class GibbsStep:
    """The posterior of one configuration, by sweeps; a `loop.Step`.

    `ends` are those of the rating scale as it is measured, where ratings are cut off there; `warm` is the
    short ALS that the chain starts from, None for a chain that goes on from a state; `ratings_memory` is as
    for `AlsStep`. Predictions of the part `judged`, TEST or VALIDATION, are added up. With `until`, their
    error is found at every state, and the chain ends where `until` says so of the history.
    """

    phase = "sample"
    state_every = STATE_SWEEPS
    tol = 0.0
    patience: int | None = None

    def __init__(
        self,
        problem: Problem,
        ends: Ends | None,
        warm: TrainedFactors | None,
        ratings_memory: int | None = None,
        judged: int = TEST,
        until: Until | None = None,
    ) -> None:
        config = problem.config
        self.epochs = config.sweeps
        self.checkpoint_epochs = CHECKPOINT_SWEEPS
        self._problem = problem
        self.is_small = problem.is_small
        self._rank = config.rank
        self._ends = ends
        self._warm = warm
        self._kept = kept_sweeps(config.sweeps, config.burn_in, config.keep_samples)
        self._plan = RatingsPlan(
            problem.store, problem.split, self._rank, problem.standard, problem.weighing, problem.timing
        )
        self._ratings: PlacedRatings
        self._ratings_memory = ratings_memory
        self._judged = judged
        self._until = until
        self._sides: dict[Side, SideChain] = {}

    def place(self, key: str, *, again: bool) -> None:
        """Load the ratings and features, and form what stays the same in all sweeps."""
        problem, cluster = self._problem, self._problem.cluster
        before = self._ratings if again else None
        self._ratings = self._plan.place(cluster, self._ratings_memory, key, before)
        for side, data in self._ratings.sides.items():
            spec = problem.features.get(side)
            features = None
            if spec is not None:
                features = load_prior(cluster, problem.store.path, data, spec, 0.0, key)
            self._sides[side] = prepare_side(cluster, data, features, key)
        if not again:
            self._ratings.wait(cluster)

    def share(self, other: GibbsStep) -> None:
        """Take the ratings and features as another chain placed them."""
        self._ratings, self._sides = other._ratings, other._sides

    def init(self, key: str) -> tuple[Chain, GibbsState]:
        """Take the short ALS as the state before the first sweep.

        Standardised rows start from fixed priors: the spread of the rows of a short ALS, where its ridge
        turned them to dust, holds the chain there for some sixty sweeps.
        """
        warm = self._warm
        assert warm is not None, "a chain starts from a short ALS or from a state"
        sigma = self._problem.standard.deviation
        rows: dict[Side, FactorRows] = {"user": warm.user_rows, "item": warm.item_rows}
        if self._problem.as_rated is None:
            priors: dict[Side, SidePrior] = {
                side: self._first_prior(side, rows[side], warm.weights.get(side), key) for side in SIDES
            }
        else:
            priors = {side: self._fixed_prior(side) for side in SIDES}
        if (timing := self._problem.timing) is not None:
            deviation = self._problem.rated.deviation / sigma
            rows["time"] = empty_rows(len(timing.bins), self._rank)
            priors["time"] = first_time_prior(self._rank, deviation, self._n_features("time"))
        # as training saw ratings, in no more digits than are the same in any unit
        error = float(np.float32((warm.history[-1].train_rmse or 0.0) / sigma))
        alpha = 1.0 / max(error**2, 1e-12)
        state = GibbsState((), rows, priors, alpha, [], None, 0.0)
        return self.hand_out(state, key), state

    def _first_prior(self, side: Side, rows: FactorRows, weights: Float64 | None, key: str) -> SidePrior:
        cluster, chain = self._problem.cluster, self._sides[side]
        if weights is None:
            weights = np.zeros((self._n_features(side), self._rank + 1))
        started = scatter_rows(cluster, side, self._plan.starts[side], rows, f"{key}-warm")
        call = BlockCall(
            start_moments, chain.own, lambda share: (started.near(share.worker), weights, self._rank)
        )
        folded = submit_fold(
            cluster, add_moments, call, key=f"start-{side}-moments-{key}", name=f"start-{side}-prior-{key}"
        )
        return start_prior(cluster.result(folded), weights, Hyperprior())

    def _fixed_prior(self, side: Side) -> SidePrior:
        return fixed_prior(self._rank, self._n_features(side))

    def _n_features(self, side: Side) -> int:
        features = self._sides[side].features
        return 0 if features is None else features.spec.n_features

    def hand_out(self, state: GibbsState, key: str) -> Chain:
        """Put a state on the cluster."""
        return hand_out_chain(self._problem.cluster, state, self._plan.starts, self._test_cuts, key)

    def submit(self, position: Chain, epoch: Epoch) -> Chain:
        """Start a sweep, and after the burn-in the predictions of the test ratings."""
        problem, sweep = self._problem, epoch.number - 1
        test = self._ratings.test if self._judged == TEST else self._ratings.validation
        key = epoch.key
        config, cluster = problem.config, problem.cluster
        spec = SweepSpec(
            rank=self._rank,
            mean=problem.mean,
            seed=config.seed,
            sweep=sweep,
            hyperprior=Hyperprior(),
            ends=self._ends,
            deviation=problem.rated.deviation / problem.standard.deviation,
            unprojected=frozenset(side for side, chain in self._sides.items() if not chain.from_moments),
            calendar=None if problem.timing is None else problem.timing.calendar,
        )
        chain = submit_sweep(cluster, self._sides, position, spec, problem.total_weight, key)
        if test is None or sweep < config.burn_in:
            return chain
        return replace(chain, tallies=submit_tallies(cluster, test, chain, spec, key))

    def finish(self, position: Chain, state: GibbsState, epoch: Epoch, started: float) -> GibbsState:
        """Await a sweep; add its record, its noise, and the sample where one is kept."""
        problem, cluster, sweep = self._problem, self._problem.cluster, epoch.number - 1
        alpha = float(cluster.result(position.alpha))
        low, high = problem.limits
        check_alpha(alpha, max(high - low, 1e-6), sweep + 1)
        assert position.sums is not None, "a sweep that was submitted has sums"
        sums: Sums = cluster.result(position.sums)
        seconds = time.perf_counter() - started
        noise_total = state.noise_total + (1.0 / alpha if sweep >= problem.config.burn_in else 0.0)
        until = self._until if epoch.number % STATE_SWEEPS == 0 else None
        figures = None if until is None else self._present_figures(position, epoch.number, noise_total)
        record = EpochFinished(
            epoch=sweep + 1,
            epochs=self.epochs,
            objective=0.5 * sums.objective(alpha),
            train_rmse=math.sqrt(max(sums.last.sse, 0.0) / problem.total_weight),
            validation_rmse=None if figures is None else figures.rmse,
            test_rmse=self._monitored(position, epoch.number, noise_total),
            seconds=seconds,
            ratings_per_second=problem.split.n_train / seconds,
            noise_precision=alpha,
            eta={side: float(cluster.result(task)) for side, task in position.etas.items()} or None,
        )
        record = record_as_rated(record, problem.standard)
        if until is not None and until((*state.history, record)):
            self.epochs = epoch.number  # a repeated epoch has the same history, and ends the chain again
        samples = state.samples
        if sweep in self._kept:
            samples = [
                *samples,
                fetch_sample(cluster, position, problem.mean, self._rank, f"{epoch.key}-sample"),
            ]
        return replace(state, history=(*state.history, record), samples=samples, noise_total=noise_total)

    def _monitored(self, chain: Chain, done: int, noise_total: float) -> float | None:
        if not self._problem.config.monitor_test:
            return None
        figures = self._present_figures(chain, done, noise_total)
        return None if figures is None else figures.rmse

    def _present_figures(self, chain: Chain, done: int, noise_total: float) -> PredictiveFigures | None:
        n = done - self._problem.config.burn_in
        return self.figures(fetch_tally(self._problem.cluster, chain), n, noise_total)

    def figures(self, tally: Tally | None, n: int, noise_total: float) -> PredictiveFigures | None:
        """Compare predictions added up over n sweeps with the ratings, as they are measured."""
        if tally is None:
            return None
        return predictive_figures(self._test_ratings, tally, n, noise_total / n, self._ends)

    def take_home(self, position: Chain, state: GibbsState, key: str) -> GibbsState:
        """Fetch what the next sweep depends on."""
        return take_chain_home(self._problem.cluster, position, state, key)

    def conclude(self, end: End[Chain, GibbsState]) -> Posterior:
        """Return samples and figures."""
        state, n = end.state, self.epochs - self._problem.config.burn_in
        trained = TrainedFactors(
            user_rows=state.rows["user"],
            item_rows=state.rows["item"],
            spec=self._problem.solve_spec(),
            history=state.history,
            train=NO_ERRORS,
            validation=NO_ERRORS,
            test=NO_ERRORS,
        )
        store, standard = self._problem.store, self._problem.standard
        noise_variance = state.noise_total / n
        predictive = self.figures(state.tally, n, state.noise_total)
        return Posterior(
            trained,
            [sample.as_rated(standard) for sample in state.samples],
            noise_variance * standard.deviation**2,
            None if predictive is None else predictive.as_rated(standard.deviation),
            None if self._ends is None else ends_of(store.scale, rating_limits(store)),
            standard.deviation,
        )

    @cached_property
    def _test_blocks(self) -> list[Float64]:
        problem, found = self._problem, []
        n = problem.split.n_test if self._judged == TEST else problem.split.n_validation
        for start, stop in self._plan.ranges["user"] if n else ():
            source = BlockSource(
                problem.store.path, "user", (start, stop), problem.split.key, self._judged, problem.standard
            )
            values = source.read().ratings
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
