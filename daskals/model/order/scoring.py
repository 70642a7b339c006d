"""Scores of the order `affinity`: of a person who rated these items, every item.

x_j is 1 for a liked rating, ½ for another, times what the rating weighs and 2^(−a_j/h) of its age a_j
(`order.ages`; h: `own_half_life`), m their sum, P_i an item's popularity (mean x over all users, or that of
late: `fitting.recency`), f_ig whether item i is of genre g, |G_i| its genres, b_g the usual share of a genre
(Σ P_i f_ig / Σ P_i):

    score(i) = Σ_j x_j B_ji + c·P_i^β·Σ_g lift_g f_ig/√|G_i| + (p + s·t)·P_i + r·(p_u·q_i + b_i)
    lift_g   = Σ_j x_j (f_jg − b_g) / ((m + 5)·√b_g)

Popularity stands in for what ratings of long ago no longer tell: t, the share of m that age has taken, is 0
for somebody who tells now what they like, and 1 where nothing is known.

B is the regression of items on one another (EASE, Steck 2019, with rows for genres): minimising
‖Z − ZB‖² + λ‖B‖² with no item explaining itself. No solve is needed for somebody new.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from daskals.kernels.scoring.lifts import sum_lifts
from daskals.kernels.scoring.weighted_rows import add_at, add_product, add_rows
from daskals.kernels.toolkit.dense import product
from daskals.model.order.ages import decays
from daskals.model.order.learnt import HALF_STARS, Order, interactions
from daskals.model.order.new_items import NewItem
from daskals.model.training_ratings import TrainingRatings, starts_of
from daskals.types import Float32, Float64, Int64

FEW = 5.0
"""Ratings that a person's genres are as uncertain as: their lift is drawn to 0."""


class RatingParts(NamedTuple):
    """The predicted rating's part of every item.

    Attributes
    ----------
    factors
        float32, shape (items, rank).
    biases
        float32, shape (items,).
    limits, seen_limits
        Lowest and highest rating of the scale, and as training saw them, which factors are about; None for
        the same.
    """

    factors: Float32
    biases: Float32
    limits: tuple[float, float]
    seen_limits: tuple[float, float] | None = None


class Choices(NamedTuple):
    """What people rated, as an order counts it, in compressed-row form.

    Attributes
    ----------
    indptr
        Where each person's ratings begin, int64, shape (people + 1,).
    rated, x
        Rows of the items they rated, int64, and what each counts, float32, shape (ratings,).
    stale
        t of each person, float64, shape (people,).
    """

    indptr: Int64
    rated: Int64
    x: Float32
    stale: Float64


class OrderScorer:
    """Scores every item for people, each the same alone or with others.

    Parameters
    ----------
    order
        What was learnt.
    genres
        Which genres an item is of, 0 or 1, float64, shape (items, genres); no columns if none are known.
    rating
        The predicted rating's part.
    """

    def __init__(self, order: Order, genres: Float64, rating: RatingParts) -> None:
        settings = order.settings
        self._order = order
        self._limits = rating.limits
        self._genres = genres
        popularity = order.popularity.astype(np.float64)
        self._usual = np.maximum(popularity @ genres / max(float(popularity.sum()), 1e-9), 1e-9)
        low, high = rating.seen_limits or rating.limits
        spread = high - low
        self._rating = settings.rating_weight * HALF_STARS / spread if spread > 0 else 0.0
        self._by_genre = self.genre_part(genres, popularity)
        # a row a genre, then one a factor: what lifts and factors are multiplied with; t's where it counts
        rows = [self._by_genre.T, self._rating * rating.factors.T.astype(np.float64)]
        rows += [settings.stale_weight * popularity[None]] if settings.stale_weight else []
        self._shared = np.ascontiguousarray(np.vstack(rows)).astype(np.float32)
        self._offsets = self.base(popularity, rating.biases.astype(np.float64)).astype(np.float32)
        self._place = np.full(len(popularity), -1, np.int64)
        self._place[order.items] = np.arange(len(order.items))
        self._decays = decays(settings.own_half_life)

    @property
    def own_half_life(self) -> float:
        """Share of all ratings after which a person's own counts half; 0: never."""
        return self._order.settings.own_half_life

    @property
    def n_items(self) -> int:
        """How many items are scored."""
        return len(self._place)

    def genre_part(self, genres: Float64, popularity: Float64) -> Float64:
        """Return c·P_i^β·f_ig/√|G_i|, float64, shape (items, genres), of the genres and popularity of items.

        `genres` has shape (items, genres), `popularity` (items,).
        """
        settings = self._order.settings
        weight = settings.genre_weight * popularity**settings.genre_exponent
        shares: Float64 = genres / np.maximum(np.sqrt(genres.sum(axis=1, keepdims=True)), 1.0)
        parts: Float64 = weight[:, None] * shares
        return parts

    def base(self, popularity: Float64, biases: Float64) -> Float64:
        """Return what items score with everybody, p·P_i + r·b_i, float64, shape (items,) as both."""
        parts: Float64 = self._order.settings.popularity_weight * popularity + self._rating * biases
        return parts

    def interactions(self, known: TrainingRatings) -> Float32:
        """Return what ratings count as in people's own lists, float32, shape (ratings,)."""
        x = self._fresh(known)
        return x * self._decays[known.ages] if known.ages is not None and self.own_half_life else x

    def _fresh(self, known: TrainingRatings) -> Float32:
        """Return what ratings would count as if they were made now, float32, shape (ratings,)."""
        x = interactions(known.ratings, self._limits, self._order.settings.unliked)
        return x if known.weights is None else x * known.weights

    def _stale(self, known: TrainingRatings, x: Float32) -> Float64:
        """Return t of each person, float64, shape (people,), who rated what counts as x."""
        n_people = len(known.indptr) - 1
        if not self.own_half_life:
            return np.zeros(n_people)
        people = np.repeat(np.arange(n_people), np.diff(known.indptr))
        # one after the other: each as if alone
        all_of_it, left = (np.bincount(people, one, n_people) for one in (self._fresh(known), x))
        return 1.0 - np.divide(left, all_of_it, out=np.zeros(n_people), where=all_of_it > 0)

    def learnt_interactions(self, known: TrainingRatings) -> Float64:
        """Return what ratings count as where items are regressed on one another, float64, (ratings,)."""
        x = interactions(known.ratings, self._limits, self._order.settings.unliked).astype(np.float64)
        return x if known.weights is None else x * np.sqrt(known.weights.astype(np.float64))

    def scores(self, known: TrainingRatings, factors: Float32) -> Float32:
        """Score all items for a person, float32, shape (items,).

        Parameters
        ----------
        known
            What the person rated.
        factors
            The person's factors, shape (rank,).
        """
        scores: Float32 = self.scores_of(known, factors[None])[0]
        return scores

    def scores_of(self, known: TrainingRatings, factors: Float32) -> Float32:
        """Score all items for several people, float32, shape (people, items): each as if alone.

        What costs most, the items' products, is then read from memory once for all of them.

        Parameters
        ----------
        known
            What they rated.
        factors
            Their factors, shape (people, rank).
        """
        choices = self.choices(known)
        parts = [self.lift_sums(choices), factors.astype(np.float64)]
        parts += [choices.stale[:, None]] if self._order.settings.stale_weight else []
        shared = np.concatenate(parts, axis=1)
        out = np.repeat(self._offsets[None], len(factors), axis=0)
        add_product(shared.astype(np.float32), self._shared, out)
        add_at(self._order.items, self.regressed(choices), out)
        return out

    def choices(self, known: TrainingRatings) -> Choices:
        """Return what the ratings of several people count as."""
        x = self.interactions(known)
        return Choices(known.indptr, known.items.astype(np.int64), x, self._stale(known, x))

    def lift_sums(self, choices: Choices) -> Float64:
        """Return the lift of every genre, float64, shape (people, genres)."""
        return sum_lifts(choices.indptr, choices.rated, choices.x, self._genres, self._usual, FEW)

    def lifts(self, rated: Int64, x: Float32) -> Float64:
        """Return each rating's part of the lift of every genre, float64, shape (ratings, genres).

        `rated` and `x` have shape (ratings,).
        """
        above = self._genres[rated] - self._usual
        strength = float(x.sum(dtype=np.float64)) + FEW
        lifts: Float64 = x[:, None].astype(np.float64) * above / (strength * np.sqrt(self._usual))
        return lifts

    def regressed(self, choices: Choices) -> Float32:
        """Return Σ_j x_j B_ji of the core's items, float32, shape (people, core)."""
        order, n_people = self._order, len(choices.indptr) - 1
        everywhere = self._place[choices.rated]
        inside = everywhere >= 0
        places, weights = everywhere[inside], choices.x[inside]
        indptr = starts_of(inside.astype(np.int64))[choices.indptr]
        out = np.zeros((n_people, len(order.items)), np.float32)
        if not len(order.scale):
            add_rows(indptr, places, weights, order.products, out)
            return out
        taste = np.zeros((n_people, len(order.products)))
        add_rows(indptr, places, weights.astype(np.float64), self._by_item, taste)
        add_product(taste.astype(np.float32), order.products, out)
        out *= order.scale
        people = np.repeat(np.arange(n_people), np.diff(indptr))
        out[people, places] -= weights * (order.scale[places] - 1)  # no item speaks for itself
        return out

    @cached_property
    def _by_item(self) -> Float32:
        """A with a row for each item of the core: what a person rated is then read row by row."""
        return np.ascontiguousarray(self._order.products.T)

    def contributions(self, known: TrainingRatings, target: int) -> tuple[Float64, Float64]:
        """Share a score out among the ratings it comes from.

        Parameters
        ----------
        known
            What the person rated.
        target
            Row of the item.

        Returns
        -------
        tuple of float64
            Both of shape (ratings,): what each rating says of the item as that very item, and by its genres.
        """
        order, x, rated = self._order, self.interactions(known), known.items.astype(np.int64)
        by_genre = self.lifts(rated, x) @ self._by_genre[target]
        by_item = np.zeros(len(rated))
        places, place = self._place[rated], int(self._place[target])
        inside = (places >= 0) & (rated != target)
        if place >= 0 and not len(order.scale):
            by_item[inside] = x[inside] * order.products[places[inside], place].astype(np.float64)
        elif place >= 0:
            others = order.products[:, places[inside]].astype(np.float64)
            own = order.products[:, place].astype(np.float64)
            by_item[inside] = x[inside] * (others * own[:, None]).sum(axis=0) * float(order.scale[place])
        return by_item, by_genre

    def likeness(self, items: Int64) -> Float64:
        """Return how alike items are, float64, shape (items, items), about 0 to 1; see `order.diversity`.

        `items` are their rows, shape (items,).
        """
        order = self._order
        places = self._place[items]
        known = np.flatnonzero(places >= 0)
        chosen = np.zeros((len(items), len(items)))
        if len(order.scale):
            own = order.products[:, places[known]].astype(np.float64)
            scale = np.sqrt(order.scale[places[known]].astype(np.float64))
            between = product(np.ascontiguousarray(own.T), own) * scale * scale[:, None]
        else:
            own = order.products[np.ix_(places[known], places[known])].astype(np.float64)
            between = np.sign(own) * np.sqrt(np.maximum(own * own.T, 0.0))
        between[np.diag_indices(len(known))] = 0.0
        chosen[np.ix_(known, known)] = between / max(float(between.max(initial=0.0)), 1e-12)
        if not self._genres.shape[1]:
            return chosen
        lengths = np.sqrt(self._genres[items].sum(axis=1, keepdims=True))
        genres = self._genres[items] / np.maximum(lengths, 1.0)
        alike: Float64 = 0.5 * (chosen + product(genres, np.ascontiguousarray(genres.T)))
        return alike

    def score_of_new(self, item: NewItem, known: TrainingRatings, factors: Float32) -> float:
        """Score an item that is not in the order, as `scores` does the others.

        Parameters
        ----------
        item
            What is known of it.
        known
            What the person rated.
        factors
            The person's factors, shape (rank,).
        """
        x, rated = self.interactions(known), known.items.astype(np.int64)
        places = self._place[rated]
        inside = places >= 0
        chosen = float(np.sum(x[inside] * item.column[places[inside]]))
        popularity = np.array([item.popularity])
        by_genre = self.genre_part(item.genres[None], popularity)[0]
        taste = self._rating * float(np.sum(item.factors * factors))
        base = float(self.base(popularity, np.array([item.bias]))[0])
        base += self._order.settings.stale_weight * float(self._stale(known, x)[0]) * item.popularity
        return chosen + float(np.sum(self.lifts(rated, x).sum(axis=0) * by_genre)) + base + taste

    def popularity_part(self, known: TrainingRatings, target: int) -> float:
        """Return (p + s·t)·P_i of the item at row `target`, for a person who rated what is `known`."""
        settings = self._order.settings
        stale = float(self._stale(known, self.interactions(known))[0])
        weight = settings.popularity_weight + settings.stale_weight * stale
        return weight * float(self._order.popularity[target])

    @property
    def rating_weight(self) -> float:
        """Weight of p_u·q_i + b_i."""
        return self._rating
