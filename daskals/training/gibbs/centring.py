"""Factors moved so that the prior means of both sides are zero, every prediction staying as it is.

With p = p' + a and q = q' + c, p·q = p'·q' + p'·c + a·q' + a·c: what the means add goes to the biases and
to the global mean. Whoever is unknown is then zero, in every sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.gibbs.moments import row_vectors
from daskals.training.gibbs.posterior import SidePrior
from daskals.types import FactorRows, Float32, Float64, Side


class Centred(NamedTuple):
    """Rows [factors, bias] of both sides, float32, shape (rows, rank + 1), and the global mean with them."""

    users: Float32
    items: Float32
    mean: float


def centre(
    user_rows: FactorRows, item_rows: FactorRows, priors: dict[Side, SidePrior], mean: float, rank: int
) -> Centred:
    """Centre the rows of users and items by the means of their priors, the features' part left in.

    Parameters
    ----------
    user_rows, item_rows
        Float32, shape (rows, rank + 2).
    priors
        By side, as the rows were drawn from them.
    mean, rank
        Global mean μ; number of factors.
    """
    users, items = (row_vectors(rows, rank) for rows in (user_rows, item_rows))
    of_users, of_items = priors["user"].mean, priors["item"].mean
    users -= of_users
    items -= of_items
    users[:, rank] += _times(users[:, :rank], of_items[:rank])
    items[:, rank] += _times(items[:, :rank], of_users[:rank])
    total = mean + of_users[rank] + of_items[rank] + float(np.sum(of_users[:rank] * of_items[:rank]))
    return Centred(users.astype(np.float32), items.astype(np.float32), float(total))


def centre_weights(priors: dict[Side, SidePrior], rank: int) -> dict[Side, Float64]:
    """Return W of each side as it predicts centred rows; no rows without features."""
    found: dict[Side, Float64] = {}
    others: dict[Side, Side] = {"user": "item", "item": "user"}
    for side, prior in priors.items():
        found[side] = prior.weights.copy()
        found[side][:, rank] += _times(prior.weights[:, :rank], priors[others[side]].mean[:rank])
    return found


def _times(rows: Float64, vector: Float64) -> Float64:
    # not BLAS, whose sums depend on its threads
    return np.asarray(np.sum(rows * vector, axis=1))
