"""The half-step of a side whose rows are drawn to F·W: W minimises the objective with the rows eliminated.

Eliminate every row (a map over blocks), add its part of W's equations up (a reduction in block order), solve
them, fill the rows in (a second map). Solving W for the present rows instead would crawl: the rows hold W
where they are (daskals/README.md, "Facts the code rests on").
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from daskals.cluster.exchange import Generation, gather
from daskals.cluster.workers import Cluster, Task
from daskals.kernels.prior.prior_system import WSystem, add_systems, lower_triangle
from daskals.kernels.toolkit.dense import solve_positive
from daskals.training.features import IMPLICIT, FeatureSpec, load_features
from daskals.training.half_step import SideData, SolveSpec
from daskals.training.prior.elimination import (
    EliminatedPart,
    eliminate_and_sum,
    eliminate_slab,
    fill_slab,
)
from daskals.training.prior.gradients import SolveContext, Weights, start_gradients, take_gradients
from daskals.types import BlockStats, Float64

MOST_DIRECT = 2048
"""Unknowns of W up to which its equations are formed and factorised; more go by conjugate gradients."""

PARTS_BYTES = 64e6
"""What the parts that one task of a reduction adds up may hold together."""


@dataclass(frozen=True)
class Prior:
    """What the rows of one side are drawn to.

    `blocks` are loading tasks for the features of each block, re-creatable anywhere; `eta` is the
    regularisation of W relative to λ.
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
        given: list[tuple[Any, ...]] = [
            (block, other.near(cluster.home(n)), self.spec) for n, block in enumerate(self.data.blocks)
        ]
        order = self._starting_order()
        eliminate: Callable[..., Any] = eliminate_slab
        arguments = given
        if self.prior.is_direct(self.spec.rank):
            eliminate = eliminate_and_sum
            arguments = [(self.prior.blocks[n], *own) for n, own in enumerate(given)]
        eliminated = cluster.map_blocks(eliminate, arguments, key=f"eliminate-{side}s-{key}", order=order)
        weights = self._solve(cluster, eliminated, current.prior, key)
        found = [(rows, self.prior.blocks[n], weights, *given[n]) for n, rows in enumerate(eliminated)]
        slabs = cluster.map_blocks(fill_slab, found, key=f"{side}-half-step-{key}", order=order)
        generation = gather(cluster, side, slabs, key)
        stats = cluster.submit(
            add_weights_penalty, generation.stats, weights, key=f"reduce-{side}-prior-{key}"
        )
        return replace(generation, stats=stats, prior=weights)

    def _starting_order(self) -> list[int]:
        """Order the blocks so that those whose rows take longest to sum and to fill are not waited for."""
        ranges = self.data.ranges
        return sorted(range(len(ranges)), key=lambda n: ranges[n].start - ranges[n].stop)

    def _solve(
        self,
        cluster: Cluster,
        eliminated: Sequence[Task],
        current: Task | None,
        key: str,
    ) -> Task:
        prior, side, size = self.prior, self.data.side, self.spec.rank + 1
        if prior.is_direct(self.spec.rank):
            fan_in = most_parts(prior.spec.n_features * size)
            few = sum_systems(cluster, eliminated, fan_in, f"sum-{side}-prior-{key}")
            return cluster.submit(solve_system, few, size, prior.eta, key=f"solve-{side}-prior-{key}")
        context = SolveContext(side, prior.eta, key)
        start = start_gradients(cluster, eliminated, prior.blocks, current, context)
        return cluster.submit(
            read_gradients,
            take_gradients(cluster, eliminated, prior.blocks, start, context),
            prior.eta,
            key=f"solve-{side}-prior-{key}",
        )


def load_prior(
    cluster: Cluster, store_path: str, data: SideData, spec: FeatureSpec, eta: float, key: str
) -> Prior:
    """Start loading the features of one side's blocks.

    Parameters
    ----------
    cluster, store_path
        Where the tasks run, and the store they read.
    data, spec
        The side's blocks, and its features.
    eta, key
        Regularisation of W relative to λ; tells tasks apart.
    """
    arguments = [(store_path, spec, *data.ranges[n], block) for n, block in enumerate(data.blocks)]
    blocks = cluster.map_blocks(load_features, arguments, key=f"load-{spec.side}-features-{key}")
    return Prior(spec, tuple(blocks), eta)


def most_parts(n_unknowns: int) -> int:
    """Return how many parts of W's equations one task of a reduction adds up."""
    return int(max(2, min(64, PARTS_BYTES // (2 * n_unknowns**2))))


def fold_in_order(
    cluster: Cluster,
    parts: Sequence[Task],
    add: Callable[[list[Any]], Any],
    fan_in: int,
    key: str,
) -> list[Task]:
    """Add parts up in their order, until so few are left for whoever needs their sum.

    The tree depends on the number of parts alone.

    Parameters
    ----------
    cluster, parts
        Where the tasks run, and the parts in order.
    add, fan_in
        Adds a list of them up; as many at a time.
    key
        Tells tasks apart.
    """
    few, level = list(parts), 0
    while len(few) > fan_in:
        few = [
            cluster.submit(add, few[first : first + fan_in], key=f"{key}-{level}-{first}")
            for first in range(0, len(few), fan_in)
        ]
        level += 1
    return few


def sum_systems(cluster: Cluster, parts: Sequence[Task], fan_in: int, key: str) -> list[Task]:
    """Start adding up what blocks add to W's equations; the tasks left give what `add_lists` adds.

    Systems are taken out where the blocks are, all of a worker's at once: the rows beside them are large.
    Where all blocks live on one worker that would be a step for nothing, while other threads wait for W.
    """
    if len(parts) <= fan_in and len(cluster.homes) == 1:
        return list(parts)
    groups = []
    for first in range(0, len(parts), fan_in):
        homes: dict[str, list[Task]] = {}
        for block, part in enumerate(parts[first : first + fan_in], first):
            homes.setdefault(cluster.home(block), []).append(part)
        groups.append(
            [
                cluster.submit(read_systems, own, key=f"{key}-read-{first}-{n}", worker=home)
                for n, (home, own) in enumerate(homes.items())
            ]
        )
    if len(groups) == 1:
        return groups[0]
    sums = [cluster.submit(add_lists, group, key=f"{key}-{n}") for n, group in enumerate(groups)]
    return fold_in_order(cluster, sums, add_lists, fan_in, key)


def read_systems(parts: list[EliminatedPart]) -> list[WSystem]:
    """Return what blocks add to W's equations, without their rows."""
    return [part.system for part in parts]


def add_lists(lists: Sequence[list[WSystem] | EliminatedPart]) -> list[WSystem]:
    """Add systems up in the order of their rows."""
    systems = ([found.system] if isinstance(found, EliminatedPart) else found for found in lists)
    return [add_systems(itertools.chain(*systems))]


def solve_system(lists: Sequence[list[WSystem] | EliminatedPart], size: int, eta: float) -> Weights:
    """Solve W's equations, the sum of all systems in the order of their rows; `size` is rank + 1."""
    (system,) = add_lists(lists)
    matrix = lower_triangle(system)
    matrix[np.diag_indices(len(matrix))] += eta
    values = solve_positive(matrix, system.right, "the system of the features' weights").reshape(-1, size)
    return Weights(values, eta * float(np.sum(np.square(values))))


def read_gradients(values: Float64, eta: float) -> Weights:
    """Take W, shape (features, rank + 1), from conjugate gradients."""
    return Weights(values, eta * float(np.sum(np.square(values))))


def add_weights_penalty(stats: BlockStats, weights: Weights) -> BlockStats:
    """Count η'‖W‖² to the penalty of the side it belongs to."""
    return BlockStats(stats.sse, stats.penalty + weights.penalty)
