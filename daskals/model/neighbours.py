"""The neighbours of an item: alike in taste, as a model predicts ratings, and chosen by the same people.

    similarity = (1 − w)·cos(q_i, q_j) + w·r_ij

r_ij is the correlation of who chose the two (`daskals.model.order.companions`), 0 where it is not known. By
taste alone two films are near that a genre's prior made alike, though nobody likes both. The weight w is 0
in a model that has learnt no companions.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.scoring.company import nearest_in_company
from daskals.kernels.scoring.topk import NOTHING, ItemPanels, SeenItems, TopItems, pack_items, top_items
from daskals.kernels.toolkit.dense import product
from daskals.model.order.learnt import Order
from daskals.model.samples import Samples
from daskals.model.top_items import unit_rows
from daskals.types import Float32, Int64

N_COMPARED = 30
"""Samples of a posterior that items are compared by, evenly from all that are kept."""

COMPANY = 0.8
"""w: what a correlation counts beside a cosine, which is several times larger. See notebooks/README.md."""


class Neighbours:
    """Finds the neighbours of items.

    Parameters
    ----------
    compared
        What items are compared by, float32, shape (items, any); see `compared_rows`.
    order
        What the model learnt of the order of its lists; None if nothing.
    """

    def __init__(self, compared: Float32, order: Order | None) -> None:
        self._units = unit_rows(compared)
        self._companions = None if order is None or not len(order.companions.items) else order.companions
        self._place = np.full(len(compared), -1, np.int64)
        if order is not None:
            self._place[order.items] = np.arange(len(order.items))

    @cached_property
    def panels(self) -> ItemPanels:
        """All items, packed."""
        return self.packed(None)

    def packed(self, allowed: NDArray[np.bool_] | None) -> ItemPanels:
        """Pack the items that may be neighbours, all if `allowed`, bool, shape (items,), is None."""
        return pack_items(self._units, np.zeros(len(self._units), np.float32), allowed)

    def nearest(
        self, rows: Int64, n: int, allowed: NDArray[np.bool_], panels: ItemPanels | None = None
    ) -> TopItems:
        """Find the n nearest allowed items of each, itself left out.

        Parameters
        ----------
        rows
            The items, int64, shape (asked,).
        n
            Items to find.
        allowed
            Which items may be neighbours, bool, shape (items,).
        panels
            Those, packed; without it all are, which is as well for a few `rows`.

        Returns
        -------
        TopItems
            Shape (asked, n). Of equally near items the lower row stands first; where fewer are allowed,
            `NOTHING` stands in their places.
        """
        left_out = np.flatnonzero(~allowed if panels is None else np.zeros(0, np.bool_))
        each = np.empty((len(rows), len(left_out) + 1), np.int32)
        each[:, :-1], each[:, -1] = left_out, rows
        seen = SeenItems(np.arange(len(rows) + 1, dtype=np.int64) * each.shape[1], each.ravel())
        if self._companions is None:
            return top_items(panels or self.panels, self._units[rows], n, seen)
        # what is no companion is among the nearest only if it is so by taste, when these are set aside
        most = min(n + self._companions.items.shape[1], len(self._units))
        by_taste = top_items(panels or self.panels, self._units[rows], most, seen).items
        places = self._place[rows]
        near = self._companions.items[places]
        told = (places >= 0)[:, None] & allowed[near] & (near != rows[:, None])
        company = np.float32(COMPANY) * self._companions.correlations[places]
        near = np.where(told, near, np.int32(NOTHING))
        return nearest_in_company(self._units, rows, by_taste, near, company, 1.0 - COMPANY, n)


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
