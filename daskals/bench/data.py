"""Shared data of a benchmark: one split of one store, both orientations in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from daskals.config import TrainConfig
from daskals.fitting.fit import split_spec
from daskals.ingest import resolve_store
from daskals.kernels.toolkit.random import STREAM_INIT_ITEM, STREAM_INIT_USER, fill_normals
from daskals.store.limits import rating_limits
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, ensure_split, load_block
from daskals.types import TEST, TRAIN, Float32, Int32, RatingsBlock, Side


@dataclass(frozen=True)
class BenchData:
    """Training and test ratings of one split, read into memory when a system first asks for them.

    The trainer never does: it reads its own blocks, and its peak memory is its own.
    """

    store: RatingsStore
    split: Split

    @cached_property
    def users(self) -> RatingsBlock:
        """Training ratings of all users."""
        return load_block(self.store.path, "user", 0, self.store.n_users, self.split.key, TRAIN)

    @cached_property
    def items(self) -> RatingsBlock:
        """The same ratings by item."""
        return load_block(self.store.path, "item", 0, self.store.n_items, self.split.key, TRAIN)

    @cached_property
    def test(self) -> RatingsBlock:
        """Test ratings, by user."""
        return load_block(self.store.path, "user", 0, self.store.n_users, self.split.key, TEST)

    @property
    def mean(self) -> float:
        """Mean training rating μ."""
        return self.split.mean

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest rating of the scale."""
        return rating_limits(self.store)

    @property
    def n_train(self) -> int:
        """Number of training ratings."""
        return self.split.n_train

    @property
    def n_rows(self) -> int:
        """Users and items together."""
        return self.store.n_users + self.store.n_items

    def side(self, side: Side) -> RatingsBlock:
        """Return the training ratings of a side."""
        return self.users if side == "user" else self.items


def open_split(source: str, config: TrainConfig) -> tuple[RatingsStore, Split]:
    """Open a store by path or name, and its split; both are made if they are not there yet.

    Raises DaskalsError if the ratings cannot be had, or are too few for a training and a test part.
    """
    store = resolve_store(source, config)
    return store, ensure_split(store, split_spec(config, store))


def describe_data(source: str, store: RatingsStore, split: Split) -> dict[str, Any]:
    """Return what a report says of the data."""
    return {
        "source": source,
        "content_hash": store.content_hash,
        "n_users": store.n_users,
        "n_items": store.n_items,
        "n_ratings": store.n_ratings,
        "split": split.key,
        "n_train": split.n_train,
        "n_test": split.n_test,
    }


def slice_rows(block: RatingsBlock, start: int, stop: int) -> RatingsBlock:
    """Return rows [start, stop) of a block of whole side; its ratings are views, not copies."""
    first, last = int(block.indptr[start]), int(block.indptr[stop])
    return RatingsBlock(
        start,
        block.indptr[start : stop + 1] - first,
        block.indices[first:last],
        block.values[first:last],
        block.scale,
    )


def rows_of(block: RatingsBlock) -> Int32:
    """Return each rating's row, int32, shape (ratings,)."""
    rows = np.arange(block.start, block.start + block.n_rows, dtype=np.int32)
    return np.repeat(rows, np.diff(block.indptr))


def initial_factors(data: BenchData, side: Side, config: TrainConfig) -> Float32:
    """Return the trainer's own initial factors of a side, float32, shape (rows, rank).

    All systems that allow it start from them, so that equal epochs mean equal work. Unrated rows start at
    zero, where the papers' updates would leave them.
    """
    stream = STREAM_INIT_USER if side == "user" else STREAM_INIT_ITEM
    block = data.side(side)
    factors = config.initial_deviation * fill_normals(config.seed, stream, 0, block.n_rows, config.rank)
    factors[np.diff(block.indptr) == 0] = 0.0
    return np.ascontiguousarray(factors, np.float32)
