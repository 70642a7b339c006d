"""A map of the items: where they lie on a plane, in which colour, and which of them are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from daskals.model.fitted import Model
from daskals.types import Float64

N_COLOURS = 9
LEAST_OF_GENRE = 5
OTHER_GENRE = "other"

PLANE = (330.0, 500.0)
"""Width and height, in pixels, of the map on the narrowest page: labels apart there are apart everywhere."""

LETTER_WIDTH, LINE_HEIGHT = 6.6, 17.0
MOST_LETTERS, MOST_LABELS = 26, 40


def item_map(model: Model, n_items: int = 1200, always: tuple[Any, ...] = ()) -> pd.DataFrame:
    """Place the best known items on a plane: the two directions in which their factors differ most.

    Parameters
    ----------
    model
        The model; of rank 2 and above the plane is that of the first principal components, of the items
        shown, centred; with fewer factors the missing directions are 0.
    n_items
        Items to show.
    always
        Ids of items to show whatever their number of ratings.

    Returns
    -------
    DataFrame
        `item`, `title`, `x`, `y`, `genre` (the one of its genres that tells most on this map),
        `n_ratings`, `mine` (whether it is one of `always`), `label` (what is written beside it: its title
        where there is room on the narrowest page, own titles first, then the best known; else empty).
    """
    known = np.argsort(-model.item_counts, kind="stable")[:n_items]
    rows = known[model.item_counts[known] > 0]
    mine = np.array([model.find_item(item) for item in always], np.int64)
    shown = np.concatenate([rows, np.setdiff1d(mine, rows)])
    centre = model.item_factors[rows].astype(np.float64).mean(axis=0)
    _, _, directions = np.linalg.svd(model.item_factors[rows] - centre, full_matrices=False)
    # a direction has no sign of its own: its largest coordinate shall be positive
    axes = (
        directions[:2]
        * np.sign(directions[:2][np.arange(len(directions[:2])), np.abs(directions[:2]).argmax(1)])[:, None]
    )
    places = np.zeros((len(shown), 2))
    places[:, : len(axes)] = (model.item_factors[shown] - centre) @ axes.T
    titles = [model.item_name(int(row)) for row in shown]
    own = np.isin(shown, mine)
    first = np.lexsort((-model.item_counts[shown], ~own))
    return pd.DataFrame(
        {
            "item": model.item_ids.take(pa.array(shown)).to_pylist(),
            "title": titles,
            "x": places[:, 0],
            "y": places[:, 1],
            "genre": _telling_genres(model, shown, places),
            "n_ratings": model.item_counts[shown],
            "mine": own,
            "label": _labels(places, titles, first),
        }
    )


def _telling_genres(model: Model, rows: NDArray[Any], places: Float64) -> list[str]:
    """Give each item its most telling genre: the one whose items lie together, away from the centre."""
    told = model.catalogue_column("genres")
    if told is None:
        return [OTHER_GENRE] * len(rows)
    lists = told.take(pa.array(rows)).to_pylist()
    names = sorted({genre for genres in lists for genre in genres})
    has = np.array([[name in genres for name in names] for genres in lists]).reshape(len(lists), len(names))
    counts = has.sum(axis=0)
    sums = has.T @ (places / np.maximum(places.std(axis=0), 1e-12))
    telling = np.linalg.norm(sums, axis=1) / np.sqrt(np.maximum(counts, 1))
    telling[counts < LEAST_OF_GENRE] = 0.0
    order = [names[place] for place in np.argsort(-telling, kind="stable")[:N_COLOURS] if telling[place] > 0]
    return [next((genre for genre in order if genre in genres), OTHER_GENRE) for genres in lists]


def _labels(places: Float64, titles: list[str], first: NDArray[Any]) -> list[str]:
    """Write titles above their points, in an order, where they cover no other that is written."""
    low, high = places.min(axis=0), places.max(axis=0)
    at = (places - low) / np.where(high > low, high - low, 1.0) * np.array(PLANE)
    labels, boxes = [""] * len(titles), np.empty((0, 4))
    for place in first:
        text = (
            titles[place] if len(titles[place]) <= MOST_LETTERS else titles[place][: MOST_LETTERS - 1] + "…"
        )
        width = LETTER_WIDTH * len(text) / 2
        x, y = at[place]
        box = np.array([x - width, x + width, y, y + LINE_HEIGHT])
        if box[0] < 0 or box[1] > PLANE[0] or box[3] > PLANE[1]:
            continue
        covers = (
            (boxes[:, 0] < box[1]) & (boxes[:, 1] > box[0]) & (boxes[:, 2] < box[3]) & (boxes[:, 3] > box[2])
        )
        if not covers.any():
            labels[place] = text
            boxes = np.vstack([boxes, box])
            if len(boxes) == MOST_LABELS:
                break
    return labels
