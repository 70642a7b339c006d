"""Held-out error as a reduction over user blocks, in block order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from daskals.cluster import Cluster, Task
from daskals.exchange import Gathered, Generation, Slab
from daskals.kernels.score import NO_ERRORS, ErrorSums, score_block
from daskals.store.splits import load_block
from daskals.training.plan import BlockRange
from daskals.types import RatingsBlock


@dataclass(frozen=True)
class HeldOut:
    """The ratings of one held-out part on the cluster, cut as the user side is."""

    name: str
    blocks: tuple[Task, ...]


@dataclass(frozen=True)
class ErrorFigures:
    """Error over held-out ratings; RMSE and MAE as in the papers, unclipped, and the clipped RMSE."""

    n: int
    rmse: float
    rmse_clipped: float
    mae: float


def load_held_out(
    cluster: Cluster,
    source: tuple[str, str],
    part: tuple[str, int],
    ranges: Sequence[BlockRange],
    key: str,
) -> HeldOut:
    """Start loading one part; `source` is (store path, split key), `part` its name and code."""
    path, split = source
    name, code = part
    blocks = [
        cluster.submit(
            load_block,
            path,
            "user",
            start,
            stop,
            split,
            code,
            key=f"load-{name}-{key}-{number}",
            block=number,
        )
        for number, (start, stop) in enumerate(ranges)
    ]
    return HeldOut(name, tuple(blocks))


def submit_errors(
    cluster: Cluster,
    held_out: HeldOut,
    factors: tuple[Generation, Generation],
    model: tuple[int, float, tuple[float, float]],
    key: str,
) -> Task:
    """Start scoring a part with (user, item) factors; `model` is (rank, mean, rating limits)."""
    users, items = factors
    parts = [
        cluster.submit(
            score_slab,
            block,
            users.slabs[number],
            items.gathered,
            model,
            key=f"score-{held_out.name}-{key}-{number}",
            block=number,
        )
        for number, block in enumerate(held_out.blocks)
    ]
    return cluster.submit(fold_errors, parts, key=f"reduce-{held_out.name}-{key}")


def score_slab(
    block: RatingsBlock, users: Slab, items: Gathered, model: tuple[int, float, tuple[float, float]]
) -> ErrorSums:
    """Compare one user block's held-out ratings with the model."""
    rank, mean, limits = model
    return score_block(block, users.rows, items.rows, rank=rank, mean=mean, limits=limits)


def fold_errors(parts: Sequence[ErrorSums]) -> ErrorSums:
    """Add error sums up in block order."""
    total = NO_ERRORS
    for part in parts:
        total = total.plus(part)
    return total


def error_figures(sums: ErrorSums) -> ErrorFigures | None:
    """Turn sums into figures; None where there are no ratings."""
    if sums.n == 0:
        return None
    return ErrorFigures(
        sums.n,
        math.sqrt(sums.squared / sums.n),
        math.sqrt(sums.squared_clipped / sums.n),
        sums.absolute / sums.n,
    )
