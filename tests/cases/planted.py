"""Ratings whose items' tastes follow their genres, for models that learn from genres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def planted(seed: int = 0, n_users: int = 60, n_items: int = 80) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ratings whose item factors and biases are near their genre's mean, and each item's genre."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, 5, n_items)
    q = (rng.normal(size=(5, 2)) * 0.8)[genre] + 0.2 * rng.normal(size=(n_items, 2))
    b = (rng.normal(size=5) * 0.5)[genre]
    p = rng.normal(size=(n_users, 2))
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.15)
    noise = 0.3 * rng.normal(size=len(users))
    ratings = np.clip(np.round(2 * (3.5 + b[items] + np.sum(p[users] * q[items], 1) + noise)) / 2, 0.5, 5)
    return pd.DataFrame({"user": users, "item": items, "rating": ratings}), genre


def write_planted(folder: Path) -> Path:
    """Write the planted ratings and their genres as MovieLens has them."""
    frame, genre = planted()
    frame.rename(columns={"user": "userId", "item": "movieId"}).assign(timestamp=0).to_csv(
        folder / "ratings.csv", index=False
    )
    lines = [f"{item},Film {item} ({1980 + item % 7}),Genre{kind}" for item, kind in enumerate(genre)]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(lines) + "\n")
    return folder
