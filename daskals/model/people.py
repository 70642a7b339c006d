"""People and items as a fitted model sees them: those it was trained on, and those that are folded in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np

from daskals.config.arguments import check_list, check_word, is_number, shown
from daskals.errors import ConfigError
from daskals.model.new_items import ColdStart, anchor_mean, genre_weights, new_traits
from daskals.model.order.learnt import moments_in
from daskals.model.ordered import NO_GENRES, OrderedModel
from daskals.model.personal_exports import read_export
from daskals.model.prior_mean import rating_parts, trait_part
from daskals.model.profile import Profile, RatedRows, check_profile
from daskals.model.profile_ratings import ProfileRatings, read_profile_file, read_profile_ratings
from daskals.model.stored_ratings import StoredRatings, open_history, training_data
from daskals.model.training_ratings import History
from daskals.store.reader import RatingsStore
from daskals.types import Float64, Int64

Person: TypeAlias = Any
"""An original user id, or the `Profile` of somebody folded in."""

LOGGER = logging.getLogger(__name__)


class PeopleModel(OrderedModel):
    """A fitted model that knows people, and places new people and items. See `FactorModel` for attributes."""

    def person(self, user: Person) -> Profile:
        """Return a user of the model with the ratings that made the factors; a `Profile` as it is.

        Raises
        ------
        DataError
            If the model does not know the user, or the profile is an item's.
        StoreError
            If the model does not carry the ratings it was trained on, and they are gone.
        """
        if isinstance(user, Profile):
            check_profile(user, "user", "user")
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
            own.weights,
            dates=None if own.dates is None or self.times is None else self.times.rows_at(own.dates),
            ages=own.ages,
        )

    def history(self, remedy: str, store: RatingsStore | None = None) -> History:
        """Return what the users rated, for their profiles and what they have seen.

        Parameters
        ----------
        remedy
            What else can be done, for the error's message.
        store
            That of the ratings, where it is open; else it is opened if it is needed.

        Raises
        ------
        StoreError
            If the model does not carry its ratings and the store it was trained on is gone.
        """
        if self.kept is not None:
            return self.kept
        data = training_data(self.report)
        again = "train with a higher --keep-ratings, so that the model carries them"
        if store is None:
            store = open_history(data, f"Restore it; {again}; or {remedy}")
        # a model of an older version has no use for the dates of its ratings
        dated = self.times is not None and self.times.biases is not None
        unit = self.times.timing.unit if dated and self.times is not None else None
        half_life = self.report.get("config", {}).get("half_life")
        return StoredRatings(store, data["split"], half_life, unit, moments_in(self.order))

    def fold_in(self, ratings: ProfileRatings | str | Path) -> Profile:
        """Place a person who is not in the model, by the solve and ridge of a training half-step.

        Parameters
        ----------
        ratings
            What was rated, by id or title, and how: a mapping, pairs, or a frame with the columns `item` or
            `title` and `rating`; for a model of clicks ids or titles alone, each clicked once, are enough.
            It may be empty: then nothing but the prior is known. Or the path of a file of these columns, or
            of an export of Letterboxd, IMDb or MovieLens; titles of an export that the model does not know
            are logged and left out.

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
        return self.place([read_profile_ratings(ratings, self, "item")])[0]

    def place(self, people: Sequence[RatedRows]) -> list[Profile]:
        """Place several people at once whose ratings are checked; each is as `fold_in` gives them alone.

        Parameters
        ----------
        people
            What each of them rated: item rows and ratings.
        """
        priors = [self._person_priors(one.rows) for one in people]
        return self.fold("user").solve_all(people, self._no_prior, priors)

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
            where training puts an item without ratings) or "bias" (zero: an average item of no taste). Of
            implicit feedback "anchors" are the genres, where training drew items to them, else nothing.

        Returns
        -------
        Profile
            Of side "item": for `similar_items`, `predict_profile` and `scores_of_new`.

        Raises
        ------
        ConfigError
            If a genre is not known, or genres, year or start are nothing such.
        DataError
            For an unknown user, a rating off the scale, or a user twice.
        """
        check_list(genres, "genres", "a list of genres, as ['Drama']")
        if year is not None and not is_number(year):
            raise ConfigError(f"found {shown(year)}", where="year", expected="a year, as 1999, or None")
        check_word(start, "start", get_args(ColdStart))
        rows, values = read_profile_ratings(ratings, self, "user")
        genres = list(genres)
        own = self._item_start(genres, year, start)
        parts = rating_parts(self.feature_groups["item"], rows, None, self.rank + 1)
        folded = self.fold("item").solve(rows, values, own, parts)
        if not genres:
            return folded
        known = new_traits(genres, self.traits.names) > 0
        listed = [name != NO_GENRES for name in self.traits.names]
        return replace(folded, genres=known[listed].astype(np.float64))

    def _item_start(self, genres: Sequence[str], year: int | None, start: ColdStart) -> Float64:
        if start == "bias" or not (genres or year):
            return np.zeros(self.rank + 1)
        if self.implicit is not None:
            # where its rows stand is what was drawn to a prior mean, not one itself
            known = {"genres": list(genres)} | ({} if year is None else {"year": year})
            return trait_part(self.feature_groups["item"], known, self.rank + 1)
        if start == "genres":
            share = new_traits(genres, self.traits.names) if genres else np.zeros(0)
            dated = {} if year is None else {"year": year}
            other = [group for group in self.feature_groups["item"] if group.column != "genres"]
            rest = trait_part(other, dated, self.rank + 1)
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
