"""Rows drawn from their conditional posterior: Gaussian, with a full prior precision and mean.

Given noise precision α, prior N(m, Λ⁻¹) and a row's S = Σ zzᵀ and v = Σ zy (z = [q, 1]), the row
x = [factors, bias] is N((αS + Λ)⁻¹(αv + Λm), (αS + Λ)⁻¹) (Salakhutdinov and Mnih 2008, Eq. 11). With
αS + Λ = LLᵀ a draw is L⁻ᵀ(L⁻¹(αv + Λm) + ξ), ξ standard normal (`toolkit.chain_normals`). Random
numbers depend on (seed, stream, sweep, row, column) alone, so a draw is the same whatever the blocks. Without
noise it is the mode: the ridge solution under a full precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.half_step.coded import BAD_PIVOT, NOT_FINITE, OK, Coded, coded_block, row_gram
from daskals.kernels.half_step.lane_rows import draw_kernel, make_outcome, make_task
from daskals.kernels.half_step.plain import factorise, substitute_back, substitute_forward
from daskals.kernels.half_step.rows import PLAIN
from daskals.kernels.prior.eliminate import raise_first
from daskals.kernels.toolkit.chain_normals import fill_row
from daskals.kernels.toolkit.dense import product
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import empty_rows
from daskals.kernels.toolkit.random import key_of, normal_at, row_key, software_log, uniform_at
from daskals.types import FactorRows, Float64, Int64, RatingsBlock, Ridge

_GAMMA_TRIES = 64


class Noise(NamedTuple):
    """Where the random numbers of a draw of rows come from.

    Attributes
    ----------
    seed, stream
        Of the chain and of the side.
    sweep
        Which draw of the chain, from 0.
    """

    seed: int
    stream: int
    sweep: int


@exact_jit
def _form_system(
    gram: Float64, alpha: float, precision: Float64, prior: Float64, system: Float64, x: Float64
) -> None:
    """Write αS + Λ and αv + Λm."""
    size = len(x)
    for a in range(size):
        x[a] = alpha * gram[size, a]
        for b in range(size):
            high, low = max(a, b), min(a, b)
            system[a, b] = alpha * gram[high, low] + precision[high, low]
            x[a] += precision[high, low] * prior[b]


@exact_jit
def _draw_solution(factor: Float64, noise: Float64, x: Float64) -> None:
    """Turn the right side x into L⁻ᵀ(L⁻¹x + ξ), ξ the noise."""
    substitute_forward(factor, x)
    for a in range(len(x)):
        x[a] += noise[a]
    substitute_back(factor, x)


@exact_jit
def _draw(
    block: Coded,
    other: FactorRows,
    mean: float,
    alpha: float,
    precision: Float64,
    priors: Float64,
    key: np.uint64,
    sweep: int,
    start: int,
    solved: FactorRows,
    stats: Float64,
    status: Int64,
) -> None:
    size = len(precision)
    gram = np.empty((size + 1, size + 1))
    system = np.empty((size, size))
    x, noise = np.empty(size), np.zeros(size)
    for row in range(len(status)):
        status[row] = row_gram(block, row, other, mean, gram)
        if status[row] != OK:
            continue
        _form_system(gram, alpha, precision, priors[row], system, x)
        if not factorise(system):
            status[row] = BAD_PIVOT if np.isfinite(gram[size, size]) else NOT_FINITE
            continue
        if sweep >= 0:
            fill_row(key, start + row, sweep, noise)
        _draw_solution(system, noise, x)
        stats[row, 0] = _squared_error(gram, x)
        for a in range(size):
            solved[row, a if a < size - 1 else size] = x[a]
        if not np.isfinite(stats[row, 0]):
            status[row] = NOT_FINITE


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
) -> tuple[FactorRows, float]:
    """Draw every row of a block from its conditional posterior.

    Parameters
    ----------
    block
        The rows' ratings.
    other
        Factor rows of the other side.
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

    Returns
    -------
    The factor rows, and Σ(y − xᵀz)². Rows without ratings are drawn from their prior.

    Raises
    ------
    DataError
        If the factor rows are not of this rank.
    RowError
        If a row's precision is not positive definite, or it holds an index or rating that is none.
    """
    coded = coded_block(block, other, rank)
    chosen = Noise(0, 0, 0) if noise is None else noise
    sweep = -1 if noise is None else chosen.sweep
    key = key_of(chosen.seed, chosen.stream)
    if PLAIN:
        solved, stats, status = empty_rows(block.n_rows, rank), np.zeros((block.n_rows, 2)), _no_status(block)
        with np.errstate(over="ignore"):
            _draw(
                *(coded, other, float(mean), float(alpha), precision, _of_rows(priors, block.n_rows)),
                *(key, sweep, block.start, solved, stats, status),
            )
    else:
        task = make_task(block, other, rank, mean, Ridge(0.0, 0.0))
        outcome = make_outcome(task, block.n_rows)
        pulls = product(priors, np.tril(precision) + np.tril(precision, -1).T)
        draw_kernel(rank)(
            *(task, outcome, float(alpha), precision.astype(np.float32)),
            _of_rows(pulls.astype(np.float32), block.n_rows),
            *(key, sweep, block.start),
        )
        solved, stats, status = outcome.rows, outcome.stats, outcome.status
    raise_first(status, block.start)
    return solved, float(np.add.accumulate(stats[:, 0])[-1]) if block.n_rows else 0.0


def _of_rows(values: NDArray[Any], n_rows: int) -> NDArray[Any]:
    return np.repeat(values, n_rows, axis=0) if len(values) == 1 else values


def _no_status(block: RatingsBlock) -> Int64:
    return np.zeros(block.n_rows, dtype=np.int64)


def normal_rows(noise: Noise, start: int, rows: FactorRows, rank: int) -> Float64:
    """Draw standard normals for rows `start` and following, float64, shape (rows, rank + 1)."""
    out = np.empty((len(rows), rank + 1))
    with np.errstate(over="ignore"):
        _fill_rows(key_of(noise.seed, noise.stream), start, noise.sweep, out)
    return out


@exact_jit
def _fill_rows(key: np.uint64, start: int, sweep: int, out: Float64) -> None:
    for row in range(len(out)):
        fill_row(key, start + row, sweep, out[row])


@exact_jit
def _gamma(key: np.uint64, column: int, shape: float) -> float:
    # Marsaglia and Tsang 2000, with x and u of try t at columns 2t and 2t + 1
    d: float = shape - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    for attempt in range(_GAMMA_TRIES):
        x = normal_at(key, column + 2 * attempt)
        u = uniform_at(key, column + 2 * attempt + 1)
        v = 1.0 + c * x
        if v > 0.0:
            v = v * v * v
            if software_log(u) < 0.5 * x * x + d - d * v + d * software_log(v):
                return float(d * v)
    return d


class Draws:
    """Random numbers of one step of a chain, taken one after the other.

    Parameters
    ----------
    seed, stream, row
        Where they start; another row is another, independent sequence.
    """

    def __init__(self, seed: int, stream: int, row: int) -> None:
        with np.errstate(over="ignore"):
            self._key = np.uint64(row_key(key_of(seed, stream), row))
        self._column = 0

    def normals(self, *shape: int) -> Float64:
        """Draw standard normals in the given shape."""
        n = int(np.prod(shape))
        out = np.empty(n)
        with np.errstate(over="ignore"):
            _fill(self._key, self._column, out)
        self._column += n
        return out.reshape(shape)

    def gamma(self, shape: float) -> float:
        """Draw from the gamma distribution of a positive shape and scale 1."""
        with np.errstate(over="ignore"):
            boost = 1.0
            if shape < 1.0:
                # a draw of shape + 1 times U^(1/shape) has the shape below 1
                boost = float(uniform_at(self._key, self._column)) ** (1.0 / shape)
                self._column += 1
            value = float(_gamma(self._key, self._column, max(shape, shape + (boost != 1.0))))
        self._column += 2 * _GAMMA_TRIES
        return float(value * boost)


@exact_jit
def _fill(key: np.uint64, column: int, out: Float64) -> None:
    for k in range(len(out)):
        out[k] = normal_at(key, column + k)
