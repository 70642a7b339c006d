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

from daskals.kernels.scoring.topk import NOTHING, ItemPanels, SeenItems, TopItems, pack_items, top_items
from daskals.kernels.toolkit.dense import product
from daskals.model.order.learnt import Order
from daskals.model.samples import Samples
from daskals.model.top_items import unit_rows
from daskals.types import Float32, Float64, Int64

N_COMPARED = 30
"""Samples of a posterior that items are compared by, evenly from all that are kept."""

COMPANY = 0.75
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
        left_out = [np.flatnonzero(~allowed)] if panels is None else []
        each = [np.concatenate([*left_out, [row]]).astype(np.int32) for row in rows]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in each])]).astype(np.int64)
        seen = SeenItems(starts, np.concatenate([*each, np.empty(0, np.int32)]).astype(np.int32))
        if self._companions is None:
            return top_items(panels or self.panels, self._units[rows], n, seen)
        # what is no companion is among the nearest only if it is so by taste, when these are set aside
        most = min(n + self._companions.items.shape[1], len(self._units))
        found = top_items(panels or self.panels, self._units[rows], most, seen)
        best = np.full((len(rows), n), NOTHING, np.int32)
        scores = np.full((len(rows), n), -np.inf, np.float32)
        for k, row in enumerate(rows):
            by_taste = found.items[k][found.items[k] != NOTHING].astype(np.int64)
            items, similarity = self._with_company(int(row), by_taste, allowed)
            top = np.lexsort((items, -similarity))[:n]
            best[k, : len(top)], scores[k, : len(top)] = items[top], similarity[top]
        return TopItems(best, scores)

    def _with_company(self, row: int, by_taste: Int64, allowed: NDArray[np.bool_]) -> tuple[Int64, Float64]:
        """Return an item's neighbours by taste and its companions, and how near they are, shape (found,)."""
        assert self._companions is not None
        near, correlations = np.empty(0, np.int64), np.empty(0, np.float32)
        place = self._place[row]
        if place >= 0:
            near = self._companions.items[place].astype(np.int64)
            told = allowed[near] & (near != row)
            near, correlations = near[told], self._companions.correlations[place][told]
        items = np.union1d(by_taste, near)
        own = self._units[row].astype(np.float64)
        similarity = (1.0 - COMPANY) * product(self._units[items].astype(np.float64), own[:, None])[:, 0]
        similarity[np.searchsorted(items, near)] += COMPANY * correlations
        return items, similarity


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
