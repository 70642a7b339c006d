"""Features of all rows of a side in one matrix: joined from blocks, their Gram matrix over rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daskals.kernels.prior.features import FeatureRows
from daskals.kernels.toolkit.jit import exact_jit
from daskals.types import Float32, Float64, Int32, Int64


def join_rows(parts: Sequence[FeatureRows]) -> FeatureRows:
    """Put the features of successive ranges of rows one below the other; patterns are not kept."""
    starts = np.cumsum([0, *(len(part.indices) for part in parts)])
    indptr = [part.indptr[:-1] + start for part, start in zip(parts, starts, strict=False)]
    return FeatureRows(
        np.concatenate([*indptr, starts[-1:]]).astype(np.int64),
        np.concatenate([part.indices for part in parts]),
        np.concatenate([part.values for part in parts]),
        parts[0].n_features,
        np.empty(0, np.int64),
    )


def without_unrated(features: FeatureRows, counts: Int64) -> FeatureRows:
    """Leave rows whose `counts`, shape (rows,), is 0 without features."""
    lengths = np.diff(features.indptr)
    kept = np.repeat(counts > 0, lengths)
    indptr = np.zeros_like(features.indptr)
    np.cumsum(np.where(counts > 0, lengths, 0), out=indptr[1:])
    return features._replace(
        indptr=indptr,
        indices=features.indices[kept],
        values=features.values[kept],
        patterns=np.empty(0, np.int64),
    )


@exact_jit
def _row_gram(indptr: Int64, indices: Int32, values: Float32, dense: Float64, out: Float64) -> None:
    for row in range(len(out)):
        for j in range(indptr[row], indptr[row + 1]):
            dense[indices[j]] = values[j]
        for other in range(row + 1):
            total = 0.0
            for j in range(indptr[other], indptr[other + 1]):
                total += dense[indices[j]] * values[j]
            out[row, other] = total
            out[other, row] = total
        for j in range(indptr[row], indptr[row + 1]):
            dense[indices[j]] = 0.0


def row_gram(features: FeatureRows) -> Float64:
    """Return FFᵀ, shape (rows, rows)."""
    out = np.empty((features.n_rows, features.n_rows))
    _row_gram(features.indptr, features.indices, features.values, np.zeros(features.n_features), out)
    return out
