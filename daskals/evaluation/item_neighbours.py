"""Item neighbourhoods: shrunk cosines of who rated what, the nearest of each item."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from daskals.kernels.scoring.dense import top_of_scores

NEIGHBOURS = 100
SHRINKAGE = 20.0
_CHUNK = 512


def neighbour_weights(
    matrix: csr_matrix, neighbours: int = NEIGHBOURS, shrinkage: float = SHRINKAGE
) -> csr_matrix:
    """Return each item's nearest items with n_ij / (√(n_i·n_j) + shrinkage), equals by row, never itself.

    Parameters
    ----------
    matrix
        Users × items, 1 for every rating.
    neighbours
        How many are kept of each item.
    shrinkage
        What makes few common users count for little.

    Returns
    -------
    Items × items: a row holds its item's neighbours.
    """
    n_items = matrix.shape[1]
    columns: Any = matrix.tocsc()
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    k = min(neighbours, n_items)
    items, weights = np.empty((n_items, k), np.int32), np.empty((n_items, k), np.float32)
    for start in range(0, n_items, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n_items))
        common = (columns[:, rows].T @ columns).toarray()
        cosines = common / (np.sqrt(np.outer(counts[rows], counts)) + shrinkage)
        cosines[common == 0] = -np.inf  # strangers are nobody's neighbours
        cosines[np.arange(len(rows)), rows] = -np.inf
        items[rows], weights[rows] = top_of_scores(cosines.astype(np.float32), k)
    kept = items >= 0
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return csr_matrix((weights[kept].astype(np.float64), items[kept], indptr), shape=(n_items, n_items))
