"""Choice of items by a user: a person's, or drawn by popularity alone as an attack's fillers are."""

from __future__ import annotations

import numpy as np
from scipy import sparse, stats
from scipy.sparse.linalg import LinearOperator, svds

from daskals.analysis.anomalies.ratings import Rated
from daskals.analysis.anomalies.testing import Bools
from daskals.types import Float64, Int32, Int64

DIRECTIONS_OF_CHOICE = 20
_LEAST_USERS = 50
_LEAST_SPREAD = 0.05


def choice_odds(rated: Rated, n_items: int, looked_at: Bools | None = None) -> Float64:
    """Return log odds of each user's choice under draws by popularity against that of people.

    People choose what other people choose together: their rows of the rated-or-not matrix, less what
    popularity explains, lie along its leading singular directions. The length along those is compared with
    the users' own, and with that of as many rows drawn by popularity in the same decomposition. Both are
    taken as log-normal about a line over the log of the number of ratings. With `looked_at`, bool, shape
    (items,), only these items count. The odds have shape (users,); 0 where too few users tell.
    """
    kept = np.ones(len(rated.items), dtype=bool) if looked_at is None else looked_at[rated.items]
    users, items = rated.users[kept], rated.items[kept]
    counts = np.bincount(users, minlength=rated.n_users)
    known = np.flatnonzero(counts >= 2)
    n = len(known)
    if n < _LEAST_USERS or n_items <= DIRECTIONS_OF_CHOICE:
        return np.zeros(len(counts))
    rng = np.random.default_rng(0)
    popularity = np.bincount(items, minlength=n_items) / len(items)
    drawn = np.searchsorted(np.cumsum(popularity), rng.random(len(items)), side="right")
    drawn = np.minimum(drawn, n_items - 1)
    shape = (rated.n_users, n_items)
    both = sparse.vstack([_matrix(users, items, shape)[known], _matrix(users, drawn, shape)[known]])
    lengths = _lengths(both.tocsr(), popularity, rng)
    logs = np.log(np.maximum(lengths, 1e-12))
    sizes = np.log(counts[known].astype(np.float64))
    odds = np.zeros(len(counts))
    odds[known] = _log_normal(sizes, logs[:n], logs[n:]) - _log_normal(sizes, logs[:n], logs[:n])
    return odds


def _matrix(users: Int32, items: Int64 | Int32, shape: tuple[int, int]) -> sparse.csr_array:
    """Return who rated what as ones; what was drawn twice counts once."""
    matrix = sparse.coo_array((np.ones(len(items)), (users, items)), shape=shape).tocsr()
    matrix.data[:] = 1.0
    return matrix


def _lengths(matrix: sparse.csr_array, popularity: Float64, rng: np.random.Generator) -> Float64:
    """Return squared lengths along the leading directions of rows less expectation, each row scaled alike."""
    counts = np.diff(matrix.indptr).astype(np.float64)
    # rows are n·popularity short of their expectation; a row's variance is about n(1 − Σ popularity²)
    scale = 1.0 / np.sqrt(np.maximum(counts, 1.0) * max(1.0 - float(np.sum(popularity**2)), 1e-6))
    level = counts * scale

    def forward(vector: Float64) -> Float64:
        column = vector.ravel()
        return np.asarray(scale * (matrix @ column) - level * float(popularity @ column))

    def backward(vector: Float64) -> Float64:
        column = vector.ravel()
        return np.asarray(matrix.T @ (scale * column) - popularity * float(level @ column))

    operator = LinearOperator(matrix.shape, matvec=forward, rmatvec=backward, dtype=np.float64)
    k = min(DIRECTIONS_OF_CHOICE, min(matrix.shape) - 1)
    left, values, _ = svds(operator, k=k, v0=rng.normal(size=min(matrix.shape)), tol=1e-3)
    return np.asarray(np.sum((left * values) ** 2, axis=1))


def _log_normal(sizes: Float64, values: Float64, of: Float64) -> Float64:
    """Return the log density of values under the law of `of`, normal about a line over the sizes."""
    centred = sizes - sizes.mean()
    spread_of_sizes = float(centred @ centred)
    slope = float(centred @ of) / spread_of_sizes if spread_of_sizes > 1e-9 else 0.0
    rest = of - slope * sizes
    centre = float(np.median(rest))
    spread = max(float(np.diff(np.quantile(rest, (0.25, 0.75)))[0]) / 1.349, _LEAST_SPREAD)
    return np.asarray(stats.norm.logpdf(values - slope * sizes - centre, scale=spread))
