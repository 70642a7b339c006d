"""Injected anomalies: put into real ratings on purpose, so that it is known what is to be found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa

from daskals.analysis.anomalies.sittings import SITTING_GAP
from daskals.ratings.table import RatingsTable
from daskals.store.reader import RatingsStore
from daskals.types import Float32, Float64, Int64

Attack: TypeAlias = Literal["random", "average", "bandwagon", "love/hate"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)

BANDWAGON_ITEMS = 10
"""Best-known items that a bandwagon profile rates best of all, as far as its size allows."""


@dataclass(frozen=True)
class Ratings:
    """Ratings of a store in memory, to be changed and stored again.

    Attributes
    ----------
    users, items
        Rows, int64, shape (ratings,).
    values, times
        float32; seconds since 1970, int64, or None.
    scale
        The distinct ratings, float32; empty where they are continuous.
    limits
        Lowest and highest rating.
    n_users, n_items
        Rows of both sides.
    catalogue, item_ids
        Of the items, by row.
    """

    users: Int64
    items: Int64
    values: Float32
    times: Int64 | None
    scale: Float32
    limits: tuple[float, float]
    n_users: int
    n_items: int
    catalogue: pa.Table | None
    item_ids: pa.Array

    @classmethod
    def of(cls, store: RatingsStore) -> Ratings:
        """Read all ratings of a store."""
        found = store.read("user", 0, store.n_users, ("timestamps",) if store.has_timestamps else ())
        block = found.block
        values = block.ratings
        return cls(
            block.owners,
            block.indices.astype(np.int64),
            values,
            found.timestamps,
            store.scale,
            (float(values.min()), float(values.max())),
            store.n_users,
            store.n_items,
            store.catalogue(),
            store.item_ids,
        )

    def on_scale(self, values: Float64) -> Float32:
        """Return the nearest ratings that the scale has, shape (ratings,) as given."""
        inside = np.clip(values, *self.limits).astype(np.float32)
        if not len(self.scale):
            return inside
        middles = (self.scale[1:] + self.scale[:-1]) / 2
        return self.scale[np.searchsorted(middles, inside)]

    def as_table(self) -> tuple[RatingsTable, Int64, Int64]:
        """Return the ratings as a store takes them, and the new row of each user and item (−1: none left)."""
        order = np.argsort(self.users, kind="stable")
        users, items = self.users[order], self.items[order]
        user_rows, user_order = _by_appearance(users, self.n_users)
        item_rows, item_order = _by_appearance(items, self.n_items)
        unrated = np.flatnonzero(item_rows < 0)
        item_rows[unrated] = len(item_order) + np.arange(len(unrated))
        item_order = np.concatenate([item_order, unrated])
        table = RatingsTable(
            users=user_rows[users].astype(np.int32),
            items=item_rows[items].astype(np.int32),
            values=self.values[order],
            timestamps=None if self.times is None else self.times[order],
            positions=np.arange(len(users)),
            user_ids=pa.array(user_order),
            item_ids=self.item_ids.take(pa.array(item_order)),
            catalogue=None if self.catalogue is None else self.catalogue.take(pa.array(item_order)),
            n_input=len(users),
        )
        return table, user_rows, item_rows


def _by_appearance(rows: Int64, n_rows: int) -> tuple[Int64, Int64]:
    found, first = np.unique(rows, return_index=True)
    order = found[np.argsort(first)]
    new = np.full(n_rows, -1, np.int64)
    new[order] = np.arange(len(order))
    return new, order


def inject_shilling(
    ratings: Ratings, attack: Attack, share: float, rng: np.random.Generator
) -> tuple[Ratings, Int64]:
    """Add a group of profiles that push one item, or, for love/hate, nuke it.

    The target is any rated item. Every profile has the size and the times of a real user; its fillers are
    drawn by popularity. Filler ratings are drawn about the mean of all ratings (random, bandwagon) or of the
    item (average) with the respective standard deviation, or are the best there is (love/hate).

    Returns the ratings, and the rows of the profiles, shape (profiles,).
    """
    counts = np.bincount(ratings.items, minlength=ratings.n_items)
    target = int(rng.choice(np.flatnonzero(counts)))
    starts = np.searchsorted(ratings.users, np.arange(ratings.n_users + 1))
    size = max(2, round(share * ratings.n_users))
    models = rng.choice(ratings.n_users, size, replace=False)
    popularity = np.where(np.arange(ratings.n_items) == target, 0, counts) / (counts.sum() - counts[target])
    means, deviations = _item_moments(ratings, counts)
    known = np.argsort(-counts, kind="stable")
    known = known[known != target][:BANDWAGON_ITEMS]
    low, high = ratings.limits
    added: list[tuple[Int64, Float64, Int64 | None]] = []
    for model in models:
        own = slice(starts[model], starts[model + 1])
        n_fillers = max(min(starts[model + 1] - starts[model] - 1, np.count_nonzero(popularity)), 1)
        fillers = rng.choice(ratings.n_items, n_fillers, replace=False, p=popularity)
        if attack == "bandwagon":
            kept = fillers[~np.isin(fillers, known)]
            fillers = np.concatenate([known, kept])[:n_fillers]
        noise = rng.normal(size=len(fillers))
        if attack == "average":
            given = means[fillers] + deviations[fillers] * noise
        elif attack == "love/hate":
            given = np.full(len(fillers), high)
        else:
            given = ratings.values.mean() + ratings.values.std() * noise
        if attack == "bandwagon":
            given[np.isin(fillers, known)] = high
        items = np.append(fillers, target)
        values = np.append(given, low if attack == "love/hate" else high)
        times = None
        if ratings.times is not None:
            times = rng.permutation(np.resize(ratings.times[own], len(items)))
        added.append((items, values, times))
    attackers = np.arange(ratings.n_users, ratings.n_users + size)
    lengths = [len(items) for items, _, _ in added]
    return (
        replace(
            ratings,
            users=np.concatenate([ratings.users, np.repeat(attackers, lengths)]),
            items=np.concatenate([ratings.items, *(items for items, _, _ in added)]),
            values=np.concatenate([ratings.values, *(ratings.on_scale(values) for _, values, _ in added)]),
            times=None
            if ratings.times is None
            else np.concatenate([ratings.times, *(times for _, _, times in added if times is not None)]),
            n_users=ratings.n_users + size,
        ),
        attackers,
    )


def _item_moments(ratings: Ratings, counts: Int64) -> tuple[Float64, Float64]:
    """Return mean and standard deviation of each item, drawn to those of all by five ratings."""
    overall, deviation = float(ratings.values.mean()), float(ratings.values.std())
    centred = ratings.values - overall
    means = np.bincount(ratings.items, centred, ratings.n_items) / (counts + 5)
    squares = np.bincount(ratings.items, (centred - means[ratings.items]) ** 2, ratings.n_items)
    return overall + means, np.sqrt((squares + 5 * deviation**2) / (counts + 5))


def inject_shared(ratings: Ratings, share: float, rng: np.random.Generator) -> tuple[Ratings, Int64]:
    """Merge pairs of users of like size into accounts whose sizes are those of users who stay alone.

    An account's size is that of a real user; each of the two brings about half. The second one's sittings are
    spread over the span of the first one's, each whole. What both have rated counts as the first one gave it.

    Returns the ratings, and the rows of the merged accounts, shape (accounts,).
    """
    counts = np.bincount(ratings.users, minlength=ratings.n_users)
    free = counts > 0
    wanted = rng.permutation(counts[counts >= 2 * counts[free].min()])[: round(share * ratings.n_users)]
    users, times = ratings.users.copy(), None if ratings.times is None else ratings.times.copy()
    starts = np.searchsorted(ratings.users, np.arange(ratings.n_users + 1))
    merged = []
    for size in wanted:
        candidates = np.flatnonzero(free)
        if len(candidates) < 2:
            break
        gaps = np.abs(np.log(2.0 * counts[candidates] / size)) + 1e-6 * rng.random(len(candidates))
        first, second = candidates[np.argsort(gaps)[:2]]
        free[[first, second]] = False
        own, other = (slice(starts[user], starts[user + 1]) for user in (first, second))
        users[other] = first
        if times is not None:
            times[other] = _interleaved(times[own], times[other])
        merged.append(first)
    pairs = users * ratings.n_items + ratings.items
    keep = np.sort(np.unique(pairs, return_index=True)[1])
    return (
        replace(
            ratings,
            users=users[keep],
            items=ratings.items[keep],
            values=ratings.values[keep],
            times=None if times is None else times[keep],
        ),
        np.array(merged, np.int64),
    )


def _interleaved(own: Int64, other: Int64) -> Int64:
    """Spread the sittings of one person over the span of another's, each in a gap between two of those."""
    order = np.argsort(other, kind="stable")
    sitting = np.cumsum(np.diff(other[order], prepend=other[order][0]) > SITTING_GAP)
    begins = other[order][np.searchsorted(sitting, np.arange(sitting[-1] + 1))]
    span, length = int(own.max() - own.min()), max(int(begins[-1] - begins[0]), 1)
    taken = np.sort(own)
    moved = np.empty_like(other)
    for n, begin in enumerate(begins):
        members = order[sitting == n]
        lasts = int(other[members].max() - begin)
        start = int(own.min()) + (int(begin) - int(begins[0])) * span // length
        while True:
            # nobody else rates from two gaps before to two gaps after
            near = taken[(taken > start - 2 * SITTING_GAP) & (taken < start + lasts + 2 * SITTING_GAP)]
            if not len(near):
                break
            start = int(near.max()) + 2 * SITTING_GAP
        moved[members] = other[members] - begin + start
        taken = np.sort(np.append(taken, moved[members]))
    return moved


def inject_drift(
    ratings: Ratings, share: float, least: int, rng: np.random.Generator
) -> tuple[Ratings, Int64]:
    """Shift the later half of some items' ratings by a whole star, away from the nearer end of the scale.

    Returns the ratings, and the rows of the items, each with at least `least` ratings.
    """
    assert ratings.times is not None
    counts = np.bincount(ratings.items, minlength=ratings.n_items)
    rows = np.flatnonzero(counts >= least)
    chosen = np.sort(rng.choice(rows, max(1, round(share * len(rows))), replace=False))
    order = np.lexsort((ratings.times, ratings.items))
    starts = np.searchsorted(ratings.items[order], np.arange(ratings.n_items + 1))
    values = ratings.values.astype(np.float64)
    middle = sum(ratings.limits) / 2
    for item in chosen:
        own = order[starts[item] : starts[item + 1]]
        later = own[len(own) // 2 :]
        values[later] += -1.0 if values[own].mean() > middle else 1.0
    return replace(ratings, values=ratings.on_scale(values)), chosen
