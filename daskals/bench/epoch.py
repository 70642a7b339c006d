"""Epoch time of every system on the same data: the measurement of `jobs.bench epoch`."""

from __future__ import annotations

import dataclasses
import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from daskals.bench.contract import Assignment, NotApplicableError, Outcome
from daskals.bench.data import BenchData
from daskals.bench.isolation import MeasurementError, run_isolated
from daskals.bench.memory import peak_memory_bytes, reset_peak
from daskals.bench.systems import REFERENCES, System, find_system
from daskals.bench.work import epoch_flops
from daskals.cluster.allocator import share_heaps
from daskals.config import TrainConfig
from daskals.store.reader import open_store
from daskals.store.splits import Split

Result = dict[str, Any]

BEFORE = "before"
"""What a system of another build is called."""

FIGURES = (
    "seconds",
    "seconds_min",
    "all_seconds",
    "cpu_seconds",
    "ratings_per_second",
    "gflops",
    "share_of_peak",
    "bytes_moved",
    "peak_memory_bytes",
    "test_rmse",
    "warm_up_seconds",
    "setup_seconds",
    "threads",
)
"""Keys of every result beside name, group, status, note and extra; None where there is no such figure."""


def measure_systems(
    systems: Sequence[System],
    assignment: Assignment,
    shape: Mapping[str, int],
    peak_gflops: float,
    on_start: Callable[[str], None] = lambda _: None,
    against: Path | None = None,
) -> list[Result]:
    """Measure systems one after the other, each in a process of its own.

    Parameters
    ----------
    systems
        What to measure.
    assignment
        What each is asked; its `system` is filled in.
    shape
        `n_ratings`, those that a pass goes over, and `n_rows`, users and items together.
    peak_gflops, on_start
        The machine's peak at the assignment's threads; called with each name as its turn comes.
    against
        Folder of another build: each of daskals' own systems is measured there too, right after.
    """
    results = []
    for system in systems:
        on_start(f"{system.name} …")
        one = dataclasses.replace(assignment, system=system.name)
        results.append(measure(system, one, shape, peak_gflops))
        if against is not None and system.group == "daskals":
            on_start(f"{system.name}, {BEFORE} …")
            before = measure(system, one, shape, peak_gflops, against)
            results[-1]["times_before"] = _times(before, results[-1])
            results.append({**before, "name": f"{system.name}, {BEFORE}"})
    reference = next((result["seconds"] for result in results if result["name"] in REFERENCES), None)
    for result in results:
        comparable = reference is not None and result["seconds"] is not None
        result["times_as_fast"] = reference / result["seconds"] if comparable else None
    return results


def _times(slow: Result, fast: Result) -> float | None:
    """Return how many times as fast one is as the other, None where one has no figure."""
    known = slow["seconds"] is not None and fast["seconds"] is not None
    return slow["seconds"] / fast["seconds"] if known else None


def measure(
    system: System,
    assignment: Assignment,
    shape: Mapping[str, int],
    peak_gflops: float,
    build: Path | None = None,
) -> Result:
    """Measure one system, or say why it is absent or failed; see `measure_systems`.

    Parameters
    ----------
    system, assignment
        What to measure, and what it is asked.
    shape, peak_gflops
        As `measure_systems` takes them.
    build
        Folder of the daskals that runs it; this one unless given. It is told what differs from the defaults
        alone: it need not know every option.
    """
    asked = assignment.to_json()
    if build is not None:
        usual = TrainConfig().as_report()
        units = TrainConfig.parse(asked["config"]).taken_units  # goes by which options are named
        named = {name: value for name, value in asked["config"].items() if value != usual.get(name)}
        asked["config"] = {**named, "units": units}
    missing = system.missing()
    if missing is not None:
        return _without_figures(system, "absent", missing)

    def run() -> Outcome:
        answer = run_isolated(
            "daskals.bench.epoch:run_assignment",
            {"assignment": asked},
            threads=assignment.threads,
            build=build,
        )
        return Outcome(**answer)

    return result_of(system, run, shape, peak_gflops)


def result_of(
    system: System, run: Callable[[], Outcome], shape: Mapping[str, int], peak_gflops: float
) -> Result:
    """Call `run` and return its figures, or say why there are none."""
    try:
        return _with_figures(system, run(), shape, peak_gflops)
    except NotApplicableError as error:
        return _without_figures(system, "absent", str(error))
    except MeasurementError as error:
        return _without_figures(system, "failed", str(error))


def run_assignment(assignment: dict[str, Any]) -> dict[str, Any]:
    """Load the data and run one system, in the process made for it."""
    asked = Assignment.from_json(assignment)
    share_heaps()  # as a command's cluster does before it reads anything
    data = load_assigned(asked)
    run = find_system(asked.system).load()
    gc.collect()
    reset_peak()
    outcome = run(data, asked)
    if outcome.peak_memory_bytes is None:
        outcome = dataclasses.replace(outcome, peak_memory_bytes=peak_memory_bytes())
    return outcome.to_json()


def load_assigned(assignment: Assignment) -> BenchData:
    """Load the data that an assignment names."""
    store = open_store(assignment.store)
    return BenchData(store, Split(store, assignment.split))


def _without_figures(system: System, status: str, note: str) -> Result:
    figures: Result = dict.fromkeys(FIGURES)
    named = {"name": system.name, "group": system.group, "status": status}
    return {**named, **figures, "note": note, "extra": {}}


def _with_figures(system: System, outcome: Outcome, shape: Mapping[str, int], peak_gflops: float) -> Result:
    seconds = statistics.median(outcome.seconds)
    flops = None if outcome.order is None else epoch_flops(outcome.order, shape["n_ratings"], shape["n_rows"])
    gflops = None if flops is None else flops / seconds / 1e9
    figures: Result = {
        "seconds": seconds,
        "seconds_min": min(outcome.seconds),
        "all_seconds": outcome.seconds,
        "cpu_seconds": statistics.median(outcome.cpu_seconds) if outcome.cpu_seconds else None,
        "ratings_per_second": shape["n_ratings"] / seconds,
        "gflops": gflops,
        "share_of_peak": None if gflops is None else gflops / peak_gflops,
        "bytes_moved": outcome.bytes_moved,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "test_rmse": outcome.test_rmse,
        "warm_up_seconds": outcome.warm_up_seconds,
        "setup_seconds": outcome.setup_seconds,
        "threads": outcome.threads,
    }
    status = "extrapolated" if outcome.extra.get("extrapolated") else "measured"
    named = {"name": system.name, "group": system.group, "status": status}
    return {**named, **figures, "note": outcome.note, "extra": outcome.extra}
