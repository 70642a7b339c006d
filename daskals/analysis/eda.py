"""Exploration of a ratings store: every number of the papers' tables and figures about the data.

Paper 1: Table 1, Figures 1 to 3. Paper 2: Figures 1 to 4. The figures are drawn from what stands here.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.analysis.counting import Histogram, Moments, item_sums, rating_histogram, ratings_per_year
from daskals.analysis.dates import NO_TIMESTAMPS, deviations_in_time
from daskals.analysis.missing import Numbers, missing
from daskals.analysis.powerlaw import fit_power_law
from daskals.store.genres import Genres
from daskals.store.reader import RatingsStore
from daskals.types import Float64, Int64

TOP_USERS = 20
TOP_TAGS = 200

NO_CATALOGUE = "the ratings came without a catalogue of their items"
NO_YEARS = "the catalogue has no release years"
NO_GENRES = "the catalogue has no genres"
NO_TAGS = "the ratings came without tags"


def explore(store: RatingsStore) -> Numbers:
    """Return all numbers of the exploration, ready for JSON.

    They are `table` (paper 1, Table 1); `rating_histogram`, `top_users`, `degrees` (paper 1, Fig. 1 to 3);
    `releases_per_year`, `ratings_per_year`, `mean_by_release_year`, `genres` and `tags` (paper 2, Fig. 2 to
    4); `dates`, by how much ratings deviate from their biases as time goes. A section that the data do not
    have says so under `missing`. Raises StoreError if the store is
    damaged.
    """
    histogram, moments = rating_histogram(store)
    degrees = {"users": np.diff(store.indptr("user")), "items": np.diff(store.indptr("item"))}
    sums = item_sums(store)
    return {
        "table": _table(store, histogram, moments),
        "rating_histogram": {
            "values": histogram.values.tolist(),
            "counts": histogram.counts.tolist(),
            "bin_width": histogram.bin_width,
        },
        "top_users": _top_users(store, degrees["users"]),
        "degrees": {name: _degrees(counts) for name, counts in degrees.items()},
        "ratings_per_year": _ratings_per_year(store),
        "dates": deviations_in_time(store),
        **_release_years(store, degrees["items"], sums),
        "genres": _genres(store, degrees["items"], sums),
        "tags": _tags(store),
    }


def _table(store: RatingsStore, histogram: Histogram, moments: Moments) -> Numbers:
    cells = store.n_users * store.n_rated_items
    return {
        "n_ratings": store.n_ratings,
        "n_users": store.n_users,
        "n_rated_items": store.n_rated_items,
        "n_listed_items": store.n_items,
        "ratings_per_user": store.n_ratings / store.n_users,
        "ratings_per_item": store.n_ratings / store.n_rated_items,
        "mean": moments.mean,
        "deviation": moments.deviation,
        "mode": float(histogram.values[np.argmax(histogram.counts)]),
        "lowest": moments.low,
        "highest": moments.high,
        "sparsity_percent": 100.0 * (1.0 - store.n_ratings / cells),
    }


def _top_users(store: RatingsStore, counts: Int64) -> Numbers:
    rows = np.argsort(-counts, kind="stable")[:TOP_USERS]
    return {"users": store.user_ids.take(pa.array(rows)).to_pylist(), "counts": counts[rows].tolist()}


def _degrees(counts: Int64) -> Numbers:
    values, rows = np.unique(counts[counts > 0], return_counts=True)
    return {"n_ratings": values.tolist(), "rows": rows.tolist(), "fit": fit_power_law(counts)}


def _ratings_per_year(store: RatingsStore) -> Numbers:
    if not store.has_timestamps:
        return missing(NO_TIMESTAMPS)
    years, counts = ratings_per_year(store)
    return {"years": years.tolist(), "counts": counts.tolist()}


def _release_years(store: RatingsStore, counts: Int64, sums: Float64) -> dict[str, Numbers]:
    catalogue = store.catalogue()
    if catalogue is None or "year" not in catalogue.column_names:
        reason = missing(NO_CATALOGUE if catalogue is None else NO_YEARS)
        return {"releases_per_year": reason, "mean_by_release_year": reason}
    column = pc.fill_null(catalogue["year"].cast(pa.int64()), -1)
    years = np.asarray(column)
    known = years >= 0
    if not known.any():
        return {"releases_per_year": missing(NO_YEARS), "mean_by_release_year": missing(NO_YEARS)}
    distinct, inverse = np.unique(years[known], return_inverse=True)
    n_ratings = np.bincount(inverse, weights=counts[known])
    totals = np.bincount(inverse, weights=sums[known])
    rated = n_ratings > 0
    return {
        "releases_per_year": {"years": distinct.tolist(), "counts": np.bincount(inverse).tolist()},
        "mean_by_release_year": {
            "years": distinct[rated].tolist(),
            "means": (totals[rated] / n_ratings[rated]).tolist(),
            "counts": n_ratings[rated].astype(np.int64).tolist(),
        },
    }


def _genres(store: RatingsStore, counts: Int64, sums: Float64) -> Numbers:
    genres = store.genres()
    if not genres.names:
        return missing(NO_CATALOGUE if store.catalogue() is None else NO_GENRES)
    items, ratings, totals = _by_genre(genres, counts, sums)
    order = np.argsort(-items, kind="stable")
    rated = ratings[order] > 0
    return {
        "names": [genres.names[genre] for genre in order],
        "items": items[order].astype(np.int64).tolist(),
        "item_share_percent": (100.0 * items[order] / items.sum()).tolist(),
        "ratings": ratings[order].astype(np.int64).tolist(),
        "rating_share_percent": (100.0 * ratings[order] / max(ratings.sum(), 1.0)).tolist(),
        "means": [
            float(totals[genre] / ratings[genre]) if known else None
            for genre, known in zip(order, rated, strict=True)
        ],
    }


def _by_genre(genres: Genres, counts: Int64, sums: Float64) -> tuple[Float64, Float64, Float64]:
    """Return the items, the ratings and their sum of each genre; an item counts in each of its own."""
    item_of = np.repeat(np.arange(len(genres.indptr) - 1), np.diff(genres.indptr))
    n = len(genres.names)
    return (
        np.bincount(genres.indices, minlength=n).astype(np.float64),
        np.bincount(genres.indices, weights=counts[item_of], minlength=n).astype(np.float64),
        np.bincount(genres.indices, weights=sums[item_of], minlength=n).astype(np.float64),
    )


def _tags(store: RatingsStore) -> Numbers:
    table = store.tags()
    if table is None:
        return missing(NO_TAGS)
    tags = pc.utf8_lower(pc.utf8_trim_whitespace(table["tag"].drop_null()))
    counted = pc.value_counts(tags.filter(pc.not_equal(tags, "")))
    pairs = sorted((-one["counts"], one["values"]) for one in counted.to_pylist())
    if not pairs:
        return missing(NO_TAGS)
    return {
        "n_tags": -sum(count for count, _ in pairs),
        "n_distinct": len(pairs),
        "tags": [tag for _, tag in pairs[:TOP_TAGS]],
        "counts": [-count for count, _ in pairs[:TOP_TAGS]],
    }
