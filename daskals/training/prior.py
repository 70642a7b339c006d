"""The half-step of a side whose rows are drawn to F·W: W minimises the objective with the rows eliminated.

Eliminate every row (a map over blocks), add its part of W's equations up (a reduction in block order), solve
them, fill the rows in (a second map). Solving W for the present rows instead would crawl: the rows hold W
where they are (DESIGN, section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from daskals.cluster import Cluster, Task
from daskals.exchange import Gathered, Generation, Slab, publish
from daskals.kernels.dense import solve_positive
from daskals.kernels.eliminate import Eliminated, WSystem, eliminate_rows, fill_rows, sum_system
from daskals.kernels.features import FeatureRows
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.features import IMPLICIT, FeatureSpec, load_features
from daskals.training.gradients import Weights, start_gradients, take_gradients
from daskals.training.half_step import SideData, SolveSpec
from daskals.types import BlockStats, Float64

MOST_DIRECT = 2048
"""Unknowns of W up to which its equations are formed and factorised; more go by conjugate gradients."""

FAN_IN = 16
"""Parts that one task of a reduction adds up."""


@dataclass(frozen=True)
class Prior:
    """What the rows of one side are drawn to.

    Attributes
    ----------
    spec
        The features.
    blocks
        A loading task for the features of each block, re-creatable anywhere.
    eta
        Regularisation of W relative to λ.
    """

    spec: FeatureSpec
    blocks: tuple[Task, ...]
    eta: float

    def is_direct(self, rank: int) -> bool:
        """Whether W's equations are formed, or solved by products alone."""
        return IMPLICIT not in self.spec.columns and self.spec.n_features * (rank + 1) <= MOST_DIRECT


@dataclass(frozen=True)
class PriorHalfStep:
    """All rows of one side and the W they are drawn to, solved for the other side's factors."""

    data: SideData
    spec: SolveSpec
    prior: Prior

    def submit(self, cluster: Cluster, other: Generation, current: Generation, key: str) -> Generation:
        """Start the tasks of all blocks, the reduction to W, and the gathering; as `HalfStep.submit`."""
        side = self.data.side
        eliminated = [
            cluster.submit(
                eliminate_slab,
                *(block, other.near(cluster.home(n)), self.spec),
                key=f"eliminate-{side}s-{key}-{n}",
                block=n,
            )
            for n, block in enumerate(self.data.blocks)
        ]
        weights = self._solve(cluster, eliminated, current.prior, key)
        slabs = [
            cluster.submit(
                fill_slab,
                *(
                    eliminated[n],
                    self.prior.blocks[n],
                    weights,
                    block,
                    other.near(cluster.home(n)),
                    self.spec,
                ),
                key=f"{side}-half-step-{key}-{n}",
                block=n,
            )
            for n, block in enumerate(self.data.blocks)
        ]
        generation = publish(cluster, side, slabs, key)
        stats = cluster.submit(
            add_weights_penalty, generation.stats, weights, key=f"reduce-{side}-prior-{key}"
        )
        return replace(generation, stats=stats, prior=weights)

    def _solve(self, cluster: Cluster, eliminated: Sequence[Task], current: Task | None, key: str) -> Task:
        prior, side, size = self.prior, self.data.side, self.spec.rank + 1
        if prior.is_direct(self.spec.rank):
            parts = [
                cluster.submit(sum_system, rows, prior.blocks[n], key=f"sum-{side}-prior-{key}-{n}", block=n)
                for n, rows in enumerate(eliminated)
            ]
            total = fold_in_order(cluster, parts, add_systems, f"fold-{side}-prior-{key}")
            return cluster.submit(solve_system, total, size, prior.eta, key=f"solve-{side}-prior-{key}")
        start = start_gradients(cluster, eliminated, prior.blocks, current, (side, prior.eta, key))
        return cluster.submit(
            read_gradients,
            take_gradients(cluster, eliminated, prior.blocks, start, (side, prior.eta, key)),
            prior.eta,
            key=f"solve-{side}-prior-{key}",
        )


def load_prior(
    cluster: Cluster, store_path: str, data: SideData, spec: FeatureSpec, eta: float, key: str
) -> Prior:
    """Start loading the features of one side's blocks."""
    blocks = [
        cluster.submit(
            load_features,
            *(store_path, spec, start, stop, data.blocks[number]),
            key=f"load-{spec.side}-features-{key}-{number}",
            block=number,
        )
        for number, (start, stop) in enumerate(data.ranges)
    ]
    return Prior(spec, tuple(blocks), eta)


def fold_in_order(cluster: Cluster, parts: Sequence[Task], add: Callable[[list[Any]], Any], key: str) -> Task:
    """Add parts up in their order, a few at a time: a tree that depends on their number alone."""
    level = 0
    while len(parts) > 1 or level == 0:
        parts = [
            cluster.submit(add, list(parts[first : first + FAN_IN]), key=f"{key}-{level}-{first}")
            for first in range(0, len(parts), FAN_IN)
        ]
        level += 1
    return parts[0]


def eliminate_slab(block: AnyBlock, other: Gathered, spec: SolveSpec) -> Eliminated:
    """Eliminate the rows of one block."""
    return eliminate_rows(block_of(block), other.rows, rank=spec.rank, mean=spec.mean, ridge=spec.ridge)


def add_systems(parts: list[WSystem]) -> WSystem:
    """Add parts of W's equations up in block order."""
    total = WSystem(parts[0].matrix.copy(), parts[0].right.copy())
    for part in parts[1:]:
        np.add(total.matrix, part.matrix, out=total.matrix)
        np.add(total.right, part.right, out=total.right)
    return total


def solve_system(system: WSystem, size: int, eta: float) -> Weights:
    """Solve W's equations; `size` is rank + 1."""
    matrix = system.matrix.copy()
    matrix[np.diag_indices(len(matrix))] += eta
    values = solve_positive(matrix, system.right, "the system of the features' weights").reshape(-1, size)
    return Weights(values, eta * float(np.sum(np.square(values))))


def read_gradients(values: Float64, eta: float) -> Weights:
    """Take W from conjugate gradients."""
    return Weights(values, eta * float(np.sum(np.square(values))))


def fill_slab(
    eliminated: Eliminated,
    features: FeatureRows,
    weights: Weights,
    block: AnyBlock,
    other: Gathered,
    spec: SolveSpec,
) -> Slab:
    """Finish the rows of one block; the task that ends a half-step with features."""
    rows, stats = fill_rows(
        eliminated, features, weights.values, block_of(block), other.rows, rank=spec.rank, mean=spec.mean
    )
    return Slab(eliminated.start, rows, stats)


def add_weights_penalty(stats: BlockStats, weights: Weights) -> BlockStats:
    """Count η'‖W‖² to the penalty of the side it belongs to."""
    return BlockStats(stats.sse, stats.penalty + weights.penalty)
