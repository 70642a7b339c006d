"""What the genre prior is worth for clicks: rare items are found, dense ones lose nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from tests.cases.planted_clicks import PlantedClicks, ndcg, planted_clicks

RIDGES = [0.007, 0.02, 0.05, 0.1]
OPTIONS = {
    "model": "ials",
    "rank": 16,
    "epochs": 12,
    "split": "none",
    "columns": "user=userId,item=movieId",
}


def scores(client, folder: Path, clicks: PlantedClicks, tau: float, features: str) -> np.ndarray:
    """Train, and return what the model scores each pair, shape (users, items)."""
    folder.mkdir()
    options = {**OPTIONS, "tau": tau, "item_features": features}
    model = fit(str(clicks.write(folder)), TrainConfig.parse(options), client)
    found = np.zeros(clicks.train.shape)
    rows = np.ix_(model.user_ids.to_pylist(), model.item_ids.to_pylist())
    found[rows] = model.user_factors @ model.item_factors.T
    return found


def chosen_ridge(client, folder: Path, clicks: PlantedClicks, features: str) -> float:
    """Choose τ by the NDCG@20 of all items on a fifth of what trains."""
    held = clicks.train & (np.random.default_rng(1).random(clicks.train.shape) < 0.2)
    part = PlantedClicks(clicks.train & ~held, held, clicks.genres)
    everything = np.arange(clicks.train.shape[1])
    folder.mkdir()
    found = {
        tau: ndcg(scores(client, folder / str(tau), part, tau, features), part, everything) for tau in RIDGES
    }
    return max(found, key=lambda tau: found[tau])


@pytest.mark.parametrize("seed", range(3))
def test_the_genre_prior_finds_rare_items_and_costs_dense_ones_nothing(client, tmp_path, seed):
    """NDCG@20, each form with the ridge that serves it best on a validation part of all items."""
    clicks = planted_clicks(600, 800, 12, seed=seed)
    counts = clicks.train.sum(axis=0)
    found = {}
    for features in ("none", "genres"):
        tau = chosen_ridge(client, tmp_path / f"{features}-validation", clicks, features)
        own = scores(client, tmp_path / features, clicks, tau, features)
        found[features] = [ndcg(own, clicks, np.flatnonzero(part)) for part in (counts <= 3, counts > 3)]
        print(f"{features}: ridge {tau}, rare items {found[features][0]:.4f}, dense {found[features][1]:.4f}")
    assert found["genres"][0] >= 1.3 * found["none"][0]
    assert found["genres"][1] >= found["none"][1]
