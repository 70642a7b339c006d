"""RMSE of the test part: the measurement of `jobs.bench evaluate`."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData
from daskals.bench.own import KernelEpochs

NOTE = "of the initial factors: both must agree"


def run_daskals(data: BenchData, assignment: Assignment) -> Outcome:
    """Time the trainer's test RMSE, over its user blocks on a pool of threads."""
    with ThreadPoolExecutor(assignment.threads) as pool:
        epochs = KernelEpochs(data, assignment.config, pool)
        return _passes(epochs.test_rmse, assignment, f"{assignment.threads} threads")


def run_paper(data: BenchData, assignment: Assignment) -> Outcome:
    """Time the paper's parallel RMSE pass (section 4.6.3)."""
    from daskals.bench.paper import half_step_parallel, squared_error_parallel
    from daskals.bench.tiers import CompiledTier, Setting

    tier = CompiledTier(data, assignment, half_step_parallel, squared_error_parallel)
    setting = Setting(assignment.threads, 1)
    return _passes(lambda: tier.test_rmse(setting), assignment, f"Numba {assignment.threads}")


def _passes(rmse: Callable[[], float], assignment: Assignment, threads: str) -> Outcome:
    started = time.perf_counter()
    value = rmse()
    warm_up = time.perf_counter() - started
    laps = Laps()
    for _ in range(assignment.config.epochs):
        laps.run(rmse)
    return Outcome(
        seconds=laps.seconds,
        cpu_seconds=laps.cpu_seconds,
        test_rmse=value,
        threads=threads,
        warm_up_seconds=warm_up,
        note=NOTE,
    )
