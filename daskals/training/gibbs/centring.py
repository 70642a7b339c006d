"""Factors moved so that the prior means of all sides are zero, every prediction staying as it is.

With p = p' + a and q = q' + c, p·q = p'·q' + p'·c + a·q' + a·c: what the means add goes to the biases and
to the global mean. Whoever is unknown is then zero, in every sample. Of three sides every pair is such a
product, so that each side's bias takes what the means of both others add.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from daskals.kernels.gibbs.moments import row_vectors
from daskals.training.gibbs.posterior import SidePrior
from daskals.types import FactorRows, Float32, Float64, Side

_THREE: tuple[Side, Side, Side] = ("user", "item", "time")


class Centred(NamedTuple):
    """Rows [factors, bias] of each side, float32, shape (rows, rank + 1), and the global mean with them.

    `times` are those of the third side, None where there is none.
    """

    users: Float32
    items: Float32
    mean: float
    times: Float32 | None = None


def centre(
    user_rows: FactorRows,
    item_rows: FactorRows,
    priors: dict[Side, SidePrior],
    mean: float,
    rank: int,
    time_rows: FactorRows | None = None,
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
    time_rows
        Those of the third side, of that shape (rows, rank + 2), if there is one.
    """
    if time_rows is not None:
        return _centre_three((user_rows, item_rows, time_rows), priors, mean, rank)
    users, items = (row_vectors(rows, rank) for rows in (user_rows, item_rows))
    of_users, of_items = priors["user"].mean, priors["item"].mean
    users -= of_users
    items -= of_items
    users[:, rank] += _times(users[:, :rank], of_items[:rank])
    items[:, rank] += _times(items[:, :rank], of_users[:rank])
    total = mean + of_users[rank] + of_items[rank] + float(np.sum(of_users[:rank] * of_items[:rank]))
    return Centred(users.astype(np.float32), items.astype(np.float32), float(total))


def _centre_three(
    rows: tuple[FactorRows, FactorRows, FactorRows], priors: dict[Side, SidePrior], mean: float, rank: int
) -> Centred:
    means = [priors[side].mean for side in _THREE]
    together = np.sum([own[:rank] for own in means], axis=0)
    centred = []
    for own, side_mean in zip(rows, means, strict=True):
        vectors = row_vectors(own, rank) - side_mean
        vectors[:, rank] += _times(vectors[:, :rank], together - side_mean[:rank])
        centred.append(vectors.astype(np.float32))
    a, c, e = (own[:rank] for own in means)
    total = mean + float(sum(own[rank] for own in means)) + float(np.sum(a * c + (a + c) * e))
    return Centred(centred[0], centred[1], total, centred[2])


def centre_weights(priors: dict[Side, SidePrior], rank: int) -> dict[Side, Float64]:
    """Return W of each side as it predicts centred rows; no rows without features."""
    found: dict[Side, Float64] = {}
    for side, prior in priors.items():
        found[side] = prior.weights.copy()
        for other, of_other in priors.items():
            if other != side:
                found[side][:, rank] += _times(prior.weights[:, :rank], of_other.mean[:rank])
    return found


def _times(rows: Float64, vector: Float64) -> Float64:
    # not BLAS, whose sums depend on its threads
    return np.asarray(np.sum(rows * vector, axis=1))
