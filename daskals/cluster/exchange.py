"""How factors reach the workers: as results of tasks, from worker to worker.

A generation is one side's factors after one half-step. A worker's one task writes the rows of its blocks into
those that the other side's blocks read. Where there are several workers each then gathers the parts of the
others into these rows: through the network, or on one machine from memory that they share (`solved_part`).
Nothing passes through the client, and nothing is scattered but a state that the client keeps: scattered data
cannot be recomputed when the worker that holds them dies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from daskals.cluster.kept_rows import large_rows
from daskals.cluster.parts import BlockCall, Prepare, over_blocks
from daskals.cluster.shared_memory import SharedFile
from daskals.cluster.solved_part import SolvedBlock, SolvedPart
from daskals.cluster.workers import Cluster, Share, Task
from daskals.types import BlockStats, FactorRows, RatingsBlock, Side


class Additive(Protocol):
    """What blocks leave beside their rows, to be added up in block order."""

    def plus(self, other: Self) -> Self:
        """Return the sum."""


class Slab(NamedTuple):
    """Factor rows of one block, from row `start` of its side, with what they add to the objective.

    `moments` is what else a block leaves to be added up, if anything.
    """

    start: int
    rows: FactorRows
    stats: BlockStats
    moments: Any = None


class Gathered(NamedTuple):
    """All factor rows of one side, and the sums of their blocks' statistics and moments."""

    rows: FactorRows
    stats: BlockStats
    moments: Any = None

    def of(self, block: RatingsBlock) -> FactorRows:
        """Return the rows of a block of this side, a view, float32, shape (rows of the block, stride)."""
        return self.rows[block.start : block.start + block.n_rows]


@dataclass(frozen=True)
class Generation:
    """One side's factors on the cluster.

    Attributes
    ----------
    side
        Whose.
    replicas
        The gathered rows, with the sums of what their blocks left, by the worker that they were gathered for.
    prior
        W of the side's features, where it has some.
    """

    side: Side
    replicas: dict[str, Task]
    prior: Task | None = None

    @property
    def gathered(self) -> Task:
        """The gathered rows, wherever they are."""
        return next(iter(self.replicas.values()))

    def near(self, worker: str) -> Task:
        """Return the gathered rows of a worker, or any where it has none."""
        return self.replicas.get(worker) or self.gathered


class Around(NamedTuple):
    """What a side's ratings are of: the rows that a block's `indices` name, and its `thirds` if any."""

    other: Generation
    third: Generation | None = None

    def third_near(self, worker: str) -> Task | None:
        """Return the rows of `third` as `Generation.near` does."""
        return None if self.third is None else self.third.near(worker)


class Factors(NamedTuple):
    """All sides' factors on the cluster; `times` of a third side, if there is one."""

    users: Generation
    items: Generation
    times: Generation | None = None

    @property
    def generations(self) -> tuple[Generation, ...]:
        """The sides there are, in the order in which they are solved."""
        return (self.users, self.items) if self.times is None else (self.users, self.items, self.times)

    def of(self, side: Side) -> Generation:
        """Return a side's."""
        return next(generation for generation in self.generations if generation.side == side)

    def around(self, side: Side) -> Around:
        """Return what the ratings of a side are of."""
        if side == "time":
            return Around(self.users, self.items)
        return Around(self.items if side == "user" else self.users, self.times)

    def put(self, solved: Generation) -> Factors:
        """Return the factors with one side's as it was solved now."""
        names: dict[Side, str] = {"user": "users", "item": "items", "time": "times"}
        return self._replace(**{names[solved.side]: solved})


class Whole(NamedTuple):
    """A side whose rows are solved: which, and the shape of its factor rows."""

    side: Side
    n_rows: int
    stride: int


def submit_slabs(
    cluster: Cluster,
    whole: Whole,
    call: BlockCall,
    *,
    key: str,
    name: str,
    shares: Sequence[Share] | None = None,
) -> Generation:
    """Start the solves of all blocks of a side and their gathering; return the factors, still to come.

    Parameters
    ----------
    cluster, whole
        Where the tasks run, and whose rows they solve.
    call
        What solves a block, and returns its `Slab`.
    key, name
        What tells these tasks from others of their kind; what the dashboard calls the solves.
    shares
        Who runs which blocks, if that is settled.
    """
    shares = cluster.shares(len(call.own)) if shares is None else shares
    call = call._replace(side=whole.side)
    if len(shares) > 1:
        solve = share_part if cluster.shares_memory else solve_part
        parts = [
            cluster.submit(solve, whole, *call.arguments(share), key=f"{name}-{key}-{n}", worker=share.worker)
            for n, share in enumerate(shares)
        ]
        return gather(cluster, whole.side, parts, key)
    (share,) = shares
    arguments = call.arguments(share)
    rows = cluster.submit(solve_whole, whole, *arguments, key=f"{name}-{key}-0", worker=share.worker)
    return Generation(whole.side, {share.worker: rows})


def gather(cluster: Cluster, side: Side, parts: Sequence[Task], key: str) -> Generation:
    """Gather the parts of a side on every worker that blocks live on."""
    replicas = {
        worker: cluster.submit(gather_parts, list(parts), key=f"gather-{side}s-{key}-{number}", worker=worker)
        for number, worker in enumerate(cluster.homes)
    }
    return Generation(side, replicas)


def solve_part(
    whole: Whole,
    solve: Callable[..., Slab],
    side: Side | None,
    own: Sequence[Sequence[Any]],
    numbers: Sequence[int],
    shared: Sequence[Any],
    prepare: Prepare | None = None,
    *,
    file: SharedFile | None = None,
) -> SolvedPart:
    """Solve blocks of a side; whichever thread solves one puts it into the side's rows.

    Parameters
    ----------
    whole
        The side.
    solve, side, own, numbers, shared, prepare
        As `parts.run_part` takes them.
    file
        Where the rows are written down too, for other workers of this machine.

    Raises
    ------
    RowError
        If a row cannot be solved; it knows its side.
    """
    rows = large_rows(whole.n_rows, whole.stride)
    given = shared if prepare is None else prepare(*shared)
    found: dict[int, SolvedBlock] = {}

    def run(place: int) -> None:
        slab = solve(*own[place], *given)
        start, stop = slab.start, slab.start + len(slab.rows)
        rows[start:stop] = slab.rows
        if file is not None:
            file.write(rows[start:stop], start * rows.strides[0])
        found[numbers[place]] = SolvedBlock(start, stop, slab.stats, slab.moments)

    over_blocks(run, numbers, side)
    blocks = tuple(found[number] for number in sorted(found))
    pieces = tuple(rows[block.start : block.stop] for block in blocks)
    kept = file if file is not None and file.is_complete else None
    return SolvedPart(blocks, whole.stride, pieces, kept, rows)


def share_part(whole: Whole, *arguments: Any) -> SolvedPart:
    """Solve a part as `solve_part` does, with a file that other workers of this machine read."""
    return solve_part(whole, *arguments, file=SharedFile.create())


def solve_whole(whole: Whole, *arguments: Any) -> Gathered:
    """Solve every block of a side, the `arguments` as `solve_part` has them; fold what they leave."""
    return gather_parts([solve_part(whole, *arguments)])


def gather_parts(parts: Sequence[SolvedPart]) -> Gathered:
    """Join the rows of all blocks where those of one part are, and fold what blocks leave in their order."""
    blocks = sorted((block for part in parts for block in part.blocks), key=lambda block: block.start)
    rows = next((part.whole for part in parts if part.whole is not None), None)
    if rows is None:
        rows = large_rows(blocks[-1].stop, parts[0].stride)
    for part in parts:
        part.fill(rows)
    sse = penalty = 0.0
    moments: Additive | None = None
    for block in blocks:
        sse += block.stats.sse
        penalty += block.stats.penalty
        moments = block.moments if moments is None else moments.plus(block.moments)
    return Gathered(rows, BlockStats(sse, penalty), moments)


def read_moments(gathered: Gathered) -> Any:
    """Return the moments alone."""
    return gathered.moments


def read_rows(gathered: Gathered) -> FactorRows:
    """Return the factor rows alone, float32, shape (rows, rank + 2)."""
    return gathered.rows


def scatter_rows(
    cluster: Cluster, side: Side, starts: Sequence[int], rows: FactorRows, key: str
) -> Generation:
    """Hand rows that this process holds to the cluster, cut into blocks where these live on several workers.

    Parameters
    ----------
    cluster, side
        Where the rows go, and whose they are.
    starts, rows
        First row of each block; float32, shape (rows, rank + 2).
    key
        Tells tasks apart.
    """
    nothing = BlockStats(0.0, 0.0)
    if len(homes := cluster.homes) == 1:
        whole = cluster.scatter([Gathered(rows, nothing)])[0]
        return Generation(side, {homes[0]: whole})
    bounds = zip(starts, [*starts[1:], len(rows)], strict=True)
    parts = [
        SolvedPart((SolvedBlock(start, stop, nothing),), rows.shape[1], (rows[start:stop],))
        for start, stop in bounds
    ]
    return gather(cluster, side, cluster.scatter(parts), f"{key}-restored")


def fetch_rows(cluster: Cluster, generation: Generation, key: str) -> FactorRows:
    """Bring a generation's factor rows to this process, float32, shape (rows, rank + 2)."""
    task = cluster.submit(read_rows, generation.gathered, key=f"fetch-{generation.side}s-{key}")
    return np.asarray(cluster.result(task), dtype=np.float32)
