"""The half-step: solve every row of one side against the other side's factors. One code for both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from daskals.cluster.exchange import Around, Gathered, Generation, Slab, Whole, submit_slabs
from daskals.cluster.parts import BlockCall
from daskals.cluster.workers import Cluster, Share, Task, worker_folder
from daskals.kernels.half_step.curvature import Curvature, side_curvature
from daskals.kernels.half_step.gradients import STEPS, Course, improve_by_gradients
from daskals.kernels.half_step.joined import cut_block, cut_rows, join_block
from daskals.kernels.half_step.slices import solve_slices
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.half_step.weighted import Weighting, solve_weighted
from daskals.kernels.scoring.score import score_block
from daskals.kernels.toolkit.layout import empty_rows, row_stride
from daskals.kernels.toolkit.random import STREAM_INIT_ITEM, STREAM_INIT_USER, fill_normals
from daskals.store.blocks import AnyBlock, BlockSource, block_of
from daskals.training.data.plan import BlockRange
from daskals.types import BlockStats, FactorRows, RatingsBlock, Ridge, Side

CLOSING_SWEEPS = 4
"""How much further than in an epoch rows are improved in the half-step that training closes with."""


@dataclass(frozen=True)
class SolveSpec:
    """What shapes a solve beside the ratings and the other side's factors.

    Attributes
    ----------
    rank, mean
        Number of factors, 0 for biases alone; the global mean μ that ratings are centred on.
    ridge
        Regularisation relative to λ.
    solver
        Factors and bias together; improved by slices of the factors or by conjugate gradients; or solved in
        turn (paper 1, Eq. 7-8).
    damping
        Step α in (0, 1] of paper 1's Eq. 5; below 1 for rank 0 only.
    threads
        Numba threads inside a block; they change nothing but the time.
    sweeps
        How far rows are improved by `blocks` and `gradients`: times all slices, or some steps.
    """

    rank: int
    mean: float
    ridge: Ridge
    solver: Literal["joint", "blocks", "gradients", "coordinate"]
    damping: float
    threads: int = 1
    sweeps: int = 1

    @property
    def needs_current(self) -> bool:
        """Whether a solve starts from the rows as they are."""
        return self.solver != "joint" or self.damping < 1

    @property
    def closing(self) -> SolveSpec:
        """How the last half-step is solved, whose rows are what fold-ins of the same ratings find."""
        improves = self.solver in ("blocks", "gradients")
        return replace(self, sweeps=CLOSING_SWEEPS) if improves else self


@dataclass(frozen=True)
class SideData:
    """The training ratings of one side.

    `side`: whose rows; `ranges`: rows of each block; `blocks`: a loading task for each block, re-creatable
    anywhere; tasks turn what it gives into ratings with `block_of`; `homes`: worker that each block was
    loaded on; `order`: blocks by their work, the most first.
    """

    side: Side
    ranges: tuple[BlockRange, ...]
    blocks: tuple[Task, ...]
    homes: tuple[str, ...]
    order: tuple[int, ...]

    def whole(self, rank: int) -> Whole:
        """Return what the factor rows of this side are."""
        return Whole(self.side, self.ranges[-1].stop, row_stride(rank))


@dataclass(frozen=True)
class HalfStep:
    """All rows of one side, solved for the other sides' factors."""

    data: SideData
    spec: SolveSpec

    def submit(self, cluster: Cluster, around: Around, current: Generation, key: str) -> Generation:
        """Start the solves of all blocks and their gathering; return the new factors, still to come."""
        spec, other = self.spec, around.other
        prepare = with_curvature if spec.solver == "gradients" else None

        def shared(share: Share) -> tuple[Any, ...]:
            near = current.near(share.worker) if spec.needs_current else None
            return other.near(share.worker), near, spec, around.third_near(share.worker)

        own = [(block,) for block in self.data.blocks]
        call = BlockCall(solve_slab, own, shared, self.data.order, prepare=prepare)
        return submit_slabs(
            cluster, self.data.whole(self.spec.rank), call, key=key, name=f"{self.data.side}-half-step"
        )


def load_side(
    cluster: Cluster,
    sources: Sequence[BlockSource],
    resident: Sequence[bool],
    order: Sequence[int],
    key: str,
    previous: SideData | None = None,
) -> SideData:
    """Start loading one side's training ratings.

    Parameters
    ----------
    cluster, sources
        Where to; the side's blocks.
    resident
        For each block, whether it stays in memory; else it is laid aside on its worker's disk.
    order, key
        Blocks by their work, the most first; makes the names of these tasks unique.
    previous
        The same data on the workers there were before: only blocks that have another home are loaded.
    """
    side = sources[0].side
    homes = tuple(cluster.home(number) for number in range(len(sources)))
    blocks: list[Task] = []
    for number, source in enumerate(sources):
        if previous is not None and previous.homes[number] == homes[number]:
            blocks.append(previous.blocks[number])
        else:
            blocks.append(submit_load(cluster, source, f"load-{side}s-{key}", number, stays=resident[number]))
    ranges = tuple(BlockRange(*source.rows) for source in sources)
    return SideData(side, ranges, tuple(blocks), homes, tuple(order))


def submit_load(cluster: Cluster, source: BlockSource, key: str, number: int, *, stays: bool) -> Task:
    """Start loading one block at its home, to stay in memory or to be laid aside.

    Parameters
    ----------
    cluster, source
        Where the block goes, and where it comes from.
    key, number
        Of the load, and of the block.
    stays
        Whether it stays in memory.
    """
    load = load_ratings if stays else put_ratings_aside
    return cluster.submit(load, source, key=f"{key}-{number}", block=number)


def load_ratings(source: BlockSource) -> RatingsBlock:
    """Read a block that stays in memory."""
    return source.read()


def put_ratings_aside(source: BlockSource) -> AnyBlock:
    """Lay a block on the disk of the worker that this runs on."""
    return source.put_aside(worker_folder())


def initialise(
    cluster: Cluster, data: SideData, rank: int, seed: int, deviation: float, key: str
) -> Generation:
    """Start one side with random factors, a function of (seed, side, row), and zero biases.

    Parameters
    ----------
    cluster, data
        Where the tasks run, and the side.
    rank
        Number of factors.
    seed, deviation
        Of the random factors.
    key
        Tells tasks apart.
    """
    own = [(data.side, bounds, rank, seed, deviation) for bounds in data.ranges]
    name = f"initialise-{data.side}s"
    return submit_slabs(cluster, data.whole(rank), BlockCall(random_slab, own), key=f"{key}-start", name=name)


def initialise_times(cluster: Cluster, data: SideData, rank: int, key: str) -> Generation:
    """Start a third side with zeros."""
    own = [(bounds, rank) for bounds in data.ranges]
    name = "initialise-times"
    return submit_slabs(cluster, data.whole(rank), BlockCall(zero_slab, own), key=f"{key}-start", name=name)


def random_slab(side: Side, bounds: BlockRange, rank: int, seed: int, deviation: float) -> Slab:
    """Draw the initial rows [start, stop) of a side: factors N(0, deviation²), biases 0.

    Parameters
    ----------
    side, bounds
        Whose rows, and which.
    rank
        Number of factors.
    seed, deviation
        Of the random factors.
    """
    start, stop = bounds
    stream = STREAM_INIT_USER if side == "user" else STREAM_INIT_ITEM
    rows = empty_rows(stop - start, rank)
    rows[:, :rank] = deviation * fill_normals(seed, stream, start, stop - start, rank)
    return Slab(start, rows, BlockStats(0.0, 0.0))


def zero_slab(bounds: BlockRange, rank: int) -> Slab:
    """Return the rows [start, stop) of times as they begin: zero, so that two sides begin as without them."""
    start, stop = bounds
    return Slab(start, empty_rows(stop - start, rank), BlockStats(0.0, 0.0))


def with_curvature(
    other: Gathered, current: Gathered | None, spec: SolveSpec, third: Gathered | None
) -> tuple[Any, ...]:
    """Return what `solve_slab` takes beside a block: what blocks share and the other side's curvature.

    Parameters
    ----------
    other, current, spec, third
        As `solve_slab` takes them.
    """
    return other, current, spec, third, side_curvature(other.rows, spec.rank, spec.ridge)


def solve_slab(
    block: AnyBlock,
    other: Gathered,
    current: Gathered | None,
    spec: SolveSpec,
    third: Gathered | None = None,
    curvature: Curvature | None = None,
) -> Slab:
    """Solve the rows of one block; what every half-step does.

    Parameters
    ----------
    block, other
        The rows' ratings; the other side.
    current, spec
        The side's rows as they are; what shapes the solve.
    third
        The third side, if there is one.
    curvature
        Of the other side, for `gradients`.
    """
    ratings = block_of(block)
    if third is None:
        present = None if current is None else current.of(ratings)
        return Slab(ratings.start, *_solved(ratings, other.rows, present, spec, curvature))
    if spec.solver == "joint" and spec.damping == 1 and ratings.weights is None:
        # rows of two sides are joined in registers: pieces, of which each costs as much as a block, are not
        # needed, but the sums are those of pieces, in which weighted ratings still go
        given: dict[str, Any] = {"rank": spec.rank, "mean": spec.mean, "ridge": spec.ridge}
        limits = cut_rows(ratings.indptr)
        solved = solve_rows(
            ratings, other.rows, threads=spec.threads, third=third.rows, limits=limits, **given
        )
        return Slab(ratings.start, *solved)
    rows, sse, penalty = empty_rows(ratings.n_rows, spec.rank), 0.0, 0.0
    for piece in cut_block(ratings):
        present = None if current is None else current.of(piece)
        here = slice(piece.start - ratings.start, piece.start - ratings.start + piece.n_rows)
        rows[here], stats = _solved(piece, other.rows, present, spec, curvature, third.rows)
        sse, penalty = sse + stats.sse, penalty + stats.penalty
    return Slab(ratings.start, rows, BlockStats(sse, penalty))


def _solved(
    block: RatingsBlock,
    other: FactorRows,
    present: FactorRows | None,
    spec: SolveSpec,
    curvature: Curvature | None,
    third: FactorRows | None = None,
) -> tuple[FactorRows, BlockStats]:
    if third is not None and (spec.damping < 1 or spec.solver in ("blocks", "gradients")):
        (block, other), third = join_block(block, other, third, spec.rank), None
    weighting = None if block.weights is None else Weighting(block.weights, block.row_weights)
    if curvature is not None and present is not None:
        return improve_by_gradients(
            block,
            other,
            present,
            curvature,
            rank=spec.rank,
            mean=spec.mean,
            ridge=spec.ridge,
            weighting=weighting,
            course=Course(STEPS * spec.sweeps),
            threads=spec.threads,
        )
    if spec.solver == "blocks" and present is not None:
        return solve_slices(
            block,
            other,
            present,
            rank=spec.rank,
            mean=spec.mean,
            ridge=spec.ridge,
            weighting=weighting,
            sweeps=spec.sweeps,
            threads=spec.threads,
        )
    if weighting is not None:
        return solve_weighted(
            block, other, weighting, rank=spec.rank, mean=spec.mean, ridge=spec.ridge, third=third
        )
    rows, stats = solve_rows(
        block,
        other,
        rank=spec.rank,
        mean=spec.mean,
        ridge=spec.ridge,
        solver="coordinate" if spec.solver == "coordinate" else "joint",
        current=present,
        threads=spec.threads,
        third=third,
    )
    if spec.damping < 1 and present is not None:
        return _damp(block, other, present, rows, spec)
    return rows, stats


def _damp(
    block: RatingsBlock, other: FactorRows, current: FactorRows, solved: FactorRows, spec: SolveSpec
) -> tuple[FactorRows, BlockStats]:
    """Go only part of the way, b ← (1 − α)b + αb* (paper 1, Eq. 5), for the bias model."""
    rows = solved.copy()
    bias = spec.rank + 1
    step = np.float32(spec.damping)
    rows[:, bias] = (1 - step) * current[:, bias] + step * solved[:, bias]
    errors = score_block(block, rows, other, rank=spec.rank, mean=spec.mean, limits=(-np.inf, np.inf))
    penalty = spec.ridge.bias * float(np.sum(np.square(rows[:, bias], dtype=np.float64)))
    return rows, BlockStats(errors.squared, penalty)
