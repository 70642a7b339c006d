"""Prediction error by the number of training ratings, of the user and of the item."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskals.evaluation.known_ratings import read_part
from daskals.evaluation.prediction_error import part_times
from daskals.model.factors import FactorModel
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.types import SIDES, TEST, Float64, Int64, Side

EDGES = (0, 1, 3, 8, 30)
"""First number of training ratings of each bucket."""

NAMES = ("0", "1-2", "3-7", "8-29", "30+")


def error_by_count(model: FactorModel, store: RatingsStore, split: Split) -> dict[str, Any]:
    """Return, for each side and bucket, test ratings, RMSE and MAE (None without ratings), unclipped."""
    test = read_part(store, split, TEST)
    rows: dict[Side, Int64] = {"user": test.users, "item": test.items.astype(np.int64)}
    times = part_times(model, store, split, (0, store.n_users), TEST)
    errors = test.ratings.astype(np.float64) - model.predict_rows(rows["user"], rows["item"], times)
    return {side: _by_bucket(split.train_counts(side)[rows[side]], errors) for side in SIDES}


def _by_bucket(known: Int64, errors: Float64) -> dict[str, dict[str, float | None]]:
    buckets = np.searchsorted(EDGES, known, side="right") - 1
    found: dict[str, dict[str, float | None]] = {}
    for number, name in enumerate(NAMES):
        here = errors[buckets == number]
        found[name] = {
            "n": len(here),
            "rmse": float(np.sqrt(np.mean(here**2))) if len(here) else None,
            "mae": float(np.mean(np.abs(here))) if len(here) else None,
        }
    return found
