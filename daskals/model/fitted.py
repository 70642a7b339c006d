"""The fitted model as people use it: it recommends, folds in, compares and explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskals.config import ReadConfig
from daskals.config.arguments import check_list, is_number, is_whole, shown
from daskals.errors import ConfigError, DataError
from daskals.model.filters import NO_FILTERS, Filters
from daskals.model.list_order import Scoring
from daskals.model.order.diversity import check_diversity, diverse
from daskals.model.order.new_items import NewItem, interactions_of, regressed_column
from daskals.model.order.reasons import OrderReasons
from daskals.model.ordered import ListOrder
from daskals.model.people import PeopleModel, Person
from daskals.model.profile import NAMED, Explanation, Profile, check_profile, explain
from daskals.model.tables import Frame, Output, as_output, item_table
from daskals.model.top_items import best_rows, best_scores, check_wanted, unit_rows
from daskals.model.update import kept_ratings, read_new_ratings, updated
from daskals.types import SIDES, Float32, Int64, Side

NOTHING: Mapping[str, Float32] = MappingProxyType({})


class Model(PeopleModel):
    """A fitted model.

    Users and items are named by their original ids, items also by title; somebody who is not in the model
    is folded in (`fold_in`) and can then stand wherever a user id can. Lists come as pandas or Arrow frames.
    See `FactorModel` for the attributes, `predict`, `rows_of`, `save` and `load`.
    """

    def update(
        self, ratings: Any, columns: Mapping[str, str] | None = None, config: ReadConfig | None = None
    ) -> Self:
        """Return a model that knows more ratings, without a training; this one stays as it is.

        `ratings` is a file, a folder or a table, as for training, `columns` names its columns; without it
        they have the usual names, or those that trained the model. `config` says how else they are read: with
        `duplicates="sum"` counts are added to those that are known. Touched people get the row of `fold_in`,
        touched items theirs, new ones too; see `model.update`. Raises ConfigError where ratings are to be
        added up, which only counts do.
        """
        config = config or ReadConfig()
        given = read_new_ratings(ratings, self, columns, config)
        return updated(self, given, kept_ratings(self), add=config.duplicates == "sum")

    def recommend(
        self,
        user: Person = None,
        n: int = 10,
        *,
        users: Sequence[Person] | None = None,
        diversity: float = 0.0,
        order: ListOrder | None = None,
        alpha: float | None = None,
        bias_weight: float | None = None,
        filters: Filters = NO_FILTERS,
        include_seen: bool = False,
        output: Output = "pandas",
    ) -> Frame:
        """List the n items that suit a person best, or each of several people.

        Parameters
        ----------
        user
            A user id or a profile.
        n
            Length of the list; it is shorter where filters leave less.
        users
            Several of these instead, whose lists follow one another.
        diversity
            How much the items of a list by affinity shall differ, from 0, the best, to 1; see
            `model.order.diversity`.
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
            With `users` first `user` (None for a profile) and `rank`, from 1. Then `item`, `title`, `year`,
            `genres` and links (as the catalogue has them), `score` (what orders the list),
            `stars` (the predicted rating, within the scale; not of a model of clicks), of a Bayesian model's
            own users `stars_deviation`, `n_ratings` (training ratings); the best first, equal scores in the
            order of the items' rows.

        Raises
        ------
        ConfigError
            If n or an option is out of range.
        DataError
            If the user is unknown, the profile is an item's, or filters leave nothing.
        """
        scoring = Scoring(alpha, bias_weight)
        settled = self.list_order(order, scoring)
        if not is_number(diversity):
            raise ConfigError(f"found {shown(diversity)}", where="diversity", expected="a number from 0 to 1")
        check_diversity(diversity, settled)
        allowed = self.allowed(filters)
        if users is None:
            return as_output(
                self._best(user, n, settled, scoring, allowed.copy(), diversity, include_seen=include_seen),
                output,
            )
        if user is not None:
            raise ConfigError("found user and users together", where="recommend", expected="one of the two")
        check_list(users, "users", "a list of user ids or profiles")
        tables = []
        for one in users:
            found = self._best(one, n, settled, scoring, allowed.copy(), diversity, include_seen=include_seen)
            named = None if isinstance(one, Profile) else self.user_ids[self.find_user(one)].as_py()
            owners = pa.array([named] * len(found), self.user_ids.type)
            ranks = pa.array(np.arange(1, len(found) + 1, dtype=np.int32))
            tables.append(found.add_column(0, "rank", ranks).add_column(0, "user", owners))
        if not tables:
            raise ConfigError("found nobody", where="users", expected="at least one user")
        return as_output(pa.concat_tables(tables), output)

    def _best(
        self,
        user: Person,
        n: int,
        order: ListOrder,
        scoring: Scoring,
        allowed: NDArray[np.bool_],
        diversity: float,
        *,
        include_seen: bool,
    ) -> pa.Table:
        profile = self.person(user)
        if not include_seen:
            allowed[profile.seen] = False
        if order == "affinity":
            every = self.affinities(profile)
            rows, scores = best_scores(every, n, allowed)
            if diversity:
                rows = diverse(self.order_scorer, every, n, allowed, diversity)
                scores = every[rows]
        else:
            vector = np.append(profile.factors, np.float32(scoring.item_weight))
            rows, scores = best_rows(self.items_with_bias, vector, n, allowed, "items")
            scores = self._scored(scores + np.float32(scoring.constant(self.mean, profile.bias)), scoring)
        row = None if isinstance(user, Profile) else self.row_of("user", user)
        return self._listed(rows, "score", scores, self.stars(row, profile, rows))

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
        if items is not None:
            check_list(items, "items", "a list of ids or titles")
        rows = slice(None) if items is None else np.array([self.find_item(item) for item in items], np.int64)
        if self.list_order(order, scoring) == "affinity":
            return self.affinities(profile)[rows]
        taste = self.item_factors[rows] @ profile.factors
        popularity = np.float32(scoring.item_weight) * self.item_biases[rows]
        constant = np.float32(scoring.constant(self.mean, profile.bias))
        return self._scored((taste + popularity + constant).astype(np.float32), scoring)

    def _scored(self, scores: Float32, scoring: Scoring) -> Float32:
        """Return scores as ratings where that is what they are, and no blend with popularity."""
        return self.as_rating(scores) if scoring == Scoring() else scores

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
        named = self._listed(profile.rated, self.observed_as, profile.ratings)
        return explain(self.fold("user"), profile, row, baseline, named)

    def explain_order(self, user: Person, item: Any) -> OrderReasons:
        """Tell which of a person's own ratings an item's place in a list by affinity comes from.

        `user` is a user id or a profile, `item` an id or a title. Raises ConfigError as `list_order` does.
        """
        self.list_order("affinity")
        profile, row, scorer = self.person(user), self.find_item(item), self.order_scorer
        as_item, by_genre = scorer.contributions(profile.known, row)
        named = self._listed(profile.rated, self.observed_as, profile.ratings)
        table = named.select([name for name in NAMED if name in named.column_names])
        total = as_item + by_genre
        for name, part in (("as_item", as_item), ("by_genre", by_genre), ("contribution", total)):
            table = table.append_column(name, pa.array(part))
        taste = float(self.item_factors[row] @ profile.factors + self.item_biases[row])
        popularity, rating = scorer.popularity_part(profile.known, row), scorer.rating_weight * taste
        order = pa.array(np.argsort(-total, kind="stable"))
        return OrderReasons(float(total.sum()) + popularity + rating, popularity, rating, table.take(order))

    def scores_of_new(self, item: Profile, users: Sequence[Person]) -> Float32:
        """Score an item that was folded in for people, by affinity: comparable with `scores` of the others.

        Exactly what training would have said of it, given the other items, from its own ratings; without
        any, its genres, and the rating expected, tell people apart.

        Parameters
        ----------
        item
            What `fold_in_item` returned.
        users
            User ids or profiles.

        Returns
        -------
        Float32
            Shape (users,).

        Raises
        ------
        ConfigError
            If the model has learnt no order, or one of a version that kept too little for this.
        DataError
            If `item` is no profile of an item, or a user is not known.
        """
        check_profile(item, "item", "item")
        self.list_order("affinity")
        assert self.order is not None
        scorer, people = self.order_scorer, [self.person(user) for user in users]
        known = self.history("score items that have ratings by a model that carries them").train(item.rated)
        raters = interactions_of(
            known.indptr,
            known.items,
            scorer.learnt_interactions(known),
            len(self.item_ids),
        )
        own = scorer.learnt_interactions(item.known)
        genres = np.zeros(self.genre_matrix.shape[1]) if item.genres is None else item.genres
        new = NewItem(
            regressed_column(self.order, self.genre_matrix, genres, raters, own),
            genres,
            float(own.sum()) / max(len(self.user_ids), 1),
            item.factors.astype(np.float64),
            item.bias,
        )
        found = [scorer.score_of_new(new, one.known, one.factors) for one in people]
        return np.array(found, np.float32)

    def similar_items(
        self, item: Any, n: int = 10, *, filters: Filters = NO_FILTERS, output: Output = "pandas"
    ) -> Frame:
        """List the n items nearest to one in taste and in who chose them; see `daskals.model.neighbours`.

        `item` is an id, a title, or the profile of an item folded in, compared by taste alone. Columns as
        `recommend` gives them, with `similarity` in place of the score. Items whose factors say
        nothing are nobody's neighbours: raises DataError for such an item, and where all are.
        """
        allowed = self.allowed(filters) & ~self._dust["item"]
        if isinstance(item, Profile):
            check_profile(item, "item", "item")
            own = unit_rows(item.row[:, : self.rank])[0]
            rows, figures = best_rows(self._unit_items, own, n, allowed, "items")
            return as_output(self._listed(rows, "similarity", figures), output)
        row = self.find_item(item)
        self._refuse_dust("item", row)
        allowed[row] = False
        check_wanted(n, allowed, "items")
        found = self.neighbours.nearest(np.array([row]), n, allowed)
        count = min(n, int(allowed.sum()))
        rows = found.items[0, :count].astype(np.int64)
        return as_output(self._listed(rows, "similarity", found.scores[0, :count]), output)

    def similar_users(self, user: Person, n: int = 10, *, output: Output = "pandas") -> Frame:
        """List the n users nearest to one in taste: `user`, `similarity` (cosine), `n_ratings`.

        Raises DataError for somebody whose factors say nothing, and where all do.
        """
        allowed = (self.user_counts > 0) & ~self._dust["user"]
        row = None if isinstance(user, Profile) else self.row_of("user", user)
        if row is not None:
            self._refuse_dust("user", row)
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

    @cached_property
    def _dust(self) -> dict[Side, NDArray[np.bool_]]:
        return {side: self.is_dust(side) for side in SIDES}

    def has_neighbours(self, item: Any) -> bool:
        """Tell whether an item's factors say anything, so that some are near to it; `item`: id or title."""
        return not self._dust["item"][self.find_item(item)]

    def _refuse_dust(self, side: Side, row: int) -> None:
        """Refuse neighbours of a row that says nothing: they would be anybody."""
        if not self._dust[side][row]:
            return
        name = self.item_name(row) if side == "item" else self.user_name(row)
        raise DataError(
            f"the factors of {name} say nothing, so nothing is near to it",
            where="neighbours",
            expected=f"{'an item' if side == 'item' else 'a user'} whose ratings taught the model a taste",
            remedy=f"Ask for another one, or {self.taste_remedy}",
        )

    def popular(self, n: int = 10, *, filters: Filters = NO_FILTERS, output: Output = "pandas") -> Frame:
        """List the n items with the most training ratings, for somebody of whom nothing is known yet.

        Their score is the rating that they can expect; of clicks, the share of all users who chose them.
        Raises ConfigError where n is no whole number from 1 up.
        """
        if not is_whole(n) or n < 1:
            raise ConfigError(f"found {shown(n)}", where="n", expected="a whole number from 1 up")
        rows = np.flatnonzero(self.allowed(filters))
        order: Int64 = rows[np.argsort(-self.item_counts[rows], kind="stable")][:n]
        expected = self.as_rating((self.mean + self.item_biases[order]).astype(np.float32))
        if not self.predicts_ratings:
            expected = (self.item_counts[order] / max(len(self.user_ids), 1)).astype(np.float32)
        return as_output(self._listed(order, "score", expected), output)

    def _listed(
        self, rows: Int64, name: str, figure: Float32, beside: Mapping[str, Float32] = NOTHING
    ) -> pa.Table:
        return item_table(
            rows,
            name,
            figure,
            item_ids=self.item_ids,
            counts=self.item_counts,
            catalogue=self.catalogue,
            beside=beside,
        )
