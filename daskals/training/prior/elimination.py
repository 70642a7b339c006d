"""A block's rows eliminated from W's equations and filled in again: the tasks of a half-step with features.

Between the two the eliminated rows stay where the block's ratings are, in memory or on the worker's disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from daskals.cluster.exchange import Gathered, Slab
from daskals.cluster.workers import worker_folder
from daskals.kernels.prior.eliminate import eliminate_rows
from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.prior.fill import fill_rows
from daskals.kernels.prior.pattern_sums import PatternSums, start_sums
from daskals.kernels.prior.prior_system import WSystem, sum_system
from daskals.model.implicit import ImplicitSpec
from daskals.store.blocks import AnyBlock, BlockSource, block_of
from daskals.store.scratch import OnDisk, lay_aside
from daskals.training.half_step import SolveSpec
from daskals.training.prior.gradients import Weights
from daskals.types import Float64

AnySpec: TypeAlias = SolveSpec | ImplicitSpec
"""What shapes the solve of a block of ratings, or of observations."""


class EliminatedPart(NamedTuple):
    """One block's eliminated rows, and what they add to W's equations.

    `rows`: in memory, aside on the worker's disk, or None: to be made anew; `system`: their part of W's
    equations.
    """

    rows: Eliminated | OnDisk[Eliminated] | None
    system: WSystem


def eliminate_slab(
    block: AnyBlock,
    other: Gathered,
    spec: AnySpec,
    gram: Float64 | None = None,
    third: Gathered | None = None,
    sums: PatternSums | None = None,
) -> Eliminated:
    """Eliminate the rows of one block.

    Parameters
    ----------
    block, other
        The ratings; the other side's rows.
    spec
        What shapes the solve.
    gram
        Of implicit feedback: `side_gram` of the other side, float64, shape (rank, rank).
    third
        The third side's rows, if there is one.
    sums
        What the rows with inverses are added to, if anything.
    """
    if isinstance(spec, ImplicitSpec):
        assert gram is not None, "rows of implicit feedback share a matrix"
        return spec.eliminate(block_of(block), other.rows, gram, sums)
    further = None if third is None else third.rows
    return eliminate_rows(
        block_of(block),
        other.rows,
        rank=spec.rank,
        mean=spec.mean,
        ridge=spec.ridge,
        third=further,
        sums=sums,
    )


def eliminate_and_sum(
    features: FeatureRows,
    block: AnyBlock,
    other: Gathered,
    spec: AnySpec,
    gram: Float64 | None = None,
    third: Gathered | None = None,
) -> EliminatedPart:
    """Eliminate the rows of a block, sum what they add to W's equations, and keep them where its ratings are.

    Eliminated rows take up to K²/2 numbers each: where memory has no room for the ratings, they are laid
    aside as well, and where the disk has none, they are made anew when they are filled in.

    Parameters
    ----------
    features
        F of these rows.
    block, other, spec, gram, third
        As `eliminate_slab` takes them, `gram` of shape (rank, rank).
    """
    sums = start_sums(features.patterns, spec.rank)
    rows = eliminate_slab(block, other, spec, gram, third, sums)
    system = sum_system(rows, features, sums)
    if isinstance(block, BlockSource):
        return EliminatedPart(None, system)
    kept = lay_aside(rows, worker_folder()) if isinstance(block, OnDisk) else rows
    return EliminatedPart(kept, system)


def eliminated_rows(
    found: Eliminated | EliminatedPart,
    block: AnyBlock,
    other: Gathered,
    spec: AnySpec,
    gram: Float64 | None = None,
    third: Gathered | None = None,
) -> Eliminated:
    """Return a block's eliminated rows, wherever they are.

    Parameters
    ----------
    found
        The rows, or what says where they are.
    block, other, spec, gram, third
        As `eliminate_slab` takes them, `gram` of shape (rank, rank).
    """
    kept = found.rows if isinstance(found, EliminatedPart) else found
    if isinstance(kept, OnDisk):
        return kept.read()
    return eliminate_slab(block, other, spec, gram, third) if kept is None else kept


def fill_slab(
    number: int,
    features: FeatureRows,
    block: AnyBlock,
    part: Mapping[int, Eliminated | EliminatedPart],
    weights: Weights,
    other: Gathered,
    spec: AnySpec,
    gram: Float64 | None = None,
    third: Gathered | None = None,
) -> Slab:
    """Finish the rows of one block; what ends a half-step with features.

    Parameters
    ----------
    number, features, block
        The block's, its rows' features, and its ratings.
    part, weights
        The eliminated rows of its worker's blocks by number, wherever they are; W as solved.
    other, spec, gram, third
        As `eliminate_slab` takes them, `gram` of shape (rank, rank).
    """
    block = block_of(block)
    rows = eliminated_rows(part[number], block, other, spec, gram, third)
    if isinstance(spec, ImplicitSpec):
        assert gram is not None, "rows of implicit feedback share a matrix"
        solved, stats = spec.fill(rows, features, weights.values, block, other.rows, gram)
        return Slab(block.start, solved, stats)
    further = None if third is None else third.rows
    solved, stats = fill_rows(
        rows, features, weights.values, block, other.rows, rank=spec.rank, mean=spec.mean, third=further
    )
    return Slab(block.start, solved, stats)
