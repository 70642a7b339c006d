"""Products of sparse features with many columns, strip by strip of rows, by whoever shares in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import scipy.sparse

from daskals.kernels.gibbs.feature_lanes import COLUMNS, product_kernel
from daskals.kernels.prior.features import FeatureRows, times
from daskals.kernels.toolkit.jit import PLAIN
from daskals.kernels.toolkit.layout import ALIGNMENT_BYTES
from daskals.types import Float64

Sharing: TypeAlias = Callable[[Callable[[int], None], Sequence[int]], None]
"""Calls a function with 0, 1, … for each of a sequence, by several threads or by one."""

_STRIPS = 8
"""Parts of a product: some threads' worth, and few enough that handing them out is nothing beside them."""


def alone(run: Callable[[int], None], numbers: Sequence[int]) -> None:
    """Call `run` for each in turn."""
    for number in range(len(numbers)):
        run(number)


def width_of(columns: int) -> int:
    """Return the columns that stand for as many in `multiply`: a multiple of a vector's."""
    return -(-columns // COLUMNS) * COLUMNS


def aligned(columns: Float64, width: int) -> Float64:
    """Return a copy, shape (rows, width), zero beyond its columns, whose rows start as vectors do."""
    n_rows, size = columns.shape
    out = _empty(n_rows, width)
    out[:, :size] = columns
    out[:, size:] = 0.0
    return out


def _empty(n_rows: int, width: int) -> Float64:
    raw = np.empty(n_rows * width * 8 + ALIGNMENT_BYTES, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[offset : offset + n_rows * width * 8].view(np.float64).reshape(n_rows, width)


def transposed(features: FeatureRows) -> FeatureRows:
    """Return Fᵀ: of each feature the rows that have it, ascending."""
    shape = (features.n_rows, features.n_features)
    by_row = scipy.sparse.csr_array((features.values, features.indices, features.indptr), shape=shape)
    columns = by_row.tocsc()
    return FeatureRows(
        columns.indptr.astype(np.int64),
        columns.indices.astype(np.int32),
        columns.data,
        features.n_rows,
        np.empty(0, np.int64),
    )


def multiply(features: FeatureRows, right: Float64, share: Sharing = alone) -> Float64:
    """Return F·X, shape (rows, width), X as `aligned` makes it, shape (features, width).

    Sums are added up in the order of a row's features, whoever shares in the rows.
    """
    if PLAIN:
        return times(features, right)
    indptr, out = features.indptr, _empty(features.n_rows, right.shape[1])
    kernel = product_kernel(right.shape[1])
    cuts = np.searchsorted(indptr, np.linspace(0, indptr[-1], _STRIPS + 1)).tolist()
    cuts[0], cuts[-1] = 0, features.n_rows

    def strip(number: int) -> None:
        first, stop = cuts[number], cuts[number + 1]
        kernel(indptr[first : stop + 1], features.indices, features.values, right, out[first:stop])

    share(strip, range(_STRIPS))
    return out
