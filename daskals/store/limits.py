"""Lowest and highest rating of a store: what its scale is taken for, and stars are clipped to."""

from __future__ import annotations

import numpy as np

from daskals.store.reader import RatingsStore


def rating_limits(store: RatingsStore) -> tuple[float, float]:
    """Return the lowest and the highest rating of a store."""
    values = store.scale if len(store.scale) else store.read_column("user", "values", 0, store.n_ratings)
    return float(np.min(values)), float(np.max(values))
