"""Compilation ahead of what a training run needs, before the clock starts, or its reading from the cache."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from daskals.kernels.data.csr import compact_part
from daskals.kernels.half_step.added import added_by_rows
from daskals.kernels.half_step.curvature import side_curvature
from daskals.kernels.half_step.gradients import improve_by_gradients
from daskals.kernels.half_step.joined import join_block
from daskals.kernels.half_step.side_gram import side_gram
from daskals.kernels.half_step.slices import solve_slices
from daskals.kernels.half_step.solve_rows import solve_rows
from daskals.kernels.half_step.weighted import Weighting, solve_weighted
from daskals.kernels.prior.eliminate import eliminate_rows
from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.prior.fill import fill_rows
from daskals.kernels.prior.pattern_sums import start_sums
from daskals.kernels.prior.prior_system import lower_triangle, sum_system
from daskals.kernels.scoring.samples import BothSides, collect, project, sample_variances, stack_samples
from daskals.kernels.scoring.score import predict_block, predict_pairs, score_block
from daskals.kernels.toolkit.dense import solve_positive
from daskals.kernels.toolkit.layout import empty_rows
from daskals.kernels.toolkit.random import fill_normals
from daskals.types import NARROW_ROWS, FactorRows, RatingsBlock, Ridge


def timed_warm_up(
    rank: int,
    scale_size: int,
    *,
    features: bool = False,
    weighted: bool = False,
    timed: bool = False,
    wide: bool = False,
    solver: str = "joint",
) -> float:
    """Run every training kernel once on two ratings; return the seconds it took.

    Parameters
    ----------
    rank, scale_size
        Number of factors, and of distinct ratings, 0 where they are stored as float32.
    features, weighted, timed
        Whether rows are drawn to their features, ratings weigh, and there is a third side.
    wide
        Whether one of three sides has more rows than `NARROW_ROWS`.
    solver
        How rows are solved; see `SolveSpec`.
    """
    started = time.perf_counter()
    block, other = _two_ratings(rank, scale_size)
    dated = block._replace(thirds=np.zeros(2, np.int32)) if timed else block
    thirds = [other, *([empty_rows(NARROW_ROWS + 1, rank)] if wide else [])] if timed else [None]
    if timed:
        block, other = join_block(dated, other, other, rank)
    given: dict[str, Any] = {"rank": rank, "mean": 0.0, "ridge": Ridge(1.0, 1.0)}
    weighting = Weighting(np.ones(2, np.float32), np.ones(2)) if weighted else None
    if solver == "blocks":
        rows, _ = solve_slices(block, other, other, weighting=weighting, **given)
    elif solver == "gradients":
        curvature = side_curvature(other, rank, given["ridge"])
        rows, _ = improve_by_gradients(block, other, other, curvature, weighting=weighting, **given)
    else:
        for third in thirds:
            rows, _ = solve_rows(dated, other, third=third, **given)
            if weighting is not None and solver == "joint":
                rows, _ = solve_weighted(dated, other, weighting, third=third, **given)
    score_block(block, rows, other, rank=rank, mean=0.0, limits=(0.0, 5.0))
    if thirds[-1] is not None:
        predict_block(block, rows, other, rank=rank, mean=0.0)
        added_by_rows(dated, other, thirds[-1], rows, rank)
    if features:
        _warm_up_features(dated, other, rank, third=thirds[0])
    return time.perf_counter() - started


def timed_implicit_warm_up(
    rank: int, scale_size: int, *, solver: str = "joint", features: bool = False
) -> float:
    """Run every kernel that implicit feedback takes once on two observations; return the seconds it took.

    Parameters
    ----------
    rank, scale_size, solver, features
        As for `timed_warm_up`.
    """
    started = time.perf_counter()
    block, other = _two_ratings(rank, scale_size)
    given: dict[str, Any] = {"rank": rank, "mean": 0.0, "ridge": Ridge(1.0, 0.0)}
    ones = np.ones(2, np.float32), np.ones(2)
    if solver == "gradients":
        curvature = side_curvature(other, rank, given["ridge"], biased=False)
        alone = Weighting(*ones, biased=False)
        improve_by_gradients(block, other, other, curvature, weighting=alone, share=1.0, **given)
        return time.perf_counter() - started
    weighting = Weighting(*ones, side_gram(other, rank), biased=False)
    if solver == "blocks":
        solve_slices(block, other, other, weighting=weighting, **given)
    else:
        solve_weighted(block, other, weighting, **given)
    if features:
        _warm_up_features(block, other, rank, weighting)
    return time.perf_counter() - started


def warm_up_parts() -> None:
    """Take a part of two ratings, as training does of all."""
    parts, starts = np.zeros(2, np.uint8), np.array([0, 1, 2])
    pieces = [(np.zeros(2, np.int32), np.zeros(2, np.uint8))]
    compact_part(starts, parts, 0, pieces, np.uint8)


def warm_up_samples() -> None:
    """Summarise two samples of two rows a side, and predict from them."""
    rows = np.zeros((2, 2, 2), np.float32)
    basis = project(rows, np.zeros((2, 1)))
    collect(rows, basis)
    known = np.array([0, 1])
    stacked = stack_samples(rows, 1.0, known)
    predict_pairs(known, known, stacked, stacked, rank=2, mean=0.0)
    spread = np.zeros((2, 2, 2))
    sample_variances(known, known, BothSides(rows, rows, np.zeros(2), spread, spread))


def _two_ratings(rank: int, scale_size: int) -> tuple[RatingsBlock, FactorRows]:
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
    return block, other


def _warm_up_features(
    block: RatingsBlock,
    other: FactorRows,
    rank: int,
    weighting: Weighting | None = None,
    third: FactorRows | None = None,
) -> None:
    both = FeatureRows(
        np.array([0, 1, 2]), np.zeros(2, np.int32), np.ones(2, np.float32), 1, np.zeros(2, np.int64)
    )
    given: dict[str, Any] = {"rank": rank, "mean": 0.0, "weighting": weighting, "third": third}
    sums = start_sums(both.patterns, rank)
    eliminated = eliminate_rows(block, other, ridge=Ridge(1.0, 1.0), sums=sums, **given)
    system = sum_system(eliminated, both, sums)
    solve_positive(lower_triangle(system) + np.eye(rank + 1), system.right, "the warm-up's weights")
    fill_rows(eliminated, both, np.zeros((1, rank + 1)), block, other, **given)
