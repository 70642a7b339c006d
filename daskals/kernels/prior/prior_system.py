"""Linear system of W, the weights of genres: (Σ ffᵀ ⊗ A) vec W = Σ f ⊗ Tx⁰; see `prior.eliminate`.

A is symmetric, and so is the block of equations that two features share: of each pair of features, in either
order, only one lower triangle is summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from daskals.kernels.prior.eliminated import Eliminated
from daskals.kernels.prior.features import FeatureRows, first_rows
from daskals.kernels.prior.pattern_sums import PatternSums, add_whitened
from daskals.kernels.toolkit.jit import exact_jit
from daskals.kernels.toolkit.layout import aligned_zeros
from daskals.types import Float32, Float64, Int32, Int64


class WSystem(NamedTuple):
    """Equations of vec W, unknown g·(rank + 1) + k, summed over some rows of a side.

    Attributes
    ----------
    start
        The first of those rows.
    pairs
        float64, shape (features·(features + 1)/2, `sum_width(rank)`): the lower triangle of the block of
        features g and h ≤ g, in row g(g + 1)/2 + h, and zeros behind it.
    right
        float64, shape (features·(rank + 1),): the right side.
    """

    start: int
    pairs: Float64
    right: Float64


@exact_jit
def _add_scaled(out: Float64, values: Float64, scale: float) -> None:
    for k in range(len(out)):
        out[k] += scale * values[k]


@exact_jit
def _expand_patterns(
    indptr: Int64,
    indices: Int32,
    values: Float32,
    rows: Int64,
    matrices: Float64,
    rights: Float64,
    pairs: Float64,
    right: Float64,
) -> None:
    size = rights.shape[1]
    for pattern in range(len(rows)):
        first, last = indptr[rows[pattern]], indptr[rows[pattern] + 1]
        for i in range(first, last):
            feature = indices[i]
            _add_scaled(right[feature * size : (feature + 1) * size], rights[pattern], float(values[i]))
            for j in range(first, i + 1):
                pair = feature * (feature + 1) // 2 + indices[j]
                _add_scaled(pairs[pair], matrices[pattern], float(values[i]) * float(values[j]))


def sum_system(eliminated: Eliminated, features: FeatureRows, sums: PatternSums) -> WSystem:
    """Sum a block's part of W's equations, Σ ffᵀ ⊗ A and Σ f ⊗ Tx⁰, without η.

    Rows with equal features are added up first, so that the features' products are formed once a kind.

    Parameters
    ----------
    eliminated, features
        The block's rows, and F of them.
    sums
        Those of the rows with inverses, which `eliminate_rows` formed; the others are added to them.
    """
    size, n_features = eliminated.x0.shape[1], features.n_features
    first = first_rows(features.patterns)
    add_whitened(eliminated, sums)
    n_pairs, width = n_features * (n_features + 1) // 2, sums.matrices.shape[1]
    pairs, right = aligned_zeros(n_pairs, 2 * width).view(np.float64), np.zeros(n_features * size)
    _expand_patterns(
        features.indptr, features.indices, features.values, first, sums.matrices, sums.rights, pairs, right
    )
    return WSystem(eliminated.start, pairs, right)


def add_systems(parts: Iterable[WSystem]) -> WSystem:
    """Add the blocks' parts of W's equations, in any order, up in the order of their rows."""
    first, *rest = sorted(parts, key=lambda part: part.start)
    total = WSystem(first.start, first.pairs.copy(), first.right.copy())
    for part in rest:
        np.add(total.pairs, part.pairs, out=total.pairs)
        np.add(total.right, part.right, out=total.right)
    return total


def lower_triangle(system: WSystem) -> Float64:
    """Return the lower triangle of the equations' matrix, float64, shape (unknowns, unknowns)."""
    n_unknowns = len(system.right)
    n_features = (math.isqrt(8 * len(system.pairs) + 1) - 1) // 2
    matrix = np.zeros((n_unknowns, n_unknowns))
    if n_features:
        _unpack_pairs(system.pairs, n_unknowns // n_features, matrix)
    return matrix


@exact_jit
def _unpack_pairs(pairs: Float64, size: int, matrix: Float64) -> None:
    pair = 0
    for g in range(len(matrix) // size):
        for h in range(g + 1):
            block = matrix[g * size : (g + 1) * size, h * size : (h + 1) * size]
            entry = 0
            for a in range(size):
                for b in range(a + 1):
                    block[a, b] = block[b, a] = pairs[pair, entry]
                    entry += 1
            pair += 1
