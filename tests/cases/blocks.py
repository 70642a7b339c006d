"""Blocks of ratings and rows of the other side, as the half-step's tests use them."""

from __future__ import annotations

import numpy as np

from daskals.kernels.prior.features import FeatureRows, number_patterns
from daskals.kernels.toolkit.layout import pack_rows
from daskals.types import RatingsBlock

SCALE = np.arange(1, 11, dtype=np.float32) / 2


def part_of(block, low, high):
    """Return the rows low, …, high − 1 of a block as one of their own."""
    first, last = block.indptr[low], block.indptr[high]
    return RatingsBlock(
        low,
        block.indptr[low : high + 1] - first,
        block.indices[first:last],
        block.values[first:last],
        block.scale,
    )


def make_case(counts, n_other, rank, *, coded=True, seed=0, start=0):
    """Make a block whose rows have the given numbers of ratings, and factor rows of the other side."""
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    indices = np.concatenate(
        [np.sort(rng.choice(n_other, n, replace=n > n_other)) for n in counts] or [np.empty(0)]
    ).astype(np.int32)
    codes = rng.integers(0, 10, len(indices)).astype(np.uint8)
    block = RatingsBlock(
        start, indptr, indices, codes if coded else SCALE[codes], SCALE if coded else SCALE[:0]
    )
    factors = rng.normal(0, 0.3, (n_other, rank)).astype(np.float32)
    return block, pack_rows(factors, rng.normal(0, 0.3, n_other).astype(np.float32))


def make_features(n_rows: int, n_features: int, seed: int = 0) -> FeatureRows:
    """Rows with one to three features scaled to sum 1, several of them alike."""
    rng = np.random.default_rng(seed)
    kinds = [np.sort(rng.choice(n_features, rng.integers(1, 4), replace=False)) for _ in range(4)]
    chosen = [kinds[k] for k in rng.integers(0, 4, n_rows)]
    lengths = np.array([len(kind) for kind in chosen])
    return number_patterns(
        FeatureRows(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate(chosen).astype(np.int32),
            np.repeat(1 / lengths, lengths).astype(np.float32),
            n_features,
            np.empty(0, np.int64),
        )
    )
