"""Draws of rows from their conditional posterior: Gaussian, with a full prior precision and mean.

Given noise precision α, prior N(m, Λ⁻¹) and a row's S = Σ zzᵀ and v = Σ zy (z = [q, 1]), the row
x = [factors, bias] is N((αS + Λ)⁻¹(αv + Λm), (αS + Λ)⁻¹) (Salakhutdinov and Mnih 2008, Eq. 11). With
αS + Λ = LLᵀ a draw is L⁻ᵀ(L⁻¹(αv + Λm) + ξ), ξ standard normal (`toolkit.chain_normals`). Random
numbers depend on (seed, stream, sweep, row, column) alone, so a draw is the same whatever the blocks. Without
noise it is the mode: the ridge solution under a full precision.
"""

from __future__ import annotations

import numpy as np

from daskals.kernels.gibbs.draw_batches import Posterior, draw_kernel
from daskals.kernels.gibbs.noise import Noise, RowNoise, row_noise
from daskals.kernels.half_step.block import BlockInput, BlockOutput, make_input, make_output
from daskals.kernels.half_step.joined import join_block
from daskals.kernels.half_step.plain import factorise, row_gram, substitute_back, substitute_forward
from daskals.kernels.half_step.status import BAD_PIVOT, NOT_FINITE, OK, raise_first
from daskals.kernels.half_step.weighted import weighted_gram, weights_of
from daskals.kernels.toolkit.chain_normals import fill_row
from daskals.kernels.toolkit.dense import product
from daskals.kernels.toolkit.jit import PLAIN, exact_jit
from daskals.types import FactorRows, Float32, Float64, Int64, RatingsBlock, Ridge


@exact_jit
def _form_system(gram: Float64, alpha: float, precision: Float64, system: Float64, x: Float64) -> None:
    """Write αS + Λ, and add αv to x."""
    size = len(x)
    for a in range(size):
        x[a] += alpha * gram[size, a]
        for b in range(a + 1):
            system[a, b] = alpha * gram[a, b] + precision[a, b]


@exact_jit
def _draw_solution(factor: Float64, noise: Float64, x: Float64) -> None:
    """Turn the right side x into L⁻ᵀ(L⁻¹x + ξ), ξ the noise."""
    substitute_forward(factor, x)
    for a in range(len(x)):
        x[a] += noise[a]
    substitute_back(factor, x)


@exact_jit
def _draw(
    block: BlockInput, roots: Float32, output: BlockOutput, posterior: Posterior, noise: RowNoise
) -> None:
    """Draw rows one by one; the plain twin of `gibbs.draw_batches`."""
    size = block.rank + 1
    gram = np.empty((size + 1, size + 1))
    system, normals = np.empty((size, size)), np.zeros(size)
    for row in range(len(output.status)):
        if len(roots) > 0:
            output.status[row] = weighted_gram(block, roots, row, gram)
        else:
            output.status[row] = row_gram(block, row, gram)
        if output.status[row] != OK:
            continue
        x = posterior.pulls[row if len(posterior.pulls) > 1 else 0].copy()
        _form_system(gram, posterior.alpha, posterior.precision, system, x)
        if not factorise(system):
            output.status[row] = BAD_PIVOT if np.isfinite(gram[size, size]) else NOT_FINITE
            continue
        if noise.sweep >= 0:
            fill_row(noise.key, noise.start + row, noise.sweep, normals)
        _draw_solution(system, normals, x)
        output.stats[row, 0] = _squared_error(gram, x)
        for a in range(size):
            output.rows[row, a if a < size - 1 else size] = x[a]
        if not np.isfinite(output.stats[row, 0]):
            output.status[row] = NOT_FINITE


@exact_jit
def _squared_error(gram: Float64, x: Float64) -> float:
    """Return Σ(y − xᵀz)² by way of the Gram matrix."""
    size = len(x)
    total = gram[size, size]
    for a in range(size):
        total -= 2.0 * x[a] * gram[size, a]
        for b in range(size):
            high, low = max(a, b), min(a, b)
            total += x[a] * x[b] * gram[high, low]
    return float(total)


def draw_rows(
    block: RatingsBlock,
    other: FactorRows,
    *,
    rank: int,
    mean: float,
    alpha: float,
    precision: Float64,
    priors: Float64,
    noise: Noise | None,
    third: FactorRows | None = None,
    places: Int64 | None = None,
) -> tuple[FactorRows, float]:
    """Draw every row of a block from its conditional posterior.

    Parameters
    ----------
    block, other
        The rows' ratings; factor rows of the other side, shape (rows, stride).
    rank, mean
        Number of factors; the global mean μ.
    alpha
        Precision of the ratings' noise.
    precision
        Λ, float64, shape (rank + 1, rank + 1); the lower triangle is read.
    priors
        Prior mean [factors, bias] of each row, float64, shape (rows, rank + 1), or (1, rank + 1) for all.
    noise
        Random numbers; None for the mode of the posterior.
    third
        Factor rows of a third side, shape (rows, stride), if there is one: the ratings are of both.
    places
        Which of `priors` is a row's, shape (rows,), where rows share them; None where they are as above.

    Returns
    -------
    The factor rows, shape (rows, stride), and Σw(y − xᵀz)², w the ratings' weights. Rows without
    ratings are drawn from their prior.

    Raises
    ------
    DataError
        If the factor rows are not of this rank.
    RowError
        If a row's precision is not positive definite, or it holds an index or rating that is none.
    """
    if third is not None and PLAIN:
        (block, other), third = join_block(block, other, third, rank), None
    given = make_input(block, other, rank, mean, Ridge(0.0, 0.0), third=third)
    output, weights = make_output(given), weights_of(block)
    pulls = product(priors, np.tril(precision) + np.tril(precision, -1).T)
    if not PLAIN:
        pulls = pulls.astype(np.float32)
    if places is not None:
        pulls = pulls[places]
    own_noise = row_noise(noise, block.start)
    if PLAIN:
        posterior = Posterior(float(alpha), precision, pulls)
        with np.errstate(over="ignore"):
            _draw(given, weights.roots, output, posterior, own_noise)
    else:
        single = precision.astype(np.float32, order="C")
        posterior = Posterior(float(alpha), single, pulls)
        draw = draw_kernel(rank, weighted=block.weights is not None, sides=2 if third is None else 3)
        draw(given, weights, output, posterior, own_noise)
    raise_first(output.status, block.start)
    return output.rows, float(np.add.accumulate(output.stats[:, 0])[-1]) if block.n_rows else 0.0
