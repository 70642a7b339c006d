"""Threads inside a block: strips of equal work, segments of heavy rows, and Numba's threading layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numba
import numpy as np

from daskals.errors import ConfigError
from daskals.kernels.half_step.batch import SEGMENT_RATINGS
from daskals.types import Int64

HEAVY_RATINGS = 16 * SEGMENT_RATINGS
"""Rows with more ratings are summed by several threads, in the segments that any row's sums are made of."""


def heavy_segments(indptr: Int64) -> Int64:
    """Return row, first and stop rating of each segment of the heavy rows, shape (segments, 3)."""
    segments = [
        (row, start, min(start + SEGMENT_RATINGS, int(indptr[row + 1])))
        for row in np.flatnonzero(np.diff(indptr) > HEAVY_RATINGS)
        for start in range(int(indptr[row]), int(indptr[row + 1]), SEGMENT_RATINGS)
    ]
    return np.array(segments, np.int64).reshape(-1, 3)


def work_cuts(indptr: Int64, rank: int, threads: int) -> Int64:
    """Return where to cut a block's rows into strips of equal work, one a thread: shape (threads + 1,).

    A rating costs about (rank + 2)² multiplications, a row (rank + 2)³/3; heavy rows count as one segment.
    """
    size = rank + 2
    ratings = np.diff(indptr)
    light = np.where(ratings > HEAVY_RATINGS, SEGMENT_RATINGS, ratings)
    work = np.concatenate([[0.0], np.cumsum(light * float(size**2) + size**3 / 3)])
    cuts = np.searchsorted(work, np.linspace(0.0, work[-1], threads + 1)).astype(np.int64)
    cuts[0], cuts[-1] = 0, len(ratings)
    return cuts


def run_strips(solve: Callable[[int, int], None], indptr: Int64, rank: int, threads: int) -> None:
    """Solve the rows first, …, stop − 1 of a block, by a kernel that lets others run, on some threads.

    Parameters
    ----------
    solve
        Called with first and stop.
    indptr, rank
        Where the rows' ratings start, shape (rows + 1,); number of factors.
    threads
        How many; one strip of rows each.
    """
    if threads == 1:
        solve(0, len(indptr) - 1)
        return
    cuts = work_cuts(indptr, rank, threads).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(solve, cuts[:-1], cuts[1:]))


@contextmanager
def numba_threads(threads: int) -> Iterator[None]:
    """Let Numba use that many threads inside, on a layer that is safe to enter from several threads.

    Raises ConfigError if Numba has fewer threads, or no layer but `workqueue`, which aborts the process when
    two threads enter it.
    """
    if threads == 1:
        yield
        return
    if threads > numba.config.NUMBA_NUM_THREADS:
        raise ConfigError(
            f"{threads} threads inside a block",
            expected=f"at most the {numba.config.NUMBA_NUM_THREADS} that Numba was started with",
            remedy="Set NUMBA_NUM_THREADS before the process starts",
        )
    if threading_layer() not in ("omp", "tbb"):
        raise ConfigError(
            "Numba has no threading layer that several threads may enter",
            expected="the layer omp or tbb",
            remedy="Install tbb or OpenMP, unset NUMBA_THREADING_LAYER, or use one thread inside a block",
        )
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def threading_layer() -> str:
    """Return the threading layer of this process, choosing a safe one if none is in use yet.

    Without one it is the name of what there is: the layer asked for, or `workqueue`.
    """
    try:
        return str(numba.threading_layer())
    except ValueError:
        pass  # nothing parallel has run yet
    if numba.config.THREADING_LAYER == "default":
        numba.config.THREADING_LAYER = "threadsafe"
    try:
        _start_threads()
    except ValueError:
        return "workqueue"
    return str(numba.threading_layer())


def _start_threads() -> None:
    """Make Numba load its threading layer, which it otherwise does in the first parallel kernel."""
    numba.np.ufunc.parallel._launch_threads()
