"""Sweeps of the Gibbs sampler beside those of myFM: the measurement of `jobs.bench sweep`.

Both draw from the posterior of the same ratings at the same rank, with the same features of users and items,
in turns, in one process: a busy minute meets them alike. The models differ in their priors: myFM's weights
are independent, with a mean and a precision for each factor of a group, daskals' rows have a full covariance.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData
from daskals.bench.epoch import Result, load_assigned, result_of
from daskals.bench.isolation import MeasurementError, run_isolated
from daskals.bench.peers import MyFMSweeps
from daskals.bench.systems import SWEEPS
from daskals.cluster.connect import connect
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import DaskalsError
from daskals.training.events import Event, PhaseStarted
from daskals.training.features import resolve_model
from daskals.training.gibbs.sampler import GibbsSampler

if TYPE_CHECKING:
    from daskals.bench.run import Bench

TURNS = 3
"""Chains that each draws, in turn with the other."""


class Sampler(Protocol):
    """What draws sweeps."""

    def run(self, n_sweeps: int) -> Laps:
        """Begin a chain; return the times of its sweeps."""


class OwnSweeps:
    """Sweeps of daskals' sampler as `jobs.train` runs it; their seconds are those that its report tells.

    Parameters
    ----------
    data, config
        The ratings; rank, seed and the features of each side.
    threads
        Of its worker.
    """

    def __init__(self, data: BenchData, config: TrainConfig, threads: int = 1) -> None:
        self._data, self._config = data, config
        self._cluster = ClusterConfig(threads_per_worker=threads, dashboard_address=None)

    def run(self, n_sweeps: int) -> Laps:
        """Begin a chain; return the times of its sweeps, the CPU seconds of each in the mean of all."""
        update = {"sweeps": n_sweeps, "burn_in": n_sweeps - 1, "keep_samples": 1, "warm_start": 1}
        config = self._config.model_copy(update=update)
        marks: dict[str, float] = {}

        def mark(event: Event) -> None:
            if isinstance(event, PhaseStarted):
                marks[event.phase] = time.process_time()

        with connect(self._cluster) as cluster:
            posterior = GibbsSampler(cluster, self._data.store, self._data.split, config, [mark]).run()
        a_sweep = (marks["evaluate"] - marks["sample"]) / n_sweeps
        return Laps([record.seconds for record in posterior.trained.history], [a_sweep] * n_sweeps)


@dataclass
class Lane:
    """A sampler and the times of its sweeps."""

    name: str
    sampler: Sampler
    laps: Laps = field(default_factory=Laps)

    def run(self, n_sweeps: int) -> None:
        """Let it draw a chain."""
        found = self.sampler.run(n_sweeps)
        self.laps.seconds += found.seconds
        self.laps.cpu_seconds += found.cpu_seconds


def take_turns(lanes: list[Lane], n_sweeps: int) -> dict[str, Any]:
    """Let all draw `TURNS` chains of `n_sweeps` in turn; return the times of each by its name."""
    for _ in range(TURNS):
        for lane in lanes:
            lane.run(n_sweeps)
    return {lane.name: vars(lane.laps) for lane in lanes}


def race_samplers(assignment: dict[str, Any], *, peers: bool) -> dict[str, Any]:
    """Let the samplers take turns, in the process made for it.

    Parameters
    ----------
    assignment
        An `Assignment` as JSON; its epochs are the sweeps of a turn.
    peers
        Whether myFM runs as well.
    """
    asked = Assignment.from_json(assignment)
    data = load_assigned(asked)
    config = resolve_model(data.store, asked.config)
    lanes = [Lane("daskals-bayes", OwnSweeps(data, config, asked.threads))]
    if peers:
        lanes.append(Lane("myfm", MyFMSweeps(data, config)))
    return take_turns(lanes, config.epochs)


def measure_sweeps(bench: Bench, *, peers: bool) -> list[Result]:
    """Time a sweep, and one of myFM beside it.

    Parameters
    ----------
    bench
        The benchmark, opened.
    peers
        Whether myFM runs as well; it must be installed.

    Raises
    ------
    DaskalsError
        If the process fails.
    """
    bench.tell(f"{TURNS} × {bench.config.epochs} sweeps of each, in turn …")
    asked = {"assignment": bench.assignment.to_json(), "peers": peers}
    try:
        found = run_isolated("daskals.bench.sweeps:race_samplers", asked, threads=bench.config.n_threads)
    except MeasurementError as error:
        raise DaskalsError(str(error), where="the samplers' process") from None
    results = [_result(bench, name, Laps(**laps)) for name, laps in found.items()]
    reference = results[-1]["seconds"] if peers else None
    for one in results:
        one["times_as_fast"] = None if reference is None else reference / one["seconds"]
    return results


def _result(bench: Bench, name: str, laps: Laps) -> Result:
    threads = bench.config.n_threads if SWEEPS[name].group == "daskals" else 1
    told = f"{threads} thread{'s' if threads > 1 else ''}"
    outcome = Outcome(laps.seconds, None, told, laps.cpu_seconds, note="its seconds are a sweep's")
    shape = {"n_ratings": bench.split.n_train, "n_rows": bench.store.n_users + bench.store.n_items}
    return result_of(SWEEPS[name], lambda: outcome, shape, bench.machine["peak_gflops"])
