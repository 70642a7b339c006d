"""Synthetic sets of ratings drawn from a planted model, the same on every machine, with their truth.

A set is its definition: every number is a function of the definition's seed, and only integer operations
and + - * / sqrt in a fixed order decide (exp, log and power, and the order of vectorised sums, differ
between CPUs). So nothing here calls `sum`, `mean` or a matrix product on floating-point numbers.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daskals.errors import DatasetError
from daskals.kernels.data.planted import Planted, draw_half_stars, draw_timestamps
from daskals.kernels.data.sampling import (
    apportion,
    cover_columns,
    draw_rows,
    number_by_first_appearance,
    weighted,
)
from daskals.kernels.toolkit.random import FIRST_DATA_STREAM, fill_uniforms, key_of
from daskals.ratings.synthetic_catalogue import draw_catalogue
from daskals.ratings.synthetic_truth import SyntheticTruth, plant
from daskals.ratings.table import RatingsTable
from daskals.types import Float32, Float64, Int32, Int64

GENERATOR_VERSION = 1
"""To be raised with every change that alters a set; the tests tie it to the sets' hashes."""

MIN_RATINGS = 20
"""No user has fewer, as in MovieLens."""

_SPAN = (946_684_800, 1_697_155_200)  # sessions start from 2000-01-01 on, the last by 2023-10-13
_RANGES = 64

(
    _STREAM_ACTIVITY,
    _STREAM_POPULARITY,
    _STREAM_PAIRS,
    _STREAM_COVER,
    _STREAM_RATINGS,
    _STREAM_TIMES,
) = range(FIRST_DATA_STREAM, FIRST_DATA_STREAM + 6)


class Definition(NamedTuple):
    """What a set is made from.

    Attributes
    ----------
    seed
        Seed of all its numbers.
    n_users, n_items, n_rated_items, n_ratings
        Its counts, met to the unit.
    activity_offset
        The user of activity rank k has 20 ratings and a share proportional to √(n_users/(k + offset)) − 1
        of the rest.
    popularity_offset, popularity_knee
        The item of popularity rank k is drawn with weight 1/((k + offset)·(1 + k/knee)^1.5).
    rank
        Planted factors.
    signal
        Variance of p_u·q_i; the k-th factor's part falls as 1/√(k + 1).
    noise
        Standard deviation of the noise before rounding.
    """

    seed: int
    n_users: int
    n_items: int
    n_rated_items: int
    n_ratings: int
    activity_offset: int
    popularity_offset: int
    popularity_knee: int
    rank: int = 8
    signal: float = 0.36
    noise: float = 0.8

    @property
    def factor_sds(self) -> Float64:
        """Standard deviation of each factor of an item, shape (rank,); a user's are 1."""
        parts = 1.0 / np.sqrt(np.arange(1, self.rank + 1))
        sds: Float64 = np.sqrt(self.signal * parts / np.cumsum(parts)[-1])
        return sds


DEFINITIONS: dict[str, Definition] = {
    "synthetic-100k": Definition(100, 1_000, 2_000, 1_900, 100_000, 20, 20, 500),
    "synthetic-1m": Definition(1_000, 5_000, 2_500, 2_400, 1_000_000, 60, 20, 1_000),
    "synthetic-32m": Definition(32_000, 200_948, 87_585, 84_432, 32_000_204, 4, 40, 3_000),
}
SYNTHETIC_NAMES = tuple(DEFINITIONS)


def definition_of(name: str) -> Definition:
    """Return a set's definition; a `DatasetError` suggests the nearest name where there is none."""
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    near = difflib.get_close_matches(name, SYNTHETIC_NAMES, n=1, cutoff=0.0)
    raise DatasetError(
        f"there is no synthetic set '{name}'",
        expected="one of " + ", ".join(SYNTHETIC_NAMES),
        remedy=f"Perhaps '{near[0]}' was meant",
    )


def synthetic_version(name: str) -> str:
    """Return the SHA-256 of what determines a set: its definition and the generator's version."""
    return hashlib.sha256(f"{name} {definition_of(name)!r} {GENERATOR_VERSION}".encode()).hexdigest()


def generate(name: str) -> tuple[RatingsTable, SyntheticTruth]:
    """Draw a synthetic set.

    Ratings come by user, then by item id, as in MovieLens's files.

    Parameters
    ----------
    name
        One of `SYNTHETIC_NAMES`.

    Returns
    -------
    The ratings with their catalogue, and the model that they were drawn from.

    Raises
    ------
    DatasetError
        If the name is unknown.
    """
    definition = definition_of(name)
    catalogue = draw_catalogue(definition.seed, definition.n_items)
    indptr, items, order = _draw_pairs(definition)
    planted = plant(
        definition.seed, definition.n_users, catalogue.features(), definition.factor_sds, definition.noise
    ).in_item_order(order)
    values, timestamps = _draw_ratings(definition.seed, planted, indptr, items)
    table = RatingsTable(
        users=np.repeat(np.arange(definition.n_users, dtype=np.int32), np.diff(indptr)),
        items=items,
        values=values,
        timestamps=timestamps,
        positions=np.arange(len(items)),
        user_ids=pa.array(np.arange(1, definition.n_users + 1)),
        item_ids=pa.array(catalogue.ids[order]),
        catalogue=catalogue.table(order),
        n_input=len(items),
        sources=[{"name": name, "bytes": 0, "sha256": synthetic_version(name)}],
    )
    return table, planted


def _draw_pairs(definition: Definition) -> tuple[Int64, Int32, Int64]:
    # who rated what: each user's place among the ratings, the item row of each rating, and the place in
    # the catalogue of each item row
    seed, n_items, n_rated = definition.seed, definition.n_items, definition.n_rated_items
    popularity = fill_uniforms(seed, _STREAM_POPULARITY, 0, n_items, 1)[:, 0]
    # older items, those of low ids, tend to be rated more
    by_rank = np.argsort(popularity + np.arange(n_items) / (2.0 * n_items), kind="stable")
    rank = np.empty(n_items, np.int64)
    rank[by_rank] = np.arange(n_items)
    listed = np.flatnonzero(rank < n_rated)
    tail = 1.0 + rank[listed] / definition.popularity_knee
    table = weighted(1.0 / ((rank[listed] + definition.popularity_offset) * tail * np.sqrt(tail)))

    indptr = np.concatenate([[0], np.cumsum(_activity(definition))]).astype(np.int64)
    pairs = np.empty(indptr[-1], np.int32)
    key = key_of(seed, _STREAM_PAIRS)
    _in_ranges(indptr, lambda first, stop: draw_rows(key, table, indptr, first, stop, pairs))
    with np.errstate(over="ignore"):
        cover_columns(key_of(seed, _STREAM_COVER), n_rated, indptr, pairs)

    numbers = np.empty(n_rated, np.int32)
    number_by_first_appearance(pairs, numbers)
    order = np.empty(n_items, np.int64)
    order[numbers] = listed
    order[n_rated:] = np.flatnonzero(rank >= n_rated)
    return indptr, numbers[pairs], order


def _activity(definition: Definition) -> Int64:
    # ratings of each user, in the order of their ids
    n_users = definition.n_users
    weights = np.sqrt(n_users / (np.arange(n_users) + definition.activity_offset)) - 1.0
    extra = apportion(definition.n_ratings - MIN_RATINGS * n_users, np.maximum(weights, 0.0))
    counts = np.empty(n_users, np.int64)
    draws = fill_uniforms(definition.seed, _STREAM_ACTIVITY, 0, n_users, 1)[:, 0]
    counts[np.argsort(draws, kind="stable")] = MIN_RATINGS + extra
    assert counts.max() <= definition.n_rated_items, "a user cannot rate more items than there are"
    return counts


def _draw_ratings(seed: int, truth: SyntheticTruth, indptr: Int64, items: Int32) -> tuple[Float32, Int64]:
    values, timestamps = np.empty(len(items), np.float32), np.empty(len(items), np.int64)
    planted = Planted(
        truth.mean, truth.user_biases, truth.item_biases, truth.user_factors, truth.item_factors, truth.noise
    )
    rating_key, time_key = key_of(seed, _STREAM_RATINGS), key_of(seed, _STREAM_TIMES)

    def draw(first: int, stop: int) -> None:
        draw_half_stars(rating_key, planted, indptr, first, stop, items, values)
        draw_timestamps(time_key, _SPAN, indptr, first, stop, timestamps)

    _in_ranges(indptr, draw)
    return values, timestamps


def _in_ranges(indptr: Int64, work: Callable[[int, int], None]) -> None:
    # ranges of users with about as many ratings each, on as many threads as there are processors; every
    # user draws from a key of its own, so neither ranges nor threads show in the result
    goals = np.linspace(0, indptr[-1], _RANGES + 1).astype(np.int64)
    bounds = np.unique(np.searchsorted(indptr, goals))

    def guarded(bound: tuple[int, int]) -> None:
        with np.errstate(over="ignore"):
            work(*bound)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(guarded, zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)))
