"""Solvers at one rank, each to the same objective: the measurement of `jobs.bench solvers`.

An exact solve and one by blocks of factors do different work an epoch and come different ways in it, so that
seconds an epoch tell nothing: what counts is the time until the objective is where the exact form has it
after some epochs. All take their epochs in turn, in one process, so that a busy minute meets them alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment
from daskals.bench.data import BenchData, initial_factors
from daskals.bench.epoch import load_assigned
from daskals.bench.isolation import MeasurementError, run_isolated
from daskals.bench.own import KernelEpochs
from daskals.bench.systems import find_system
from daskals.cluster.exchange import Slab
from daskals.config import TrainConfig
from daskals.config.training import BLOCK_FACTORS
from daskals.errors import ConfigError, DaskalsError
from daskals.kernels.half_step.curvature import side_curvature
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.warm_up import timed_implicit_warm_up, timed_warm_up
from daskals.model.implicit import ImplicitSpec
from daskals.training.features import IMPLICIT_TAU
from daskals.types import SIDES, FactorRows, Float64, RatingsBlock, Side

if TYPE_CHECKING:
    from daskals.bench.run import Bench

WITHIN = 1e-3
"""How near to the goal counts as there."""

LONGEST = 3
"""Times the exact form's epochs that another may take."""

MOST_SECONDS = 300.0
"""Seconds of its own epochs after which a runner begins no other, so that every race ends."""

UNOBSERVED = 0.999
"""α₀ of the implicit race: the library implicit has 1, and observations must weigh more."""


class Runner(Protocol):
    """What takes epochs, and tells its objective after each."""

    @property
    def objective(self) -> float:
        """The objective."""

    def epoch(self) -> None:
        """Take one."""

    def test_rmse(self) -> float | None:
        """Return the test RMSE, None where no rating is predicted."""


class Reached(NamedTuple):
    """When a runner was at the goal: after how many epochs, seconds and CPU seconds, at which test RMSE."""

    epochs: int
    seconds: float
    cpu_seconds: float
    test_rmse: float | None


@dataclass
class Track:
    """A runner's epochs."""

    name: str
    runner: Runner
    laps: Laps = field(default_factory=Laps)
    objectives: list[float] = field(default_factory=list)
    errors: list[float | None] = field(default_factory=list)

    @property
    def may_go_on(self) -> bool:
        """Whether there is time for another epoch; there is for the first."""
        return not self.laps.seconds or sum(self.laps.seconds) < MOST_SECONDS

    def step(self) -> None:
        """Take an epoch and note what it left."""
        self.laps.run(self.runner.epoch)
        self.objectives.append(self.runner.objective)
        self.errors.append(self.runner.test_rmse())

    def reached(self, goal: float) -> Reached | None:
        """Return when the objective was within `WITHIN` of a goal, None if it never was."""
        for n, objective in enumerate(self.objectives, start=1):
            if objective <= goal * (1 + WITHIN):
                seconds, cpu = self.laps.seconds[:n], self.laps.cpu_seconds[:n]
                return Reached(n, sum(seconds), sum(cpu), self.errors[n - 1])
        return None

    def as_report(self, goal: float) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        reached = self.reached(goal)
        return {
            "name": self.name,
            "seconds": statistics.median(self.laps.seconds),
            "cpu_seconds": statistics.median(self.laps.cpu_seconds),
            "goal": goal,
            "objectives": self.objectives,
            "reached": None if reached is None else reached._asdict(),
        }


def race(tracks: Sequence[Track], epochs: int) -> list[dict[str, Any]]:
    """Let all take `epochs` in turn, and the others more until they are where the first was then.

    Who has taken `MOST_SECONDS` stops where it is, the first as well.

    Parameters
    ----------
    tracks
        Who runs; the first sets the goal.
    epochs
        Its epochs.
    """
    first, *others = tracks
    for _ in range(epochs):
        for track in tracks:
            if track.may_go_on:
                track.step()
    goal = first.objectives[-1]
    for track in others:
        while track.reached(goal) is None and len(track.objectives) < LONGEST * epochs and track.may_go_on:
            track.step()
    return [track.as_report(goal) for track in tracks]


class ImplicitEpochs(KernelEpochs):
    """Epochs of implicit feedback by the block solver alone, ratings taken for counts."""

    def __init__(self, data: BenchData, config: TrainConfig, pool: Executor) -> None:
        super().__init__(data, config, pool)
        self.spec = ImplicitSpec.of(config, 1.0)
        self._gram: Float64

    def _prepare(self, _side: Side, other: FactorRows) -> None:
        """Sum what all rows share."""
        spec = self.spec
        if self.config.taken_solver == "gradients":
            self._curvature = side_curvature(other, spec.rank, spec.ridge, biased=False)
        else:
            self._gram = side_gram(other, spec.rank)

    def test_rmse(self) -> None:  # type: ignore[override]
        """Return None: no rating is predicted."""

    def _solve(self, side: Side, block: RatingsBlock, other: FactorRows) -> Slab:
        own = self.rows[side][block.start : block.start + block.n_rows]
        if self._curvature is not None:
            return Slab(block.start, *self.spec.improve(block, other, self._curvature, own))
        current = own if self.config.taken_solver == "blocks" else None
        return Slab(block.start, *self.spec.solve(block, other, self._gram, current=current))


class LibraryEpochs:
    """Epochs of the library implicit for the same objective, by its three steps of gradients or exactly.

    Parameters
    ----------
    data, config
        The ratings; rank, ridge, weights and seed.
    threads
        Threads of a half-step.
    use_cg
        Whether by conjugate gradients; else by Cholesky.
    """

    def __init__(self, data: BenchData, config: TrainConfig, threads: int, *, use_cg: bool) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        self._spec, self._threads = ImplicitSpec.of(config, 1.0), threads
        users, shape = data.users, (data.users.n_rows, data.items.n_rows)
        # what weighs α₀ here weighs 1 there, and everything else by as much more
        weights = self._spec.confidences(users.ratings) / np.float32(config.unobserved_weight)
        self._ridge = config.tau / config.unobserved_weight
        self._users = scipy.sparse.csr_matrix((weights, users.indices, users.indptr), shape=shape)
        self._items = self._users.T.tocsr()
        self._rows = [initial_factors(data, side, config) for side in SIDES]
        self._solve = AlternatingLeastSquares(factors=config.rank, use_cg=use_cg).solver

    def epoch(self) -> None:
        """Solve the users, then the items."""
        p, q = self._rows
        self._solve(self._users, p, q, self._ridge, num_threads=self._threads)
        self._solve(self._items, q, p, self._ridge, num_threads=self._threads)

    @property
    def objective(self) -> float:
        """The objective as daskals has it."""
        p, q = (rows.astype(np.float64) for rows in self._rows)
        total = np.sum((p.T @ p) * (q.T @ q)) + self._ridge * (np.sum(p**2) + np.sum(q**2))
        seen, weights = self._users, self._users.data.astype(np.float64)
        for start in range(0, seen.shape[0], 1024):
            stop = min(start + 1024, seen.shape[0])
            own = slice(seen.indptr[start], seen.indptr[stop])
            rows = np.repeat(np.arange(start, stop), np.diff(seen.indptr[start : stop + 1]))
            scores = np.einsum("rk,rk->r", p[rows], q[seen.indices[own]])
            total += np.sum(weights[own] * (1 - scores) ** 2 - scores**2)
        return float(total * self._spec.unobserved)

    def test_rmse(self) -> float | None:
        """Return None: no rating is predicted."""
        return None


def race_solvers(assignment: dict[str, Any], *, implicit: bool, peers: bool) -> list[dict[str, Any]]:
    """Race the solvers at an assignment's rank, in the process made for it.

    Parameters
    ----------
    assignment
        An `Assignment` as JSON; its epochs are those that set the goal.
    implicit, peers
        Whether ratings are taken for counts; whether the library implicit runs, and sets the goal.
    """
    asked = Assignment.from_json(assignment)
    data, rank = load_assigned(asked), asked.config.rank
    changes: dict[str, Any] = {"model": "als"}
    if implicit:
        changes = {
            "model": "ials",
            "zeros": "unobserved",
            "unobserved_weight": UNOBSERVED,
            "tau": IMPLICIT_TAU,
        }
    warm_up, kind = (timed_implicit_warm_up, ImplicitEpochs) if implicit else (timed_warm_up, KernelEpochs)
    with ThreadPoolExecutor(asked.threads) as pool:
        tracks: list[Track] = []
        if peers:
            config = TrainConfig.from_report(asked.config.as_report(), **changes, solver="joint")
            for name, use_cg in (("implicit-cg", True), ("implicit-cholesky", False)):
                tracks.append(Track(name, LibraryEpochs(data, config, asked.threads, use_cg=use_cg)))
        for solver in ("joint", "gradients", "blocks") if rank >= BLOCK_FACTORS else ("joint", "gradients"):
            config = TrainConfig.from_report(asked.config.as_report(), **changes, solver=solver)
            warm_up(rank, len(data.users.scale), solver=solver)
            tracks.append(Track(solver, kind(data, config, pool)))
        return race(tracks, asked.config.epochs)


def measure_solvers(bench: Bench, *, implicit: bool, peers: bool) -> list[dict[str, Any]]:
    """Race the solvers on a benchmark's ratings; the first of the results set the goal.

    Parameters
    ----------
    bench
        The benchmark, opened.
    implicit, peers
        As `race_solvers` takes them.

    Raises
    ------
    ConfigError
        If the library implicit is asked for and not installed, or for ratings that are not counts.
    DaskalsError
        If the process fails.
    """
    if peers and not implicit:
        raise ConfigError("found --peers", expected="--implicit beside it: peers learn from counts alone")
    missing = find_system("implicit-cg").missing() if peers else None
    if missing is not None:
        raise ConfigError(f"implicit: {missing}", where="--peers", remedy="Install the extra [bench]")
    bench.tell(f"rank {bench.config.rank}: {bench.config.epochs} epochs of each, in turn …")
    asked = {"assignment": bench.assignment.to_json(), "implicit": implicit, "peers": peers}
    try:
        found: list[dict[str, Any]] = run_isolated(
            "daskals.bench.solvers:race_solvers", asked, threads=bench.config.n_threads
        )
    except MeasurementError as error:
        raise DaskalsError(str(error), where="the solvers' process") from None
    return found
