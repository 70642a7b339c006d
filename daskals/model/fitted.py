"""The fitted model as people use it: it recommends, folds in, compares and explains."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from daskals.model.filters import Filters
from daskals.model.list_order import Scoring
from daskals.model.new_items import ColdStart, anchor_mean, genre_weights, new_traits
from daskals.model.order.reasons import OrderReasons
from daskals.model.ordered import ListOrder, OrderedModel
from daskals.model.personal_exports import read_export
from daskals.model.prior_mean import rating_parts, trait_part
from daskals.model.profile import Explanation, Profile, explain
from daskals.model.profile_ratings import ProfileRatings, read_profile_file, read_profile_ratings
from daskals.model.tables import Frame, Output, as_output, item_table
from daskals.model.top_items import best_rows, best_scores, unit_rows
from daskals.model.training_ratings import History, StoredRatings, open_history
from daskals.types import Float32, Float64, Int64

Person: TypeAlias = Any
"""An original user id, or the `Profile` of somebody folded in."""

NO_FILTERS = Filters()
NOTHING: Mapping[str, Float32] = MappingProxyType({})

LOGGER = logging.getLogger(__name__)


class Model(OrderedModel):
    """A fitted model.

    Users and items are named by their original ids, items also by title; somebody who is not in the model
    is folded in (`fold_in`) and can then stand wherever a user id can. Lists come as pandas or Arrow frames.
    See `FactorModel` for the attributes, `predict`, `rows_of`, `save` and `load`.
    """

    # --- people and new items ------------------------------------------------------------------------------

    def person(self, user: Person) -> Profile:
        """Return a user of the model with the ratings that made the factors; a `Profile` as it is.

        Raises
        ------
        DataError
            If the model does not know the user.
        StoreError
            If the model does not carry the ratings it was trained on, and they are gone.
        """
        if isinstance(user, Profile):
            return user
        row = self.find_user(user)
        own = self.history("fold the person's ratings in with fold_in").own(row)
        return Profile(
            "user",
            self.user_rows[row : row + 1],
            self.rank,
            own.rated,
            own.ratings,
            self._no_prior,
            self._person_priors(own.rated),
            own.seen,
        )

    def history(self, remedy: str) -> History:
        """Return what the users rated, for their profiles and what they have seen.

        Parameters
        ----------
        remedy
            What else can be done, for the error's message.

        Raises
        ------
        StoreError
            If the model does not carry its ratings and the store it was trained on is gone.
        """
        if self.kept is not None:
            return self.kept
        data = self.report["data"]
        again = "train with a higher --keep-ratings, so that the model carries them"
        return StoredRatings(open_history(data, f"Restore it; {again}; or {remedy}"), data["split"])

    def fold_in(self, ratings: ProfileRatings | str | Path) -> Profile:
        """Place a person who is not in the model, by the solve and ridge of a training half-step.

        Parameters
        ----------
        ratings
            What was rated, by id or title, and how: a mapping, pairs, or a frame with the columns `item` or
            `title` and `rating`. It may be empty: then nothing but the prior is known. Or the path of a file
            of these columns, or of an export of Letterboxd, IMDb or MovieLens; titles of an export that the
            model does not know are logged and left out.

        Returns
        -------
        Profile
            Stands for a user id in all other methods. A user's own training ratings give the trained row.

        Raises
        ------
        DataError
            For an unknown title or id, a rating off the scale, or something rated twice.
        """
        if isinstance(ratings, str | Path):
            ratings = self._ratings_of_file(Path(ratings))
        rows, values = read_profile_ratings(ratings, self, "item")
        return self.fold("user").solve(rows, values, self._no_prior, self._person_priors(rows))

    def _ratings_of_file(self, path: Path) -> ProfileRatings:
        taken = read_export(self, path) if path.is_file() else None
        if taken is None:
            return read_profile_file(path)
        if taken.unknown:
            LOGGER.warning(
                "%s: %d titles are not known: %s", path, len(taken.unknown), "; ".join(taken.unknown)
            )
        return taken.ratings

    def _person_priors(self, rated: Int64) -> Float64:
        return rating_parts(self.feature_groups["user"], rated, self.catalogue, self.rank + 1)

    def fold_in_item(
        self,
        genres: Sequence[str] = (),
        ratings: ProfileRatings = (),
        *,
        year: int | None = None,
        start: ColdStart = "anchors",
    ) -> Profile:
        """Place an item that is not in the model: by what is known of it, and by ratings if it has some.

        Parameters
        ----------
        genres
            Its genres, of those the catalogue knows.
        ratings
            Who rated it, by user id, and how; may be empty.
        year
            Year of release, which `start="anchors"` looks at.
        start
            Its place before any rating, the solve's prior mean: "anchors" (the mean of the known items most
            like it; best on held-out items, see `experiments.cold_start`), "genres" (the genres' vectors:
            where training puts an item without ratings) or "bias" (zero: an average item of no taste).

        Returns
        -------
        Profile
            Of side "item": for `similar_items` and `predict_profile`.

        Raises
        ------
        ConfigError
            If a genre is not known.
        DataError
            For an unknown user, a rating off the scale, or a user twice.
        """
        rows, values = read_profile_ratings(ratings, self, "user")
        own = self._item_start(list(genres), year, start)
        parts = rating_parts(self.feature_groups["item"], rows, None, self.rank + 1)
        return self.fold("item").solve(rows, values, own, parts)

    def _item_start(self, genres: Sequence[str], year: int | None, start: ColdStart) -> Float64:
        if start == "bias" or not (genres or year):
            return np.zeros(self.rank + 1)
        if start == "genres":
            share = new_traits(genres, self.traits.names) if genres else np.zeros(0)
            known = {} if year is None else {"year": year}
            other = [group for group in self.feature_groups["item"] if group.column != "genres"]
            rest = trait_part(other, known, self.rank + 1)
            return rest + share @ self.genre_vectors if genres else rest
        own = new_traits(genres, self.traits.names)
        return anchor_mean(self.traits, self._augmented_items, self.item_counts, own, year)

    @cached_property
    def genre_vectors(self) -> Float64:
        """Vector and bias of each genre of `traits`, float64, shape (genres, rank + 1).

        They are the prior's W where the model was trained with one, else fitted to the items as they are.
        """
        names = self.traits.names
        for group in self.feature_groups["item"]:
            if group.column == "genres":
                return np.array([group.mean_of([name]) for name in names])
        return genre_weights(self.traits, self._augmented_items, self.item_counts)

    @cached_property
    def _augmented_items(self) -> Float64:
        return np.column_stack([self.item_factors, self.item_biases]).astype(np.float64)

    @cached_property
    def _no_prior(self) -> Float64:
        return np.zeros(self.rank + 1)

    # --- asking -------------------------------------------------------------------------------------------

    def recommend(
        self,
        user: Person,
        n: int = 10,
        *,
        order: ListOrder | None = None,
        alpha: float | None = None,
        bias_weight: float | None = None,
        filters: Filters = NO_FILTERS,
        include_seen: bool = False,
        output: Output = "pandas",
    ) -> Frame:
        """List the n items that suit a person best.

        Parameters
        ----------
        user
            A user id or a profile.
        n
            Length of the list; it is shorter where filters leave less.
        order
            "affinity", what the person would choose, or "rating", what they would rate highest; affinity
            where the model has learnt it, unless `alpha` or `bias_weight` is given.
        alpha, bias_weight
            Order by paper 2's Eq. 10 or by paper 1's Eq. 9; see `Scoring`.
        filters
            What may be recommended.
        include_seen
            Also list what the person has rated.
        output
            "pandas" or "arrow".

        Returns
        -------
        Frame
            `item`, `title`, `year`, `genres` and links (as the catalogue has them), `score` (what orders
            the list), `stars` (the predicted rating, within the scale), of a Bayesian model's own users
            `stars_deviation`, `n_ratings` (training ratings); the best first, equal scores in the order of
            the items' rows.

        Raises
        ------
        ConfigError
            If n or an option is out of range.
        DataError
            If the user is unknown, or filters leave nothing.
        """
        profile = self.person(user)
        scoring = Scoring(alpha, bias_weight)
        allowed = self.allowed(filters)
        if not include_seen:
            allowed[profile.seen] = False
        if self.list_order(order, scoring) == "affinity":
            rows, scores = best_scores(self.affinities(profile), n, allowed)
        else:
            vector = np.append(profile.factors, np.float32(scoring.item_weight))
            rows, scores = best_rows(self.items_with_bias, vector, n, allowed, "items")
            scores = scores + np.float32(scoring.constant(self.mean, profile.bias))
        row = None if isinstance(user, Profile) else self.row_of("user", user)
        return self._listed(rows, "score", scores, output, self.stars(row, profile, rows))

    def scores(
        self,
        user: Person,
        items: Sequence[Any] | None = None,
        *,
        order: ListOrder | None = None,
        alpha: float | None = None,
        bias_weight: float | None = None,
    ) -> Float32:
        """Score items for a person, float32, shape (items,): what `recommend` orders by.

        Parameters
        ----------
        user
            A user id or a profile.
        items
            Ids or titles; all items by row if absent.
        order, alpha, bias_weight
            As in `recommend`.
        """
        profile, scoring = self.person(user), Scoring(alpha, bias_weight)
        rows = slice(None) if items is None else np.array([self.find_item(item) for item in items], np.int64)
        if self.list_order(order, scoring) == "affinity":
            return self.affinities(profile)[rows]
        taste = self.item_factors[rows] @ profile.factors
        popularity = np.float32(scoring.item_weight) * self.item_biases[rows]
        return (taste + popularity + np.float32(scoring.constant(self.mean, profile.bias))).astype(np.float32)

    def explain(self, user: Person, item: Any) -> Explanation:
        """Tell which of a person's own ratings a prediction comes from, and how much from each.

        Parameters
        ----------
        user
            A user id or a profile.
        item
            An id or a title.

        Returns
        -------
        Explanation
            Its parts add up to the predicted rating.
        """
        profile, row = self.person(user), self.find_item(item)
        baseline = self.mean + float(self.item_biases[row])
        named = self._listed(profile.rated, "rating", profile.ratings, "arrow")
        return explain(self.fold("user"), profile, row, baseline, named)

    def explain_order(self, user: Person, item: Any) -> OrderReasons:
        """Tell which of a person's own ratings an item's place in a list by affinity comes from.

        `user` is a user id or a profile, `item` an id or a title. Raises ConfigError as `list_order` does.
        """
        self.list_order("affinity")
        profile, row, scorer = self.person(user), self.find_item(item), self.order_scorer
        as_item, by_genre = scorer.contributions(profile.rated, profile.ratings, row)
        named = self._listed(profile.rated, "rating", profile.ratings, "arrow")
        assert isinstance(named, pa.Table)
        table = named.select([name for name in ("item", "title", "rating") if name in named.column_names])
        total = as_item + by_genre
        for name, part in (("as_item", as_item), ("by_genre", by_genre), ("contribution", total)):
            table = table.append_column(name, pa.array(part))
        taste = float(self.item_factors[row] @ profile.factors + self.item_biases[row])
        popularity, rating = scorer.popularity_part(row), scorer.rating_weight * taste
        order = pa.array(np.argsort(-total, kind="stable"))
        return OrderReasons(float(total.sum()) + popularity + rating, popularity, rating, table.take(order))

    def similar_items(
        self, item: Any, n: int = 10, *, filters: Filters = NO_FILTERS, output: Output = "pandas"
    ) -> Frame:
        """List the n items nearest to one in taste: by the cosine of their factors.

        `item` is an id, a title, or the profile of an item folded in. Columns as `recommend` gives them,
        with `similarity` in place of the score.
        """
        allowed = self.allowed(filters)
        if isinstance(item, Profile):
            factors = item.row[:, : self.rank]
        else:
            row = self.find_item(item)
            allowed[row] = False
            factors = self.item_factors[row : row + 1]
        rows, cosines = best_rows(self._unit_items, unit_rows(factors)[0], n, allowed, "items")
        return self._listed(rows, "similarity", cosines, output)

    def similar_users(self, user: Person, n: int = 10, *, output: Output = "pandas") -> Frame:
        """List the n users nearest to one in taste: `user`, `similarity` (cosine), `n_ratings`."""
        allowed = self.user_counts > 0
        row = None if isinstance(user, Profile) else self.row_of("user", user)
        if row is not None:
            allowed[row] = False
            factors = self.user_rows[row : row + 1, : self.rank]
        else:
            factors = self.person(user).row[:, : self.rank]
        rows, cosines = best_rows(self._unit_users, unit_rows(factors)[0], n, allowed, "users")
        table = pa.table(
            {
                "user": self.user_ids.take(pa.array(rows)),
                "similarity": pa.array(cosines),
                "n_ratings": pa.array(self.user_counts[rows]),
            }
        )
        return as_output(table, output)

    def popular(self, n: int = 10, *, filters: Filters = NO_FILTERS, output: Output = "pandas") -> Frame:
        """List the n items with the most training ratings, for somebody of whom nothing is known yet."""
        allowed = self.allowed(filters)
        rows = np.flatnonzero(allowed)
        order: Int64 = rows[np.argsort(-self.item_counts[rows], kind="stable")][:n]
        expected = (self.mean + self.item_biases[order]).astype(np.float32)
        return self._listed(order, "score", expected, output)

    def _listed(
        self, rows: Int64, name: str, figure: Float32, output: Output, beside: Mapping[str, Float32] = NOTHING
    ) -> Frame:
        table = item_table(
            rows,
            name,
            figure,
            item_ids=self.item_ids,
            counts=self.item_counts,
            catalogue=self.catalogue,
            beside=beside,
        )
        return as_output(table, output)
