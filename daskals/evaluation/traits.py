"""Traits that the distance of items in a list is measured by: genres, or factors where there are none."""

from __future__ import annotations

import numpy as np

from daskals.store.genres import Genres
from daskals.types import Float32


def genre_traits(genres: Genres) -> Float32 | None:
    """Return each item's genres as a row of length 1 (0 without genres), float32, shape (items, genres).

    None where no item has any.
    """
    if not genres.names:
        return None
    counts = np.diff(genres.indptr)
    traits = np.zeros((len(counts), len(genres.names)), np.float32)
    items = np.repeat(np.arange(len(counts)), counts)
    traits[items, genres.indices] = 1.0 / np.sqrt(counts[items])
    return traits


def factor_traits(factors: Float32) -> Float32 | None:
    """Return the rows of factors, float32, shape (items, rank), scaled to length 1; None without factors."""
    if factors.shape[1] == 0:
        return None
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    scaled: Float32 = np.divide(factors, lengths, out=np.zeros_like(factors), where=lengths > 0)
    return scaled
