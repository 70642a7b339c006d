"""Top-ten lists for everybody, what they have rated left out: the measurement of `jobs.bench topk`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil
import scipy.sparse

from daskals.bench.clock import Laps
from daskals.bench.contract import Assignment, Outcome
from daskals.bench.data import BenchData
from daskals.bench.memory import peak_memory_bytes, reset_peak
from daskals.bench.own import KernelEpochs
from daskals.kernels.scoring.topk import SeenItems, pack_items, top_items
from daskals.types import Float32

N = 10
USERS_A_TASK = 4096
USERS_A_PRODUCT = 512
TRAINING_EPOCHS = 2
"""Epochs before the measurement: how rarely a better item turns up depends on real factors."""


class _Factors:
    """Factors after a few epochs, and the ratings they are of."""

    def __init__(self, data: BenchData, assignment: Assignment, pool: ThreadPoolExecutor) -> None:
        epochs = KernelEpochs(data, assignment.config, pool)
        for _ in range(TRAINING_EPOCHS):
            epochs.epoch()
        rank = assignment.config.rank
        self.users: Float32 = np.ascontiguousarray(epochs.rows["user"][:, :rank])
        self.items: Float32 = np.ascontiguousarray(epochs.rows["item"][:, :rank])
        self.item_biases: Float32 = np.ascontiguousarray(epochs.rows["item"][:, rank + 1])
        self.data = data

    @property
    def n_pairs(self) -> int:
        """Users times items."""
        return len(self.users) * len(self.items)

    def seen(self, start: int, stop: int) -> SeenItems:
        """Return what a range of users has rated in training."""
        block = self.data.users
        first, last = int(block.indptr[start]), int(block.indptr[stop])
        return SeenItems(block.indptr[start : stop + 1] - first, block.indices[first:last])


def run_daskals(data: BenchData, assignment: Assignment) -> Outcome:
    """Time the fused kernel over tasks of users, packing of the items included."""
    with ThreadPoolExecutor(assignment.threads) as pool:
        factors = _Factors(data, assignment, pool)

        def select() -> Any:
            items = pack_items(factors.items, factors.item_biases)

            def task(start: int) -> Any:
                stop = min(start + USERS_A_TASK, len(factors.users))
                return top_items(items, factors.users[start:stop], N, factors.seen(start, stop))

            return list(pool.map(task, range(0, len(factors.users), USERS_A_TASK)))

        note = "scores and selects in register tiles, biases and all"
        return _measure(select, factors, assignment, f"{assignment.threads} threads", note)


def run_blas(data: BenchData, assignment: Assignment) -> Outcome:
    """Time the matrix product alone, a strip of users at a time, each thread with its own strip."""
    with ThreadPoolExecutor(assignment.threads) as pool:
        factors = _Factors(data, assignment, pool)
        items = np.ascontiguousarray(factors.items.T)

        def strips(worker: int) -> None:
            out = np.empty((USERS_A_PRODUCT, len(factors.items)), np.float32)
            step = USERS_A_PRODUCT * assignment.threads
            for start in range(worker * USERS_A_PRODUCT, len(factors.users), step):
                users = factors.users[start : start + USERS_A_PRODUCT]
                np.matmul(users, items, out=out[: len(users)])

        def multiply() -> Any:
            return list(pool.map(strips, range(assignment.threads)))

        note = "the product P·Qᵀ only: nothing is selected, nothing left out, no biases"
        return _measure(multiply, factors, assignment, f"{assignment.threads} threads, BLAS 1 each", note)


def run_implicit(data: BenchData, assignment: Assignment) -> Outcome:
    """Time implicit's `recommend` for all users in one call."""
    from implicit.cpu.als import AlternatingLeastSquares

    with ThreadPoolExecutor(assignment.threads) as pool:
        factors = _Factors(data, assignment, pool)
    model = AlternatingLeastSquares(
        factors=assignment.config.rank, dtype=np.float32, num_threads=assignment.threads
    )
    model.user_factors, model.item_factors = factors.users, factors.items
    block = data.users
    shape = (len(factors.users), len(factors.items))
    rated = scipy.sparse.csr_matrix(
        (np.ones(len(block.indices), np.float32), block.indices, block.indptr), shape=shape
    )
    everybody = np.arange(len(factors.users))

    def recommend() -> Any:
        return model.recommend(everybody, rated, N=N, filter_already_liked_items=True)

    note = "recommend() for all users in one call; it has no biases"
    return _measure(recommend, factors, assignment, f"{assignment.threads} threads, BLAS 1", note)


def _measure(
    select: Callable[[], Any], factors: _Factors, assignment: Assignment, threads: str, note: str
) -> Outcome:
    warm_up = Laps()
    warm_up.run(select)
    held = int(psutil.Process().memory_info().rss)
    reset_peak()
    laps = Laps()
    for _ in range(assignment.config.epochs):
        laps.run(select)
    peak = peak_memory_bytes()
    return Outcome(
        seconds=laps.seconds,
        cpu_seconds=laps.cpu_seconds,
        test_rmse=None,
        threads=threads,
        warm_up_seconds=warm_up.seconds[0],
        peak_memory_bytes=peak,
        note=note,
        extra={
            "n": N,
            "n_pairs": factors.n_pairs,
            "pairs_per_second": [factors.n_pairs / seconds for seconds in laps.seconds],
            "bytes_above_model": peak - held,
        },
    )
