"""Clicks whose items appeal by their genres, many of them to few people: what rare items need a prior for."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd


class PlantedClicks(NamedTuple):
    """Clicks that train and those held out, bool, shape (users, items); names of each item's genres."""

    train: np.ndarray
    test: np.ndarray
    genres: list[str]

    def write(self, folder: Path) -> Path:
        """Write what trains, with the genres of all items, as MovieLens has them but without ratings."""
        users, items = np.nonzero(self.train)
        pd.DataFrame({"userId": users, "movieId": items}).to_csv(folder / "ratings.csv", index=False)
        lines = [f"{item},Film {item} ({1980 + item % 7}),{names}" for item, names in enumerate(self.genres)]
        (folder / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(lines) + "\n")
        return folder


def planted_clicks(n_users: int = 150, n_items: int = 200, n_genres: int = 6, seed: int = 0) -> PlantedClicks:
    """Let people click what their genres, their own taste and an item's fame ask for, a quarter held out."""
    rng = np.random.default_rng(seed)
    kinds = [np.sort(rng.choice(n_genres, rng.integers(1, 3), replace=False)) for _ in range(n_items)]
    shares = np.zeros((n_items, n_genres))
    for item, own in enumerate(kinds):
        shares[item, own] = 1 / len(own)
    appeal = 1.6 * rng.normal(size=(n_users, n_genres)) @ shares.T
    appeal += 0.4 * rng.normal(size=(n_users, 6)) @ rng.normal(size=(6, n_items))
    appeal += 1.6 * rng.normal(size=n_items) + rng.gumbel(size=(n_users, n_items))
    clicked = np.zeros((n_users, n_items), bool)
    for user, first in enumerate(np.argsort(-appeal, axis=1)):
        clicked[user, first[: rng.integers(15, 50)]] = True
    test = clicked & (rng.random(clicked.shape) < 0.25)
    return PlantedClicks(clicked & ~test, test, ["|".join(f"Genre{k}" for k in own) for own in kinds])


def ndcg(scores: np.ndarray, clicks: PlantedClicks, items: np.ndarray, k: int = 20) -> float:
    """Return the mean NDCG@k among some items, users' training clicks left out, of who has one to find.

    Parameters
    ----------
    scores
        Shape (users, items).
    clicks
        What trained, and what is to be found.
    items
        Rows of the items that are ranked.
    k
        Length of a list.
    """
    ranked, wanted = np.where(clicks.train, -np.inf, scores)[:, items], clicks.test[:, items]
    asked = wanted.any(axis=1)
    order = np.argsort(-ranked[asked], axis=1, kind="stable")[:, :k]
    gains = 1 / np.log2(np.arange(order.shape[1]) + 2)
    found = np.take_along_axis(wanted[asked], order, axis=1) @ gains
    best = np.cumsum(gains)[np.minimum(wanted[asked].sum(axis=1), k) - 1]
    return float(np.mean(found / best))
