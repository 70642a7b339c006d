"""Planted sets of ratings that differ in shape, each a function of its seed, with the liking behind them.

They stand for what people bring that MovieLens is not: very short users, a dense square, real zeros, counts
over decades, no genres, genres without effect, strong genres, items that outnumber users by far. A rating is
a user's and an item's bias, a product of factors and noise, cut to the scale; noise-free it is the oracle's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from daskals.types import Float64, Int64

N_GENRES = 18


class PlantedSet(NamedTuple):
    """Ratings, one a row, and what they were drawn from.

    Attributes
    ----------
    users, items
        Numbers from 0, shape (n_ratings,).
    ratings
        As a file would have them, shape (n_ratings,).
    genres
        Numbers of each item's genres, or None.
    """

    users: Int64
    items: Int64
    ratings: Float64
    genres: list[list[int]] | None

    @property
    def frame(self) -> pd.DataFrame:
        """The ratings as a table of `user`, `item` and `rating`."""
        return pd.DataFrame({"user": self.users, "item": self.items, "rating": self.ratings})

    @property
    def catalogue(self) -> pd.DataFrame | None:
        """The items with their genres, or None."""
        if self.genres is None:
            return None
        names = ["|".join(f"genre {number}" for number in genres) for genres in self.genres]
        titles = [f"Item {item}" for item in range(len(names))]
        return pd.DataFrame({"item": np.arange(len(names)), "title": titles, "genres": names})


class Liking(NamedTuple):
    """How much of a rating is what, in standard units; `pull` is the share of item taste genres explain."""

    bias: float = 0.5
    taste: float = 0.6
    noise: float = 0.8
    rank: int = 6
    pull: float = 0.0


def very_short_users(seed: int = 1) -> PlantedSet:
    """0 to 10 in whole points, a median of four ratings a user."""
    rng = np.random.default_rng(seed)
    n_users, n_items = 8_000, 1_000
    many = (rng.random(n_users) < 0.05) * rng.integers(5, 80, n_users)
    users, items = _pairs(rng, 1 + rng.geometric(0.28, n_users) + many, n_items, 0.8)
    liked = _liking(rng, users, items, Liking(taste=0.5))
    return PlantedSet(users, items, np.clip(np.round(6.5 + 2 * liked), 0, 10), None)


def dense_square(seed: int = 2) -> PlantedSet:
    """1,000 × 1,000, 8 % of all pairs, any number around 50."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, np.full(1_000, 80), 1_000, 0.0)
    return PlantedSet(users, items, 50 + 12 * _liking(rng, users, items, Liking(0.5, 0.7, 0.6, 8)), None)


def real_zeros(seed: int = 3) -> PlantedSet:
    """0 to 10, where what is disliked, a fifth, is rated 0."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, 3 + rng.geometric(1 / 30, 2_000), 1_000, 0.7)
    liked = _liking(rng, users, items, Liking(taste=0.7, noise=0.6))
    return PlantedSet(
        users, items, np.where(liked < -0.9, 0, np.clip(np.round(6 + 2.5 * liked), 1, 10)), None
    )


def counts_over_decades(seed: int = 4) -> PlantedSet:
    """Log-normal counts of plays from 1 to ten thousands."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, 3 + rng.geometric(1 / 30, 2_000), 1_000, 0.8)
    liked = _liking(rng, users, items, Liking(0.6, 0.5, 0.6))
    return PlantedSet(users, items, np.maximum(1, np.round(np.exp(3.2 + 1.6 * liked))), None)


def no_genres(seed: int = 5) -> PlantedSet:
    """Books: whole stars, most of them high, taste of the size of the biases."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, 2 + rng.geometric(1 / 25, 3_000), 1_500, 0.7)
    liked = _liking(rng, users, items, Liking(0.45, 0.45, 0.75))
    return PlantedSet(users, items, np.clip(np.round(3.9 + 0.9 * liked), 1, 5), None)


def genres_without_effect(seed: int = 6) -> PlantedSet:
    """Half stars, and genres that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, 5 + rng.geometric(1 / 40, 1_500), 1_000, 0.7)
    liked = _liking(rng, users, items, Liking())
    return PlantedSet(users, items, _half_stars(3.5 + liked), _genres(rng, 1_000))


def strong_genres(seed: int = 7) -> PlantedSet:
    """Half stars; genres explain 70 % of the items' taste, and many items are rarely rated."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, 5 + rng.geometric(1 / 35, 1_500), 2_500, 1.0)
    genres = _genres(rng, 2_500)
    liked = _liking(rng, users, items, Liking(pull=0.7), genres)
    return PlantedSet(users, items, _half_stars(3.5 + liked), genres)


def items_outnumber_users(seed: int = 8) -> PlantedSet:
    """200 heavy raters of 8,000 items, most of which are rated once or twice."""
    rng = np.random.default_rng(seed)
    users, items = _pairs(rng, 20 + rng.geometric(1 / 250, 200), 8_000, 0.8)
    genres = _genres(rng, 8_000)
    liked = _liking(rng, users, items, Liking(pull=0.4), genres)
    return PlantedSet(users, items, np.clip(np.round(3.2 + liked), 1, 5), genres)


PLANTED: dict[str, Callable[[], PlantedSet]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        very_short_users,
        dense_square,
        real_zeros,
        counts_over_decades,
        no_genres,
        genres_without_effect,
        strong_genres,
        items_outnumber_users,
    )
}
"""Name → what draws the set."""


def _pairs(rng: np.random.Generator, counts: Int64, n_items: int, skew: float) -> tuple[Int64, Int64]:
    """Draw distinct items for each user, the popular more often: weight (place + offset)^-skew."""
    counts = np.minimum(counts, n_items // 3)
    log_weights = -skew * np.log(np.arange(n_items) + max(5.0, n_items / 50))
    log_weights = rng.permutation(log_weights)
    chosen = []
    for n in counts:  # the n largest with Gumbel noise are a weighted draw without replacement
        keys = log_weights + rng.gumbel(size=n_items)
        # in order: how a partition leaves its parts depends on the CPU that NumPy finds
        chosen.append(np.sort(np.argpartition(-keys, n - 1)[:n]))
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(chosen)


def _liking(
    rng: np.random.Generator,
    users: Int64,
    items: Int64,
    shares: Liking,
    genres: list[list[int]] | None = None,
) -> Float64:
    """Draw biases, factors and noise; return each rating's liking, in standard units."""
    n_users, n_items = int(users.max()) + 1, len(genres) if genres else int(items.max()) + 1
    of_users = shares.bias * rng.normal(size=n_users)
    of_items = rng.normal(size=n_items)
    sizes = np.sqrt(1 / np.sqrt(np.arange(1, shares.rank + 1)))
    sizes *= shares.taste / np.sqrt(np.sum(sizes**2))
    p, q = rng.normal(size=(n_users, shares.rank)), rng.normal(size=(n_items, shares.rank))
    if genres and shares.pull:
        weights = rng.normal(size=(N_GENRES, shares.rank + 1))
        means = np.array([weights[of_item].mean(axis=0) for of_item in genres])
        means /= means.std(axis=0)
        own, from_genres = np.sqrt(1 - shares.pull), np.sqrt(shares.pull)
        q = own * q + from_genres * means[:, 1:]
        of_items = own * of_items + from_genres * means[:, 0]
    liking = of_users[users] + shares.bias * of_items[items]
    liking += np.einsum("nk,nk->n", p[users], q[items] * sizes)
    return liking + shares.noise * rng.normal(size=len(users))


def _genres(rng: np.random.Generator, n_items: int) -> list[list[int]]:
    """Draw one to three genres for each item, the first ones more often."""
    weights = 1.0 / np.arange(1, N_GENRES + 1)
    weights /= weights.sum()
    return [
        sorted(rng.choice(N_GENRES, size=1 + rng.integers(3), replace=False, p=weights).tolist())
        for _ in range(n_items)
    ]


def _half_stars(values: Float64) -> Float64:
    return np.clip(np.round(2 * values) / 2, 0.5, 5.0)
