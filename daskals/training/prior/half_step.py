"""The half-step of a side whose rows are drawn to F·W: W minimises the objective with the rows eliminated.

Eliminate every row (a map over blocks), add its part of W's equations up (a reduction in block order), solve
them, fill the rows in (a second map). Solving W for the present rows instead would crawl: the rows hold W
where they are (daskals/README.md, "Facts the code rests on").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from daskals.cluster.exchange import Around, Generation, submit_slabs
from daskals.cluster.parts import BlockCall, Parts, submit_parts
from daskals.cluster.workers import Cluster, Share, Task
from daskals.kernels.prior.prior_system import WSystem, add_systems, lower_triangle
from daskals.kernels.toolkit.dense import solve_positive
from daskals.training.data.plan import most_rows_first
from daskals.training.features import IMPLICIT, FeatureSpec, load_features
from daskals.training.half_step import SideData
from daskals.training.prior.elimination import (
    AnySpec,
    EliminatedPart,
    eliminate_and_sum,
    eliminate_slab,
    fill_slab,
)
from daskals.training.prior.gradients import SolveContext, Weights, solve_by_gradients
from daskals.types import Float64

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
    """All rows of one side and the W they are drawn to, solved for the other sides' factors.

    `gram` is the task of what rows of implicit feedback share, `side_gram` of the other side.
    """

    data: SideData
    spec: AnySpec
    prior: Prior
    gram: Task | None = None

    def submit(self, cluster: Cluster, around: Around, current: Generation, key: str) -> Generation:
        """Start the tasks of all blocks, the reduction to W, and the gathering; as `HalfStep.submit`."""
        data, prior, side = self.data, self.prior, self.data.side
        shares, order = cluster.shares(len(data.blocks)), most_rows_first(data.order, data.ranges)

        def given(share: Share) -> tuple[Any, ...]:
            near = around.other.near(share.worker)
            return near, self.spec, self.gram, around.third_near(share.worker)

        eliminate = BlockCall(eliminate_slab, [(block,) for block in data.blocks], given, order, side)
        if prior.is_direct(self.spec.rank):
            own = list(zip(prior.blocks, data.blocks, strict=True))
            eliminate = eliminate._replace(function=eliminate_and_sum, own=own)
        eliminated = submit_parts(cluster, eliminate, key=f"eliminate-{side}s-{key}", shares=shares)
        weights = self._solve(cluster, eliminated, current.prior, key)

        def filled(share: Share) -> tuple[Any, ...]:
            return eliminated.of(share), weights, *given(share)

        numbered = [(n, prior.blocks[n], block) for n, block in enumerate(data.blocks)]
        fill = BlockCall(fill_slab, numbered, filled, order)
        whole, name = data.whole(self.spec.rank), f"{side}-half-step"
        generation = submit_slabs(cluster, whole, fill, key=key, name=name, shares=shares)
        return replace(generation, prior=weights)

    def _solve(self, cluster: Cluster, eliminated: Parts, current: Task | None, key: str) -> Task:
        prior, side, size = self.prior, self.data.side, self.spec.rank + 1
        name = f"solve-{side}-prior-{key}"
        if not prior.is_direct(self.spec.rank):
            values = solve_by_gradients(
                cluster, eliminated, prior.blocks, current, SolveContext(side, prior.eta, key)
            )
            return cluster.submit(read_gradients, values, prior.eta, key=name)
        fan_in = most_parts(prior.spec.n_features * size)
        few = sum_systems(cluster, eliminated, fan_in, f"sum-{side}-prior-{key}")
        return cluster.submit(solve_system, few, fan_in, size, prior.eta, key=name)


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


def fold_in_order(cluster: Cluster, sums: Sequence[Task], fan_in: int, key: str) -> list[Task]:
    """Add sums of systems up in their order, until so few are left for whoever needs the total.

    The tree depends on the number of blocks alone, and `add_lists` folds by the same.

    Parameters
    ----------
    cluster, sums
        Where the tasks run, and lists of one system each, in order.
    fan_in
        How many are added at a time.
    key
        Tells tasks apart.
    """
    few, level = list(sums), 0
    while len(few) > fan_in:
        few = [
            cluster.submit(add_lists, few[first : first + fan_in], fan_in, key=f"{key}-{level}-{first}")
            for first in range(0, len(few), fan_in)
        ]
        level += 1
    return few


def sum_systems(cluster: Cluster, parts: Parts, fan_in: int, key: str) -> list[Task]:
    """Start adding up what blocks add to W's equations; the tasks left give what `add_lists` adds.

    Systems are taken out where the blocks are, all of a worker's at once: the rows beside them are large.
    Where all blocks live on one worker that would be a step for nothing.
    """
    if len(parts.shares) == 1:
        return list(parts.tasks)
    n_blocks = sum(len(share.numbers) for share in parts.shares)
    groups = []
    for first in range(0, n_blocks, fan_in):
        group = range(first, first + fan_in)
        readers = [n for n, share in enumerate(parts.shares) if not set(group).isdisjoint(share.numbers)]
        groups.append(
            [
                cluster.submit(
                    read_systems,
                    parts.tasks[n],
                    *(group.start, group.stop),
                    key=f"{key}-read-{first}-{n}",
                    worker=parts.shares[n].worker,
                )
                for n in readers
            ]
        )
    if len(groups) == 1:
        return groups[0]
    sums = [cluster.submit(add_lists, group, fan_in, key=f"{key}-{n}") for n, group in enumerate(groups)]
    return fold_in_order(cluster, sums, fan_in, key)


def read_systems(part: Mapping[int, EliminatedPart], first: int, stop: int) -> list[WSystem]:
    """Return what blocks first, …, stop − 1 of a part add to W's equations, without their rows."""
    return [part[number].system for number in range(first, stop) if number in part]


def add_lists(lists: Sequence[list[WSystem] | Mapping[int, EliminatedPart]], fan_in: int) -> list[WSystem]:
    """Add systems up in the order of their rows, `fan_in` at a time as `fold_in_order` does."""
    systems: list[WSystem] = []
    for found in lists:
        systems += [part.system for part in found.values()] if isinstance(found, Mapping) else found
    systems.sort(key=lambda system: system.start)
    while len(systems) > 1:
        systems = [add_systems(systems[first : first + fan_in]) for first in range(0, len(systems), fan_in)]
    return systems


def solve_system(
    lists: Sequence[list[WSystem] | Mapping[int, EliminatedPart]], fan_in: int, size: int, eta: float
) -> Weights:
    """Solve W's equations, the sum of all systems in the order of their rows; `size` is rank + 1."""
    (system,) = add_lists(lists, fan_in)
    matrix = lower_triangle(system)
    matrix[np.diag_indices(len(matrix))] += eta
    values = solve_positive(matrix, system.right, "the system of the features' weights").reshape(-1, size)
    return Weights(values, eta * float(np.sum(np.square(values))))


def read_gradients(values: Float64, eta: float) -> Weights:
    """Take W, shape (features, rank + 1), from conjugate gradients."""
    return Weights(values, eta * float(np.sum(np.square(values))))
