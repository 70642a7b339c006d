"""Scaling of one thread or process to several: the measurement of `jobs.bench scaling`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

from daskals.bench.contract import Assignment
from daskals.bench.epoch import Result, measure
from daskals.bench.machine import measured_peak_gflops
from daskals.bench.systems import SYSTEMS

SERIES = (
    ("paper-jit-parallel", "threads"),
    ("daskals-kernel", "threads"),
    ("daskals-numba-parallel", "threads"),
    ("daskals-dask", "threads"),
    ("daskals-dask", "processes"),
)


class Step(NamedTuple):
    """One measurement of a series."""

    system: str
    unit: str
    n: int

    @property
    def name(self) -> str:
        """Its name in reports."""
        return f"{self.system} {self.unit}={self.n}"


def scaling_steps(threads: int) -> list[Step]:
    """Return every series at 1, 2, 4 … and finally `threads` threads or processes."""
    counts = [2**power for power in range(threads.bit_length()) if 2**power < threads] + [threads]
    return [Step(system, unit, count) for system, unit in SERIES for count in counts]


def measure_scaling(
    assignment: Assignment, shape: Mapping[str, int], on_start: Callable[[str], None] = lambda _: None
) -> list[Result]:
    """Measure every step; a result's `efficiency` is t₁/(n·tₙ) within its series."""
    results: list[Result] = []
    alone: dict[tuple[str, str], float | None] = {}
    peaks: dict[int, float] = {}
    for step in scaling_steps(assignment.threads):
        on_start(f"{step.name} …")
        if step.n not in peaks:
            peaks[step.n] = measured_peak_gflops(step.n)
        one = dataclasses.replace(
            assignment,
            system=step.system,
            threads=step.n,
            processes=step.n if step.unit == "processes" else 1,
        )
        result = measure(SYSTEMS[step.system], one, shape, peaks[step.n])
        seconds = result["seconds"]
        if step.n == 1:
            alone[step.system, step.unit] = seconds
        first = alone[step.system, step.unit]
        efficient = None if seconds is None or first is None else first / (step.n * seconds)
        count = {"count": step.n, "unit": step.unit, "efficiency": efficient}
        results.append({**result, "name": step.name, **count})
    return results
