"""An item that is not in the order, folded in: its own regression on the items there, as in training.

Column i of B is the regression of item i's interactions z on those of the others, b = (ZᵀZ + λ)⁻¹Zᵀz = Pv:
with v = Zᵀz, what its raters chose beside it and which genres it shares, nothing of the others changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse

from daskals.errors import ConfigError
from daskals.kernels.toolkit.dense import product
from daskals.model.order.learnt import Order
from daskals.types import Float64, Int32, Int64


class NewItem(NamedTuple):
    """What is known of an item that is not in the order.

    Attributes
    ----------
    column
        What rating an item of the core says of it, float64, shape (core,).
    genres
        Which genres it is of, 0 or 1, float64, shape (genres,).
    popularity
        Mean interaction over all users.
    factors, bias
        Its factors, float64, shape (rank,), and bias.
    """

    column: Float64
    genres: Float64
    popularity: float
    factors: Float64
    bias: float


def regressed_column(
    order: Order, genres: Float64, own_genres: Float64, raters: scipy.sparse.csr_array, own: Float64
) -> Float64:
    """Regress a new item on the items of an order, float64, shape (core,).

    Parameters
    ----------
    order
        What was learnt.
    genres, own_genres
        Which genres the items are of, shape (items, genres), and the new one, (genres,).
    raters, own
        Interactions of who rated it with all items, sparse, shape (raters, items), and with it, (raters,).

    Raises
    ------
    ConfigError
        If the model was trained before orders kept what this takes.
    """
    together = np.asarray(raters.T @ own).ravel()[order.items]
    weights = order.settings.genre_rows**2 / np.maximum(genres.sum(axis=0), 1.0)
    wanted = together + product(genres[order.items], (weights * own_genres)[:, None])[:, 0]
    return _inverse_times(order, wanted)


def _inverse_times(order: Order, wanted: Float64) -> Float64:
    """Return Pv, P = (ZᵀZ + λ)⁻¹, from what an order keeps: A, P = (1 − AᵀA)/λ, or B and P's diagonal."""
    products = order.products.astype(np.float64)
    if len(order.scale):
        inner = product(products, wanted[:, None])
        again = product(np.ascontiguousarray(products.T), inner)[:, 0]
        return (wanted - again) / order.settings.ridge
    if len(order.variances) < len(order.items):
        raise ConfigError(
            "the model keeps no variances of its order",
            where="a new item by affinity",
            expected="a model trained by this version",
            remedy="Train it anew",
        )
    scaled = order.variances.astype(np.float64) * wanted
    return scaled - product(products, scaled[:, None])[:, 0]


def interactions_of(indptr: Int64, items: Int32, x: Float64, n_items: int) -> scipy.sparse.csr_array:
    """Return people's interactions, sparse, shape (people, items), from their compressed rows.

    Parameters
    ----------
    indptr, items, x
        Where each person's begin, the items, and what each counts, shapes (people + 1,), (interactions,).
    n_items
        All items.
    """
    return scipy.sparse.csr_array((x, items, indptr), shape=(len(indptr) - 1, n_items))
