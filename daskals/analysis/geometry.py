"""The geometry of a model's items: map, genres, polarity and densities, as numbers.

Paper 1: section 7.2, Table 4 and Figure 13. Paper 2: sections 1 and 4.1, Figure 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daskals.analysis.density import joint_density
from daskals.analysis.missing import Numbers, missing
from daskals.analysis.movement import describe_movement
from daskals.analysis.projection import ItemMap, genre_matrix, map_items
from daskals.analysis.separation import (
    NEIGHBOURS,
    NO_GENRES,
    genre_means,
    neighbour_agreement,
    paper_claims,
    silhouette,
)
from daskals.model.fitted import Model
from daskals.types import Float64, Int64

POLARITY_ROWS = 10
PAPER_MIN_RATINGS = 1_000
DEFAULT_LABELS = 15
HIGHLIGHTED = ("Horror", "Children", "Documentary")
"""The genres that paper 1 colours."""


def describe_geometry(
    model: Model, labels: Sequence[str] = (), min_ratings: int | None = None, *, over_time: bool = False
) -> Numbers:
    """Return all numbers of the geometry, ready for JSON.

    Parameters
    ----------
    model
        The model.
    labels
        Titles or ids of items to be named on the map; without any, the most rated ones.
    min_ratings
        Training ratings an item needs to be ranked by polarity. Default: paper 1's 1,000, or, where that
        leaves fewer than 50 items, what leaves the most rated tenth.
    over_time
        Also tell how genres and titles move; see `movement`.

    Returns
    -------
    Numbers
        `map`, `genre_means`, `claims`, `neighbours`, `silhouette`, `polarity`, `density`, and `movement` if
        that is asked for.

    Raises
    ------
    ConfigError
        If a model that knows no dates is asked how things move.
    DataError
        If a label names no item.
    """
    named = [model.find_item(label) for label in labels]
    movement = {"movement": describe_movement(model, named)} if over_time else {}
    found = map_items(model, named)
    result: Numbers = {"config": {name: model.report["config"].get(name) for name in ("model", "rank")}}
    if isinstance(found, str):
        sections = ("map", "genre_means", "claims", "neighbours", "silhouette")
        result.update({name: missing(found) for name in sections})
    else:
        result.update(_of_map(model, found, named))
    result["polarity"] = polarity(model, min_ratings)
    result["density"] = {
        "users": joint_density(model.user_factors[model.user_counts > 0].astype(np.float64)),
        "items": joint_density(model.item_factors[model.item_counts > 0].astype(np.float64)),
    }
    return {**result, **movement}


def _of_map(model: Model, found: ItemMap, named: list[int]) -> Numbers:
    genres, names = genre_matrix(model, found.rows)
    popularity = model.item_counts[found.rows]
    labelled = named or found.rows[:DEFAULT_LABELS].tolist()
    place_of = {row: place for place, row in enumerate(found.rows.tolist())}
    common = sorted(range(len(names)), key=lambda genre: -genres[:, genre].sum())
    coloured = [name for name in HIGHLIGHTED if name in names]
    coloured += [names[genre] for genre in common if names[genre] not in coloured][: 3 - len(coloured)]
    no_genres = missing(NO_GENRES)
    return {
        "map": {
            "axes": list(found.axes),
            "x": found.places[:, 0].tolist(),
            "y": found.places[:, 1].tolist(),
            "titles": [model.item_name(int(row)) for row in found.rows],
            "counts": popularity.tolist(),
            "genres": [[names[genre] for genre in np.flatnonzero(row)] for row in genres],
            "highlighted": coloured,
            "labelled": [place_of[row] for row in labelled],
        },
        "genre_means": genre_means(found.places, genres, names) if names else no_genres,
        "claims": paper_claims(found.places, genres, names) if names else no_genres,
        "neighbours": _agreement(model, found.rows, genres) if names else no_genres,
        "silhouette": silhouette(found.factors, genres) if names else no_genres,
    }


def _agreement(model: Model, rows: Int64, genres: Float64) -> Numbers:
    """Tell how often the neighbours that the model lists, among the items of the map, share a genre."""
    lengths = np.linalg.norm(model.compared_items[rows], axis=1)
    kept = np.flatnonzero(genres.any(axis=1) & (lengths > 0))
    if len(kept) <= NEIGHBOURS:
        return missing(NO_GENRES if not genres.any() else f"fewer than {NEIGHBOURS + 1} items have genres")
    allowed = np.zeros(len(model.item_ids), bool)
    allowed[rows[kept]] = True
    found = model.neighbours.nearest(rows[kept], NEIGHBOURS, allowed, model.neighbours.packed(allowed))
    places = np.full(len(allowed), -1, np.int64)
    places[rows[kept]] = np.arange(len(kept))
    return neighbour_agreement(places[found.items], genres[kept], model.item_counts[rows[kept]])


def polarity(model: Model, min_ratings: int | None = None) -> Numbers:
    """Rank items by ‖q_i‖, how far taste moves their rating (paper 1, section 7.2 and Table 4)."""
    if model.rank == 0:
        return missing("the model has no factors")
    counts = model.item_counts
    if min_ratings is None:
        rated = np.sort(counts[counts > 0])
        enough = np.sum(counts >= PAPER_MIN_RATINGS) >= 50
        min_ratings = PAPER_MIN_RATINGS if enough else int(rated[int(0.9 * len(rated))]) if len(rated) else 1
    rows = np.flatnonzero(counts >= max(min_ratings, 1))
    if not len(rows):
        counted = "training ratings" if model.predicts_ratings else model.counted_as
        return missing(f"no item has {min_ratings:,} {counted}")
    norms = np.linalg.norm(model.item_factors[rows].astype(np.float64), axis=1)
    order = np.argsort(-norms, kind="stable")
    most, least = order[:POLARITY_ROWS], order[::-1][:POLARITY_ROWS]
    return {
        "min_ratings": min_ratings,
        "counted_as": model.counted_as,
        "items": len(rows),
        **{
            name: [
                {
                    "title": model.item_name(int(rows[place])),
                    "norm": float(norms[place]),
                    "n_ratings": int(counts[rows[place]]),
                }
                for place in places
            ]
            for name, places in (("most", most), ("least", least))
        },
    }
