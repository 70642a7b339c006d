"""Half-step of a block by slices of factors, for ranks whose exact solve takes too long.

A row's ridge regression (`half_step.weighted`) is not solved but improved: slice after slice of its factors,
with the bias, is set to its minimiser while the others stay as they are. With e = y − xᵀz the residuals of
the row's ratings and s the slice, its factors move by d, where
(Σ w·z_s z_sᵀ + A_ss + c^ν·T_s) d = Σ w·z_s e − (Ax)_s − c^ν·T_s(x − m)_s, and e loses dᵀz_s. No slice raises
the objective, and rows begin where the last epoch left them, so that epochs together find what exact solves
find (iALS++, Rendle et al. 2021). A rating costs K(width/2 + 4) multiply-adds instead of K²/2, a row no K³.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from daskals.errors import ConfigError
from daskals.kernels.half_step.batch import row_status
from daskals.kernels.half_step.block import BlockInput, BlockOutput, frozen, make_input, make_output, outcome
from daskals.kernels.half_step.plain import factorise, substitute
from daskals.kernels.half_step.slice_batches import slice_solver
from daskals.kernels.half_step.slice_row_batches import SliceInput
from daskals.kernels.half_step.status import OK
from daskals.kernels.half_step.threads import run_strips
from daskals.kernels.half_step.weighted import Weighting, check_weighting, weighted_gram, weighted_squares
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.types import BlockStats, FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge

WIDTH = 32
"""Factors of a slice: whole vectors of every CPU."""


def slice_starts(rank: int, width: int = WIDTH) -> Int64:
    """Return the first factor of each slice, int64, shape (slices,): the last ends with the last factor.

    Raises ConfigError if there are fewer factors than a slice has.
    """
    if rank < width:
        raise ConfigError(
            f"rank is {rank}", expected=f"at least {width} to solve by slices", remedy="Solve rows jointly"
        )
    return np.minimum(np.arange(0, rank, width), rank - width).astype(np.int64)


@exact_jit
def _improve(gram: Float64, ridge: Float64, prior: Float64, places: Int64, x: Float64) -> bool:
    """Set the unknowns x[places] to their minimiser, the others as they are; False if not positive."""
    size, y = len(places), len(gram) - 1
    matrix, right = np.empty((size, size)), np.empty(size)
    for i in range(size):
        a = places[i]
        right[i] = gram[y, a] - ridge[a] * (x[a] - prior[a])
        for b in range(y):
            right[i] -= gram[max(a, b), min(a, b)] * x[b]
        for j in range(i + 1):
            matrix[i, j] = gram[max(a, places[j]), min(a, places[j])]
        matrix[i, i] += ridge[a]
    sound = factorise(matrix)
    substitute(matrix, right)
    for i in range(size):
        x[places[i]] += right[i]
    return sound


@exact_jit
def _improve_plainly(
    block: BlockInput,
    slices: SliceInput,
    gram: Float64,
    row: int,
    width: int,
    size: int,
    prior: Float64,
    x: Float64,
    stats: Float64,
) -> int:
    """Improve one row with ratings in place of its present x by way of its Gram matrix; return its status."""
    rank, shared = block.rank, slices.shared
    trace = np.trace(gram)
    for a in range(len(shared)):
        for b in range(a + 1):
            gram[a, b] += shared[a, b]
    ridge = np.full(rank + 1, block.ridge_factors)
    ridge[rank] = block.ridge_bias
    ridge *= slices.counts[row] ** block.ridge_exponent
    sound = True
    for _ in range(slices.sweeps):
        for start in slices.starts:
            places = np.arange(start, start + size)
            if size > width:
                places[width] = rank
            sound &= _improve(gram, ridge, prior, places, x)
    stats[0] = weighted_squares(block, slices.roots, row, x)
    for a in range(len(shared)):
        for b in range(len(shared)):
            stats[0] += x[a] * shared[a, b] * x[b]
    stats[1] = np.sum(ridge * (x - prior) ** 2)
    return row_status(trace, int(sound), stats.sum())


@exact_jit
def _solve_plainly(block: BlockInput, slices: SliceInput, output: BlockOutput, width: int, size: int) -> None:
    """Improve rows one by one; the plain twin of `slice_batches`."""
    rank = block.rank
    gram = np.empty((rank + 2, rank + 2))
    for row in range(len(slices.counts)):
        output.status[row] = weighted_gram(block, slices.roots, row, gram)
        prior = np.zeros(rank + 1)
        if len(block.priors) > 0:
            prior[:] = block.priors[row]
        x = prior.copy()
        if output.status[row] == OK and block.indptr[row + 1] > block.indptr[row]:
            x[:rank] = block.current[row, :rank]
            x[rank] = block.current[row, rank + 1]
            output.status[row] = _improve_plainly(
                block, slices, gram, row, width, size, prior, x, output.stats[row]
            )
        output.rows[row, :rank] = x[:rank]
        output.rows[row, rank + 1] = x[rank]


def solve_slices(
    block: RatingsBlock,
    other: FactorRows,
    current: FactorRows,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    weighting: Weighting | None = None,
    prior: Float32 | None = None,
    width: int = WIDTH,
    sweeps: int = 1,
    threads: int = 1,
) -> tuple[FactorRows, BlockStats]:
    """Improve every row of a block, slice by slice of its factors.

    Parameters
    ----------
    block
        The rows' ratings.
    other, current
        Factor rows of the other side, shape (rows of the other side, stride), and those that the block's rows
        begin from, shape (rows, stride).
    rank, mean, ridge
        Number of factors; mean rating μ; regularisation of this side.
    weighting
        What the ratings weigh, and what all rows share; None where all count once and rows have a bias.
    prior
        Prior means [factors, bias], float32, shape (rows, rank + 1); zero if absent.
    width, sweeps
        Factors of a slice, a multiple of 16; how often all slices are solved.
    threads
        Threads that share out the block's rows; the result is the same to the bit.

    Returns
    -------
    tuple
        The block's new factor rows, float32, shape (rows, stride), and what it adds to the objective. Rows
        without ratings are at their prior.

    Raises
    ------
    ConfigError
        If the rank is below the width.
    DataError
        If arrays do not fit one another, or a weight is not a positive number.
    RowError
        If a row holds an index out of range, its equations are not positive definite, or its solution is
        not finite.
    """
    starts = slice_starts(rank, width)
    given = make_input(block, other, rank, mean, ridge, prior=prior, current=current, summed=width)
    slices = _slice_input(block, weighting, starts, rank, sweeps)
    biased = weighting is None or weighting.biased
    output = make_output(given)
    if PLAIN:
        with np.errstate(all="ignore"):  # what is not finite is found by status, as in compiled code
            _solve_plainly(given, slices, output, width, width + int(biased))
    else:
        kernel = slice_solver(width, weighs=len(slices.roots) > 0, biased=biased)
        known = given.table[given.values] if len(given.table) else given.values - given.mean
        residuals = np.array(known, np.float32)
        # of all ways to hold ratings one is compiled
        given = given._replace(values=frozen(residuals, np.float32), table=frozen(np.empty(0), np.float32))
        run_strips(partial(kernel, given, slices, output, residuals), block.indptr, rank, threads)
    return outcome(output, block.start)


def _slice_input(
    block: RatingsBlock, weighting: Weighting | None, starts: Int64, rank: int, sweeps: int
) -> SliceInput:
    if weighting is None:
        counts = np.diff(block.indptr).astype(np.float64)
        roots = np.ones(len(block.indices) if PLAIN else 0, np.float32)
        shared = None
    else:
        check_weighting(block, weighting, rank)
        counts, roots, shared = weighting.counts, np.sqrt(weighting.weights), weighting.shared
    return SliceInput(
        frozen(starts, np.int64),
        frozen(roots, np.float32),
        frozen(counts, np.float64),
        frozen(np.empty((0, 0)) if shared is None else shared, np.float32),
        sweeps,
    )
