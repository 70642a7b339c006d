"""Compile what a training run needs before the clock starts, or read it from the cache."""

from __future__ import annotations

import time

import numpy as np

from daskals.kernels.layout import empty_rows
from daskals.kernels.random import fill_normals
from daskals.kernels.rows import solve_rows
from daskals.kernels.score import score_block
from daskals.types import RatingsBlock, Ridge


def timed_warm_up(rank: int, scale_size: int) -> float:
    """Run every training kernel once on two ratings; return the seconds it took.

    `scale_size` is the number of distinct ratings, 0 for ratings stored as float32.
    """
    started = time.perf_counter()
    coded = scale_size > 0
    block = RatingsBlock(
        start=0,
        indptr=np.array([0, 1, 2]),
        indices=np.array([0, 1], np.int32),
        values=np.zeros(2, np.uint8) if coded else np.ones(2, np.float32),
        scale=np.ones(1, np.float32) if coded else np.empty(0, np.float32),
    )
    other = empty_rows(2, rank)
    other[:, :rank] = fill_normals(0, 0, 0, 2, rank)
    rows, _ = solve_rows(block, other, rank=rank, mean=0.0, ridge=Ridge(1.0, 1.0))
    score_block(block, rows, other, rank=rank, mean=0.0, limits=(0.0, 5.0))
    return time.perf_counter() - started
