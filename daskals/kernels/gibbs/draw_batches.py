"""Draws of a block's rows at speed, in batches; the formulas are those of `gibbs.draw`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.gibbs.noise import RowNoise
from daskals.kernels.gibbs.posterior_lanes import posterior_interleaved
from daskals.kernels.half_step.batch import LANES, Workspace, gram_batch, make_fit, make_workspace, row_status
from daskals.kernels.half_step.block import BlockInput, BlockOutput
from daskals.kernels.half_step.cholesky import solve_interleaved
from daskals.kernels.half_step.fit import Fit, fit_interleaved
from daskals.kernels.half_step.inverse import add_noise_interleaved
from daskals.kernels.half_step.status import OK
from daskals.kernels.half_step.weighted_batches import WeightedInput, weighted_gram_batch
from daskals.kernels.toolkit.chain_normals import whole_groups
from daskals.kernels.toolkit.chain_normals_lanes import draw_interleaved
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.simd import unowned
from daskals.types import Float32


class Posterior(NamedTuple):
    """What the rows' conditional posterior has beside their ratings.

    `alpha`: precision of the ratings' noise; `precision`: Λ, shape (rank + 1, rank + 1), lower triangle:
    float32, in the plain form float64; `pulls`: Λm of each row, shape (rows, rank + 1), or but one row for
    all, of the same type.
    """

    alpha: float
    precision: NDArray[Any]
    pulls: NDArray[Any]


@exact_jit
def _lay_out_pulls(work: Workspace, pulls: Float32, first: int, count: int) -> None:
    """Lay Λm side by side in place of the priors; lanes without a row keep what they have."""
    priors = work.priors
    for lane in range(count):
        for k in range(pulls.shape[1]):
            priors[k * LANES + lane] = pulls[first + lane, k]


@exact_jit
def _lay_out_shared(work: Workspace, pulls: Float32) -> None:
    """Lay Λm that all rows share in every lane, in place of the priors."""
    for k in range(pulls.shape[1]):
        for lane in range(LANES):
            work.priors[k * LANES + lane] = pulls[0, k]


@exact_jit
def _keep_drawn(rank: int, work: Workspace, fit: Fit, first: int, count: int, output: BlockOutput) -> None:
    rows, stats, status, x = output.rows, output.stats, output.status, work.x
    for lane in range(count):
        row = first + lane
        for k in range(rank):
            rows[row, k] = x[k * LANES + lane]
        rows[row, rank + 1] = x[rank * LANES + lane]
        if status[row] == OK:
            status[row] = row_status(fit.trace[lane], work.positive[lane], fit.sse[lane])
            stats[row, 0] = fit.sse[lane]


@lru_cache
def draw_kernel(
    rank: int, *, weighted: bool, sides: int = 2
) -> Callable[[BlockInput, WeightedInput, BlockOutput, Posterior, RowNoise], None]:
    """Return the kernel behind `draw_rows`, for a rank, ratings with weights or without, 2 sides or 3.

    Λ and Λm are single precision.
    """
    size = rank + 1
    sum_batch, sum_weighted = gram_batch(rank, sides), weighted_gram_batch(rank, sides)

    @exact_jit
    def draw_block(
        block: BlockInput, given: WeightedInput, output: BlockOutput, posterior: Posterior, noise: RowNoise
    ) -> None:
        memory, fit_memory = make_workspace(rank, len(block.places)), make_fit()
        work, fit = unowned(memory), unowned(fit_memory)
        normals = np.empty(whole_groups(size) * LANES, np.float32)
        precision, pulls, alpha = posterior.precision, posterior.pulls, np.float32(posterior.alpha)
        # there is no ridge, and a lane that has no row yet must not read what memory held before
        for k in range(size * LANES):
            work.weights[k] = work.priors[k] = np.float32(0.0)
        n_rows, shared = len(block.indptr) - 1, len(pulls) == 1
        if shared:
            _lay_out_shared(work, pulls)
        for first in range(0, n_rows, LANES):
            count = min(LANES, n_rows - first)
            if weighted:
                sum_weighted(unowned(block), given.roots, work, first, count, unowned(output))
            else:
                sum_batch(unowned(block), work, first, count, unowned(output))
            if not shared:
                _lay_out_pulls(work, pulls, first, count)
            posterior_interleaved(work.grams, work.priors, precision, alpha, work.systems, size)
            solve_interleaved(work.systems, work.x, work.positive, size)
            if noise.sweep >= 0:
                draw_interleaved(normals, noise.key, noise.start + first, noise.sweep)
                add_noise_interleaved(work.systems, normals, work.x, size)
            fit_interleaved(work.grams, work.x, work.weights, work.priors, fit, size)
            _keep_drawn(rank, work, fit, first, count, unowned(output))
        memory.positive[0] = 0  # memory is alive until here
        fit_memory.sse[0] = 0.0

    return draw_block
