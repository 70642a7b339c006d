"""Small tables of ratings for the tests of the store, and what a reader must find of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.table import RatingsTable
from daskals.store.reader import RatingsStore, open_store

GENRES = ["Drama", "Comedy", "Film-Noir"]


def make_table(
    n_users: int = 9, n_items: int = 7, *, n_ratings: int = 30, seed: int = 0, **changes: object
) -> RatingsTable:
    """Return random ratings of distinct pairs, in random order, with one unrated item and gaps."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(n_users * (n_items - 1))[:n_ratings]
    n = len(cells)
    lists = [list(rng.permutation(GENRES)[: rng.integers(0, 3)]) for _ in range(n_items)]
    fields = {
        "users": (cells // (n_items - 1)).astype(np.int32),
        "items": (cells % (n_items - 1)).astype(np.int32),
        "values": (rng.integers(1, 11, n) / 2).astype(np.float32),
        "timestamps": rng.integers(1_000, 2_000, n),
        "positions": np.sort(rng.permutation(n + 5)[:n]).astype(np.int64),
        "user_ids": pa.array((np.arange(n_users) * 7 + 2**60).tolist(), pa.int64()),
        "item_ids": pa.array([f"item ü{k}" for k in range(n_items)]),
        "catalogue": pa.table(
            {
                "title": [f"Title {k}" for k in range(n_items)],
                "year": pa.array([None, *range(1950, 1949 + n_items)], pa.int32()),
                "genres": pa.array(lists, pa.list_(pa.string())),
            }
        ),
        "tags": pa.table({"user": [1, 2], "item": [0, 3], "tag": ["slow", None]}),
        "n_input": n + 5,
        "duplicates": 3,
        "dropped": {"rating is no number": 2},
        "sources": [{"name": "ratings.csv", "sha256": "0" * 64}],
    }
    return RatingsTable(**{**fields, **changes})  # type: ignore[arg-type]


def check_store(store: RatingsStore, table: RatingsTable) -> None:
    """Assert that everything in the table can be read back, from both sides."""
    sides = {"user": (table.users, table.items), "item": (table.items, table.users)}
    for side, (rows, others) in sides.items():
        order = np.lexsort((others, rows))
        indptr = np.searchsorted(rows[order], np.arange(store.n_rows(side) + 1))
        stored = store.read(
            side,
            0,
            store.n_rows(side),
            ("indices", "values", *EXTRAS) if store.has_timestamps else EXTRAS[1:],
        )
        block = stored.block
        np.testing.assert_array_equal(block.indptr, indptr)
        np.testing.assert_array_equal(store.indptr(side), indptr)
        np.testing.assert_array_equal(block.indices, others[order])
        ratings = block.scale[block.values] if len(block.scale) else block.values
        np.testing.assert_array_equal(ratings, table.values[order])
        np.testing.assert_array_equal(stored.positions, table.positions[order])
        if table.timestamps is None:
            assert stored.timestamps is None
        else:
            np.testing.assert_array_equal(stored.timestamps, table.timestamps[order])
        assert block.indptr.dtype == np.int64
        assert block.indices.dtype == np.int32
    assert store.user_ids.equals(table.user_ids)
    assert store.item_ids.equals(table.item_ids)
    for found, expected in ((store.catalogue(), table.catalogue), (store.tags(), table.tags)):
        assert (found is None and expected is None) or found.equals(expected)


EXTRAS = ("timestamps", "positions")


def leftovers(folder: Path) -> list[str]:
    """Return what a folder holds beside published stores."""
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith("."))


def table_of(data: pd.DataFrame, **options: str) -> RatingsTable:
    """Return a frame as the store takes it in."""
    return from_frame(data, Reading(columns=None, **{"duplicates": "last", "invalid": "error"} | options))


def is_table(path: Path, table: RatingsTable) -> bool:
    """Tell whether a store holds exactly a table."""
    try:
        check_store(open_store(path), table)
    except AssertionError:
        return False
    return True
