"""Ratings without genres, timestamps and tags, with string ids and another scale; and hostile titles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.ratings.table import RatingsTable
from daskals.store.reader import RatingsStore
from daskals.store.writer import write_store

HOSTILE = "</script><script>alert('x')</script> & \"$\\alpha_$\" <b>日本</b> \u202eعربي\x07"
"""A title with markup, quotes, mathematics for matplotlib, other scripts and a control character."""


def bare_table(n_users: int = 60, n_items: int = 40, seed: int = 0) -> RatingsTable:
    """Ratings on -10 … 10, continuous, with string ids and nothing else."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.4)
    taste = rng.normal(0, 2, (n_users, 2)) @ rng.normal(0, 1, (2, n_items))
    values = np.clip(taste[users, items] + rng.normal(0, 1, len(users)), -10, 10).astype(np.float32)
    return RatingsTable(
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=values,
        timestamps=None,
        positions=np.arange(len(users)),
        user_ids=pa.array([f"ü<{row}>" for row in range(n_users)]),
        item_ids=pa.array([f"it&em {row}" for row in range(n_items)]),
        n_input=len(users),
    )


def hostile_table(seed: int = 0) -> RatingsTable:
    """Half-star ratings whose titles, genres and tags are all `HOSTILE`, with a number behind."""
    bare = bare_table(seed=seed)
    n_items = bare.n_items
    catalogue = pa.table(
        {
            "title": [f"{HOSTILE}{row}" for row in range(n_items)],
            "year": pa.array([1990 + row % 30 for row in range(n_items)], pa.int32()),
            "genres": [[f"{HOSTILE}{row % 3}"] for row in range(n_items)],
        }
    )
    tags = pa.table(
        {
            "user_id": bare.user_ids.take(pa.array([0, 1, 2])),
            "item_id": bare.item_ids.take(pa.array([0, 1, 2])),
            "tag": [HOSTILE, "plain", "plain"],
            "timestamp": [1, 2, 3],
        }
    )
    stars = np.clip(np.round(bare.values + 6) / 2, 0.5, 5).astype(np.float32)
    rng = np.random.default_rng(1)
    return RatingsTable(
        **{
            **{
                name: getattr(bare, name)
                for name in ("users", "items", "positions", "user_ids", "item_ids", "n_input")
            },
            "values": stars,
            "timestamps": rng.integers(10**9, 10**9 + 10**7, len(stars)),
            "catalogue": catalogue,
            "tags": tags,
        }
    )


def stored(table: RatingsTable, folder: Path) -> RatingsStore:
    """Write a table as a store."""
    return write_store(table, folder)


def check_page(text: str) -> None:
    """A page without markup from the data and without anything fetched from elsewhere."""
    assert "<b>" not in text
    assert "alert('x')</script>" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "\x07" not in text


def trials() -> pd.DataFrame:
    """Return a grid of trials of a search, best where tau is 0.1."""
    rows = [
        {"rank": rank, "lambda": lam, "gamma": gamma, "tau": tau}
        for rank in (2, 10)
        for lam in (0.002, 0.004)
        for gamma in (0.01, 0.02)
        for tau in (0.05, 0.1, 0.2)
    ]
    frame = pd.DataFrame(rows)
    frame["validation_rmse"] = (
        1 - frame["rank"] / 100 + (frame["tau"] - 0.1).abs() + frame["gamma"] + frame["lambda"]
    )
    frame["train_rmse"] = frame["validation_rmse"] - 0.1
    return frame


def planted_genres(n: int = 300, *, apart: float, rank: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Items of one genre each, Horror and Children `apart` on the first factor, Documentary on the second."""
    rng = np.random.default_rng(0)
    genres = np.eye(3)[np.arange(n) % 3]
    factors = rng.normal(0, 1, (n, rank))
    factors[:, 0] += apart * (genres[:, 0] - genres[:, 1])
    factors[:, 1] += apart * genres[:, 2]
    return factors, genres
