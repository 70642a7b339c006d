"""The half-step of a block: its rows' ridge equations, checked, solved and turned into factor rows."""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError, DataError, RowError
from daskals.kernels.half_step import batches, plain
from daskals.kernels.half_step.gram_tiles import tile_places
from daskals.kernels.half_step.strips import heavy_parts, numba_threads, work_cuts
from daskals.kernels.half_step.task import BAD_INDEX, BAD_PIVOT, NOT_FINITE, Outcome, Task
from daskals.kernels.toolkit.layout import aligned_rows, empty_rows, row_stride
from daskals.kernels.toolkit.target import current_target
from daskals.types import BlockStats, FactorRows, Float32, Int64, RatingsBlock, Ridge

MAX_RANK = 256
SCALE_SIZE = 256

PLAIN = bool(numba.config.DISABLE_JIT)
"""Vector instructions have no form without the JIT: then the plain kernel runs."""

_FOUND = {
    BAD_INDEX: "an index points past the other side's last row",
    BAD_PIVOT: "the ridge equations are not positive definite",
    NOT_FINITE: "the solution is not finite",
}


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
) -> tuple[FactorRows, BlockStats]:
    """Solve the ridge equations of every row of a block (paper 1, Eq. 7-8).

    Parameters
    ----------
    block
        The rows' ratings.
    other
        Factor rows of the other side, shape (rows of the other side, stride).
    rank
        Number of factors, 0 to 256.
    mean
        Mean rating μ: a rating's residual is r − μ − bias of the other side's row.
    ridge
        Regularisation of this side.
    solver
        `joint` solves a row's factors and bias together; `coordinate` takes the papers' two steps, the
        bias from the current factors, then the factors from the new bias.
    current
        The block's present factor rows, which `coordinate` starts from.
    prior
        Prior mean [factors, bias] of the block's rows, shape (rows, rank + 1); zero if absent.
    threads
        Numba threads inside the block; the result is the same to the bit. More than one needs a threading
        layer that lets several threads enter (omp or tbb), and a caller that is alone in its process.

    Returns
    -------
    The block's new factor rows, and what it adds to the objective. Rows without ratings are at their prior.

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
    _check_shapes(block, other, rank, prior, current)
    if solver == "coordinate" and current is None:
        raise ConfigError("the coordinate solver has no current rows", expected="the block's present factors")
    task = Task(
        indptr=frozen(block.indptr, np.int64),
        indices=frozen(block.indices, np.int32),
        values=frozen(block.values, np.uint8 if len(block.scale) else np.float32),
        table=residual_table(block.scale, mean),
        mean=np.float32(mean),
        places=frozen(tile_places(rank, current_target()), np.int64),
        other=frozen(aligned_rows(other, rank), np.float32),
        priors=frozen(np.empty((0, rank + 1)) if prior is None else prior, np.float32),
        current=frozen(empty_rows(0, rank) if current is None else aligned_rows(current, rank), np.float32),
        order=frozen(np.empty(0), np.int64),
        parts=frozen(heavy_parts(block.indptr) if threads > 1 else np.empty((0, 3)), np.int64),
        rank=rank,
        ridge_factors=float(ridge.factors),
        ridge_bias=float(ridge.bias),
        ridge_exponent=float(ridge.exponent),
    )
    n_rows = block.n_rows
    outcome = Outcome(
        empty_rows(n_rows, rank),
        np.zeros((n_rows, 2)),
        np.zeros(n_rows, dtype=np.int64),
        np.empty((len(task.parts), len(task.places)), np.float32),
    )
    if PLAIN:
        with np.errstate(all="ignore"):  # what is not finite is found by status, as in compiled code
            plain.solve_block(task, outcome, solver == "coordinate")
    else:
        kernel = batches.strips_solver(rank, coordinate=solver == "coordinate", parallel=threads > 1)
        with numba_threads(threads):
            kernel(task, outcome, work_cuts(block.indptr, rank, threads))
    _raise_first(outcome.status, block.start)
    sse, penalty = np.add.accumulate(outcome.stats, axis=0)[-1] if n_rows else (0.0, 0.0)
    return outcome.rows, BlockStats(float(sse), float(penalty))


def frozen(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return a read-only C-ordered view or copy: with one kind of array, kernels are compiled once."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def residual_table(scale: Float32, mean: float) -> Float32:
    """Return the rating less μ for each code; codes that the scale does not have stand for NaN."""
    table = np.full(SCALE_SIZE if len(scale) else 0, np.nan, np.float32)
    table[: len(scale)] = scale.astype(np.float32) - np.float32(mean)
    return table


def _check_shapes(
    block: RatingsBlock, other: FactorRows, rank: int, prior: Float32 | None, current: FactorRows | None
) -> None:
    if not 0 <= rank <= MAX_RANK:
        raise ConfigError(f"rank is {rank}", expected=f"0 to {MAX_RANK}", remedy="Choose a smaller rank")
    if other.ndim != 2 or other.shape[1] != row_stride(rank):
        raise DataError(
            f"factor rows have shape {other.shape}", expected=f"(rows, {row_stride(rank)}) for rank {rank}"
        )
    if prior is not None and prior.shape != (block.n_rows, rank + 1):
        raise DataError(
            f"the prior has shape {prior.shape}", expected=f"{(block.n_rows, rank + 1)}, one mean per row"
        )
    if current is not None and current.shape != (block.n_rows, row_stride(rank)):
        raise DataError(
            f"current rows have shape {current.shape}", expected=f"{(block.n_rows, row_stride(rank))}"
        )
    ends = (int(block.indptr[0]), int(block.indptr[-1])) if len(block.indptr) else (0, 0)
    fits = len(block.indices) == len(block.values) == ends[1] and ends[0] == 0
    if not fits or bool(np.any(np.diff(block.indptr) < 0)):
        raise DataError(
            f"a block's rows span {ends[0]} to {ends[1]} of {len(block.indices)} indices and"
            f" {len(block.values)} ratings",
            expected="ascending row limits from 0 to the number of ratings",
        )


def _raise_first(status: Int64, start: int) -> None:
    bad = np.flatnonzero(status)
    if len(bad):
        raise RowError(_FOUND[int(status[bad[0]])], row=start + int(bad[0]))
