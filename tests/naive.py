"""Plain twins of the compiled kernels: short, slow, and right by reading."""

from __future__ import annotations

import numpy as np

from daskals.kernels.layout import empty_rows
from daskals.types import BlockStats, RatingsBlock, Ridge

# --- half-step (daskals.kernels.rows) ---------------------------------------------------------------------


def decode_ratings(block: RatingsBlock) -> np.ndarray:
    """Return a block's ratings as float64."""
    return (block.scale[block.values] if len(block.scale) else block.values).astype(np.float64)


def solve_rows(
    block: RatingsBlock,
    other: np.ndarray,
    *,
    rank: int,
    mean: float,
    ridge: Ridge,
    solver: str = "joint",
    current: np.ndarray | None = None,
    prior: np.ndarray | None = None,
) -> tuple[np.ndarray, BlockStats]:
    """Solve each row by NumPy in float64, as the objective is written."""
    solved = empty_rows(block.n_rows, rank)
    ratings = decode_ratings(block)
    sse = penalty = 0.0
    for row in range(block.n_rows):
        here = slice(block.indptr[row], block.indptr[row + 1])
        rows = other[block.indices[here]].astype(np.float64)
        q, b = rows[:, :rank], rows[:, rank + 1]
        y = ratings[here] - mean - b
        w = float(max(len(y), 1)) ** ridge.exponent
        m = np.zeros(rank + 1) if prior is None else prior[row].astype(np.float64)
        t = w * np.array([ridge.factors] * rank + [ridge.bias])
        if len(y) == 0:
            x = m
        elif solver == "joint":
            z = np.column_stack([q, np.ones(len(y))])
            x = np.linalg.solve(z.T @ z + np.diag(t), z.T @ y + t * m)
        else:
            p = current[row, :rank].astype(np.float64)
            bias = (np.sum(y - q @ p) + t[rank] * m[rank]) / (len(y) + t[rank])
            p = np.linalg.solve(q.T @ q + np.diag(t[:rank]), q.T @ (y - bias) + t[:rank] * m[:rank])
            x = np.append(p, bias)
        solved[row, :rank] = x[:rank]
        solved[row, rank + 1] = x[rank]
        sse += float(np.sum((y - q @ x[:rank] - x[rank]) ** 2))
        penalty += float(np.sum(t * (x - m) ** 2))
    return solved, BlockStats(sse, penalty)


# --- random numbers (daskals.kernels.random) ---------------------------------------------------------------

MASK_64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def finalise(value):
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK_64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK_64
    return value ^ (value >> 31)


def hashed_bits(seed, stream, row, column):
    key = finalise((finalise((seed + GOLDEN) & MASK_64) + stream * GOLDEN) & MASK_64)
    of_row = finalise(key ^ finalise((row + 1) * GOLDEN & MASK_64))
    return finalise((of_row + (column + 1) * GOLDEN) & MASK_64)


def hashed_uniform(seed, stream, row, column):
    return ((hashed_bits(seed, stream, row, column) >> 12) + 0.5) / 2**52
