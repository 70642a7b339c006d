"""New items before anybody has rated them: placed by genres, or by the known items most like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.model.filters import known_genres
from daskals.types import Float64, Int64

ColdStart: TypeAlias = Literal["genres", "anchors", "bias"]
"""How a new item is placed: at its genres' mean, at the mean of known items like it, or at zero."""

N_ANCHORS = 30
YEAR_SCALE = 10.0
TRUSTED_RATINGS = 5.0


class ItemTraits(NamedTuple):
    """What is known of items beside their ratings.

    Attributes
    ----------
    genres
        float64, shape (items, genres): each row sums to 1, or is 0 where an item has none (paper 1, 4.5).
    years
        float64, shape (items,): year of release, NaN where unknown.
    names
        Names of the genres, alphabetical.
    """

    genres: Float64
    years: Float64
    names: list[str]


def read_traits(catalogue: pa.Table) -> ItemTraits:
    """Read genres and years of a catalogue's items."""
    lists = pa.concat_arrays(catalogue["genres"].chunks)
    flat = lists.flatten()
    names = sorted(flat.unique().to_pylist())
    genres = np.zeros((len(lists), len(names)))
    places = np.asarray(pc.index_in(flat, value_set=pa.array(names, pa.string())))
    genres[np.asarray(pc.list_parent_indices(lists)), places] = 1.0
    years = np.full(len(lists), np.nan)
    if "year" in catalogue.column_names:
        years = np.array(pc.fill_null(catalogue["year"].cast(pa.float64()), np.nan), np.float64)
    return ItemTraits(genres / np.maximum(genres.sum(axis=1, keepdims=True), 1.0), years, names)


def new_traits(genres: Sequence[str], names: list[str]) -> Float64:
    """Return the genre row of an item not in the catalogue, shape (genres,).

    Raises
    ------
    ConfigError
        If a genre is not known.
    """
    row = np.zeros(len(names))
    row[[names.index(genre) for genre in known_genres(genres, names)]] = 1.0
    scaled: Float64 = row / max(float(row.sum()), 1.0)
    return scaled


def trust(counts: Int64) -> Float64:
    """Return how far each item's row is known from its own ratings, 0 to 1, shape (items,) as `counts`."""
    n = counts.astype(np.float64)
    known: Float64 = n / (n + TRUSTED_RATINGS)
    return known


def genre_weights(traits: ItemTraits, rows: Float64, counts: Int64) -> Float64:
    """Fit W of F·W ≈ rows, shape (genres, rank + 1), items weighted by how well they are known.

    For models trained without a prior; a hierarchical model has learnt its own W. `rows` have shape
    (items, rank + 1), `counts` (items,).
    """
    weights = trust(counts)[:, None]
    gram = traits.genres.T @ (weights * traits.genres) + np.eye(len(traits.names))
    return np.asarray(np.linalg.solve(gram, traits.genres.T @ (weights * rows)), np.float64)


def anchor_mean(
    traits: ItemTraits, rows: Float64, counts: Int64, genres: Float64, year: float | None
) -> Float64:
    """Average the known items most like a new one (paper 1, section 8.1), shape (rank + 1,).

    Likeness is the cosine of the genres times a closeness in years, exp(−|Δ| / 10); the 30 most alike
    count by their likeness and by how well they are known. Without genres only the years tell.

    Parameters
    ----------
    traits, rows, counts
        The known items', shapes (items, rank + 1) and (items,).
    genres
        The new item's, 0 or 1, shape (genres,).
    year
        Its year, if known.
    """
    norms = np.linalg.norm(traits.genres, axis=1) * float(np.linalg.norm(genres))
    alike = traits.genres @ genres / np.where(norms > 0, norms, 1.0) if genres.any() else np.ones(len(norms))
    if year is not None and np.isfinite(year):
        gap = np.abs(traits.years - year)
        alike = alike * np.exp(-np.where(np.isnan(gap), YEAR_SCALE, gap) / YEAR_SCALE)
    weight = alike * trust(counts)
    nearest = np.argsort(-weight, kind="stable")[:N_ANCHORS]
    total = weight[nearest].sum()
    if total <= 0:
        return np.zeros(rows.shape[1])
    mean: Float64 = weight[nearest] @ rows[nearest] / total
    return mean
