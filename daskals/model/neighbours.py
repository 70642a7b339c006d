"""What items are compared by: how alike their ratings are, as a model predicts them."""

from __future__ import annotations

import numpy as np

from daskals.kernels.toolkit.dense import product
from daskals.model.samples import Samples
from daskals.types import Float32, Int64

N_COMPARED = 30
"""Samples of a posterior that items are compared by, evenly from all that are kept."""


def compared_rows(samples: Samples, user_counts: Int64) -> Float32:
    """Return rows of items whose cosines tell how alike two items are liked, over people and samples.

    A sample's factors X are turned to X·L, LLᵀ = PᵀP / n, by the factors P of the n users with ratings: the
    product of two such rows is the mean, over users, of the product of what the sample predicts of taste. The
    mean of samples side by side is that of all of them. The mean of the factors would not do: what one sample
    calls its first factor is another's third.

    Parameters
    ----------
    samples
        The posterior.
    user_counts
        Training ratings of each user, int64, shape (users,).

    Returns
    -------
    Float32
        Shape (items, samples·rank).
    """
    rank = samples.items.shape[2] - 1
    some = np.unique(np.linspace(0, samples.n_samples - 1, min(N_COMPARED, samples.n_samples)).round())
    rated = user_counts > 0
    parts = []
    for number in some.astype(int):
        people = samples.users[rated, number, :rank].astype(np.float64)
        moment = product(np.ascontiguousarray(people.T), people) / max(len(people), 1)
        # of fewer people than factors, or of dust, there is no root without a little on the diagonal
        ridge = 1e-9 * max(float(np.trace(moment)) / rank, np.finfo(np.float64).tiny)
        root = np.linalg.cholesky(moment + ridge * np.eye(rank))
        parts.append(product(samples.items[:, number, :rank].astype(np.float64), root).astype(np.float32))
    return np.concatenate(parts, axis=1)
