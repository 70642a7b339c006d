"""Where an epoch's CPU seconds go: the measurement of `jobs.bench profile`.

The kernel's parts cannot be timed inside it: they take turns every few microseconds. So each is what is left
when the next smaller thing is taken off: an epoch through Dask, the block solver alone, its Gram sums alone.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment
from daskals.bench.data import BenchData
from daskals.bench.epoch import load_assigned
from daskals.bench.isolation import MeasurementError, run_isolated
from daskals.bench.own import KernelEpochs, run_dask
from daskals.bench.work import epoch_flops
from daskals.errors import DaskalsError
from daskals.kernels.half_step.batch import LANES, gram_batch, make_workspace
from daskals.kernels.half_step.block import BlockInput, BlockOutput, make_input, make_output
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.kernels.warm_up import timed_warm_up
from daskals.types import SIDES, FactorRows, RatingsBlock

if TYPE_CHECKING:
    from daskals.bench.run import Bench


LONGER = 3
"""Times the epochs of the longer of two runs through Dask: what they differ by is epochs alone."""


class Part(NamedTuple):
    """A part of an epoch.

    `cpu_seconds`: what it takes; `gflop`: useful arithmetic in it, None where there is none; `limit`: seconds
    that takes at the machine's peak.
    """

    name: str
    cpu_seconds: float
    gflop: float | None
    limit: float | None


@lru_cache
def _gram_kernel(rank: int) -> Callable[[BlockInput, BlockOutput], None]:
    """Return the kernel that forms a block's Gram matrices and leaves them where they are."""
    sum_batch = gram_batch(rank)

    @exact_jit
    def sum_block(block: BlockInput, output: BlockOutput) -> None:
        memory = make_workspace(rank, len(block.places))
        work, n_rows = unowned(memory), len(block.indptr) - 1
        for first in range(0, n_rows, LANES):
            sum_batch(unowned(block), work, first, min(LANES, n_rows - first), unowned(output))
        memory.positive[0] = 0  # memory is alive until here

    return sum_block


class GramEpochs(KernelEpochs):
    """What an epoch sums over the ratings, and nothing else: factors stay as they are."""

    def half_step(self, side: Any) -> None:
        """Form the Gram matrices of one side."""
        other = self.rows[SIDES[side == "user"]]
        list(self._pool.map(lambda block: self._sum(block, other), self.blocks[side]))

    def _sum(self, block: RatingsBlock, other: FactorRows) -> None:
        config = self.config
        given = make_input(block, other, config.rank, self.data.mean, config.ridge)
        _gram_kernel(config.rank)(given, make_output(given, solved=False))


def profile_epoch(assignment: dict[str, Any]) -> dict[str, float]:
    """Time an epoch and its parts in turn, in the process made for it; return CPU seconds by name."""
    asked = Assignment.from_json(assignment)
    data, config = load_assigned(asked), asked.config
    timed_warm_up(config.rank, len(data.users.scale))
    with ThreadPoolExecutor(asked.threads) as pool:
        sums, kernel = GramEpochs(data, config, pool), KernelEpochs(data, config, pool)
        sums.epoch()
        laps = {"sums": Laps(), "kernel": Laps()}
        for _ in range(config.epochs):
            laps["sums"].run(sums.epoch)
            laps["kernel"].run(kernel.epoch)
    found = {name: statistics.median(of.cpu_seconds) for name, of in laps.items()}
    return {**found, "dask": _through_dask(data, asked)}


def _through_dask(data: BenchData, asked: Assignment) -> float:
    """Return the CPU seconds of an epoch through Dask: what three times as many take longer."""
    took = []
    for times in (1, LONGER):
        config = asked.config.model_copy(update={"epochs": times * asked.config.epochs})
        started = time.process_time()
        run_dask(data, dataclasses.replace(asked, config=config))
        took.append(time.process_time() - started)
    return (took[1] - took[0]) / ((LONGER - 1) * asked.config.epochs)


def parts_of(found: dict[str, float], rank: int, shape: dict[str, int], peak_gflops: float) -> list[Part]:
    """Return the parts of an epoch.

    Parameters
    ----------
    found
        What `profile_epoch` returned.
    rank, shape
        Number of factors; `n_ratings` and `n_rows`, as `bench.work` takes them.
    peak_gflops
        What one thread of the machine can do, a second.
    """
    order = rank + 1
    sums = epoch_flops(order, shape["n_ratings"], 0) / 1e9
    solves = epoch_flops(order, 0, shape["n_rows"]) / 1e9
    return [
        Part("ratings read, Gram sums", found["sums"], sums, sums / peak_gflops),
        Part("solves, statistics, gathering", found["kernel"] - found["sums"], solves, solves / peak_gflops),
        Part("Dask: tasks and their way", found["dask"] - found["kernel"], None, None),
    ]


def measure_profile(bench: Bench) -> list[Part]:
    """Measure where an epoch of a benchmark's ratings spends its CPU seconds.

    Raises DaskalsError if the process fails.
    """
    bench.tell("sums, kernel and Dask, in turn …")
    threads, config = bench.config.n_threads, bench.config
    try:
        found: dict[str, float] = run_isolated(
            "daskals.bench.profile:profile_epoch",
            {"assignment": bench.assignment.to_json()},
            threads=threads,
        )
    except MeasurementError as error:
        raise DaskalsError(str(error), where="the profile's process") from None
    shape = {"n_ratings": bench.split.n_train, "n_rows": bench.store.n_users + bench.store.n_items}
    return parts_of(found, config.rank, shape, bench.machine["peak_gflops"] / threads)
