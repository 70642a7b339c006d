"""Half-step of a block: the ridge regressions of its rows, checked, solved and turned into factor rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from daskals.errors import ConfigError
from daskals.kernels.half_step import plain, solve_batches
from daskals.kernels.half_step.block import frozen, make_input, make_output, outcome
from daskals.kernels.half_step.joined import join_block
from daskals.kernels.half_step.threads import heavy_segments, numba_threads, work_cuts
from daskals.kernels.toolkit.jit import PLAIN
from daskals.types import BlockStats, FactorRows, Float32, RatingsBlock, Ridge

MAX_RANK = 1024


def solve_rows(
    block: RatingsBlock,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    solver: Literal["joint", "coordinate"] = "joint",
    current: FactorRows | None = None,
    prior: Float32 | None = None,
    threads: int = 1,
    third: FactorRows | None = None,
    limits: Sequence[int] | None = None,
) -> tuple[FactorRows, BlockStats]:
    """Solve the ridge equations of every row of a block (paper 1, Eq. 7-8).

    Parameters
    ----------
    block, other
        The rows' ratings; factor rows of the other side, shape (rows of the other side, stride).
    rank
        Number of factors, 0 to 1,024.
    mean
        Mean rating μ: a rating's residual is r − μ − bias of the other side's row.
    ridge
        Regularisation of this side.
    solver
        `joint` solves a row's factors and bias together; `coordinate` takes the papers' two steps, the
        bias from the current factors, then the factors from the new bias.
    current
        The block's present factor rows, shape (rows, stride), which `coordinate` starts from.
    prior
        Prior mean [factors, bias] of the block's rows, shape (rows, rank + 1); zero if absent.
    threads
        Numba threads inside the block; the result is the same to the bit. More than one needs a threading
        layer that lets several threads enter (omp or tbb), and a caller that is alone in its process.
    third
        Factor rows of a third side, shape (rows, stride), if there is one: the ratings are of both.
    limits
        Rows between which what the block adds to the objective is added up first, from 0 to their number.

    Returns
    -------
    The block's new factor rows, shape (rows, stride), float32, and what it adds to the objective. Rows
    without ratings are at their prior.

    Raises
    ------
    ConfigError
        If the rank is out of range, `current` is missing for the coordinate solver, or Numba cannot run that
        many threads safely.
    DataError
        If arrays do not fit one another.
    RowError
        If a row holds an index out of range, its equations are not positive definite, or its solution is
        not finite.
    """
    if not 0 <= rank <= MAX_RANK:
        raise ConfigError(f"rank is {rank}", expected=f"0 to {MAX_RANK}", remedy="Choose a smaller rank")
    coordinate = solver == "coordinate"
    if coordinate and current is None:
        raise ConfigError("the coordinate solver has no current rows", expected="the block's present factors")
    if third is not None and PLAIN:
        (block, other), third = join_block(block, other, third, rank), None
    given = make_input(block, other, rank, mean, ridge, prior=prior, current=current, third=third)
    sides = 2 if third is None else 3
    if threads > 1:
        given = given._replace(segments=frozen(heavy_segments(block.indptr), np.int64))
    output = make_output(given)
    if PLAIN:
        with np.errstate(all="ignore"):  # what is not finite is found by status, as in compiled code
            plain.solve_block(given, output, coordinate)
    elif threads > 1:
        with numba_threads(threads):
            solve_strips = solve_batches.strips_solver(rank, coordinate=coordinate, sides=sides)
            solve_strips(given, output, work_cuts(block.indptr, rank, threads))
    else:
        solve_strip = solve_batches.strip_solver(rank, coordinate=coordinate, sides=sides)
        solve_strip(given, output, 0, block.n_rows)
    return outcome(output, block.start, limits)
