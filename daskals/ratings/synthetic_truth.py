"""The planted model that a synthetic set is drawn from, known to tests as its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from daskals.kernels.toolkit.random import FIRST_DATA_STREAM, fill_normals
from daskals.ratings.synthetic_catalogue import GENRES
from daskals.types import Float64, Int32, Int64

MEAN = 3.5
BIAS_SD = 0.4
GENRE_BIAS_SD = 0.2
GENRE_SHARE = 0.5
"""Share of an item factor's variance that its genres bring."""
MEAN_SQUARED_FEATURES = 0.6
"""Squared length of an item's genres scaled to sum 1, averaged over items, rounded."""

_STREAM_USERS, _STREAM_ITEMS, _STREAM_GENRES = range(FIRST_DATA_STREAM + 8, FIRST_DATA_STREAM + 11)


@dataclass(frozen=True)
class SyntheticTruth:
    """The planted model of a synthetic set, rows in the order of its table.

    A rating was drawn as μ + b_u + b_i + p_u·q_i + noise, then rounded to half-stars and clipped to
    0.5 … 5. An item's factors and bias are f_iW and f_i·w, f_i its genres scaled to sum 1, plus a part of
    its own.

    Attributes
    ----------
    mean
        μ.
    user_biases, item_biases
        Shapes (users,) and (items,).
    user_factors, item_factors
        Shapes (users, rank) and (items, rank).
    genres
        Names of the genres.
    genre_factors, genre_biases
        W, shape (genres, rank), and w, shape (genres,).
    noise
        Standard deviation of the noise before rounding.
    user_bias_sd, user_factor_sd
        Standard deviations that user biases and user factors were drawn with.
    item_bias_sd, item_factor_sds
        Those of the items' own parts; the latter one per factor, shape (rank,).
    """

    mean: float
    user_biases: Float64
    item_biases: Float64
    user_factors: Float64
    item_factors: Float64
    genres: tuple[str, ...]
    genre_factors: Float64
    genre_biases: Float64
    noise: float
    user_bias_sd: float
    user_factor_sd: float
    item_bias_sd: float
    item_factor_sds: Float64

    @property
    def residual_variance(self) -> float:
        """Variance of a rating about its planted value: the noise and the rounding to half-stars."""
        return self.noise**2 + 0.5**2 / 12

    def predict(self, users: Int32, items: Int32) -> Float64:
        """Return the planted value of each pair of rows, shape (pairs,)."""
        planted = self.mean + self.user_biases[users] + self.item_biases[items]
        for k in range(self.user_factors.shape[1]):
            planted += self.user_factors[users, k] * self.item_factors[items, k]
        return planted

    def in_item_order(self, order: Int64) -> SyntheticTruth:
        """Return the same model with item rows taken in another order, shape (items,)."""
        return replace(self, item_biases=self.item_biases[order], item_factors=self.item_factors[order])


def plant(seed: int, n_users: int, features: Float64, sds: Float64, noise: float) -> SyntheticTruth:
    """Draw the model of a set.

    Parameters
    ----------
    seed
        Seed of the set.
    n_users
        Number of users.
    features
        The items' genres scaled to sum 1, shape (items, genres).
    sds
        Standard deviation of each factor of an item, shape (rank,); a user's are 1.
    noise
        Standard deviation of the noise before rounding.

    Returns
    -------
    The model, with genre vectors shifted so that the mean item has none: otherwise they would move all
    ratings, and a user's taste for the mean item would be part of the user's bias.
    """
    rank = len(sds)
    user_draws = fill_normals(seed, _STREAM_USERS, 0, n_users, rank + 1)
    item_draws = fill_normals(seed, _STREAM_ITEMS, 0, len(features), rank + 1)
    genre_sds = np.append(sds * np.sqrt(GENRE_SHARE / MEAN_SQUARED_FEATURES), GENRE_BIAS_SD)
    own_sds = np.append(sds * np.sqrt(1.0 - GENRE_SHARE), BIAS_SD)
    genres = fill_normals(seed, _STREAM_GENRES, 0, features.shape[1], rank + 1) * genre_sds
    genres -= _of_mean_item(features, genres)
    items = item_draws * own_sds
    for genre in range(len(genres)):
        items += features[:, genre, None] * genres[genre]
    return SyntheticTruth(
        mean=MEAN,
        user_biases=user_draws[:, rank] * BIAS_SD,
        item_biases=items[:, rank].copy(),
        user_factors=user_draws[:, :rank].copy(),
        item_factors=items[:, :rank].copy(),
        genres=tuple(GENRES),
        genre_factors=genres[:, :rank].copy(),
        genre_biases=genres[:, rank].copy(),
        noise=noise,
        user_bias_sd=BIAS_SD,
        user_factor_sd=1.0,
        item_bias_sd=BIAS_SD,
        item_factor_sds=own_sds[:rank],
    )


def _of_mean_item(features: Float64, genres: Float64) -> Float64:
    # the mean of the items' genre parts, over the items that list genres; in a fixed order
    shares = np.cumsum(features, axis=0)[-1]
    weighted, total = np.zeros(genres.shape[1]), 0.0
    for genre, share in enumerate(shares):
        weighted += share * genres[genre]
        total += share
    return weighted / total
