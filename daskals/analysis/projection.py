"""Map of items: the factors themselves at rank 2, else two leading principal axes (paper 2, Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from daskals.model.fitted import Model
from daskals.store.genres import Genres, encode_genres
from daskals.types import Float64, Int64

TOP_ITEMS = 2_500
"""Items on the map, those with the most training ratings (paper 1, Fig. 13)."""


class ItemMap(NamedTuple):
    """Items with their places on the map.

    `rows`: their rows in the model, int64, shape (items,); `factors`: their factors, float64, shape (items,
    rank); `places`: coordinates on the two axes, float64, shape (items, 2); `axes`: what each axis is
    called.
    """

    rows: Int64
    factors: Float64
    places: Float64
    axes: tuple[str, str]


def map_items(model: Model, also: Sequence[int] = (), top: int = TOP_ITEMS) -> ItemMap | str:
    """Place the most rated items on the map; return it, or why there is none, a clause."""
    if model.rank < 2:
        return f"a map takes two factors, and the model has {model.rank}"
    order = np.argsort(-model.item_counts, kind="stable")[:top]
    popular = order[model.item_counts[order] > 0]
    if len(popular) < 3:
        return f"a map takes three rated items, and the model has {len(popular)}"
    rows = np.concatenate([popular, np.setdiff1d(np.array(also, np.int64), popular)])
    factors = model.item_factors[rows].astype(np.float64)
    if model.rank == 2:
        return ItemMap(rows, factors, factors, ("factor 1", "factor 2"))
    centre = factors[: len(popular)].mean(axis=0)
    _, lengths, axes = np.linalg.svd(factors[: len(popular)] - centre, full_matrices=False)
    if lengths[1] <= 1e-6 * max(lengths[0], 1e-30):
        return "the items' factors lie on one line"
    # an axis may point either way: the side of its largest component is the positive one
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])
    shares = lengths**2 / (lengths**2).sum()
    names = [f"principal axis {n + 1} ({100 * shares[n]:.0f} % of the variance)" for n in range(2)]
    places = (factors - centre) @ (axes[:2] * signs[:, None]).T
    return ItemMap(rows, factors, places, (names[0], names[1]))


def genre_matrix(model: Model, rows: Int64) -> tuple[Float64, list[str]]:
    """Return which items of `rows`, shape (items,), have which genre, 0 or 1, (items, genres), and the names.

    Genres that none of the items has are left out; without any genres the matrix has no columns.
    """
    genres = encode_genres(model.catalogue, len(model.item_ids))
    matrix = np.zeros((len(rows), len(genres.names)))
    for place, row in enumerate(rows):
        matrix[place, _of(genres, int(row))] = 1.0
    there = np.flatnonzero(matrix.any(axis=0))
    return matrix[:, there], [genres.names[genre] for genre in there]


def _of(genres: Genres, row: int) -> Int64:
    return genres.indices[genres.indptr[row] : genres.indptr[row + 1]].astype(np.int64)
