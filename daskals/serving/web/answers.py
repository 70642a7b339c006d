"""Answers of one version of a model, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from daskals.errors import ConfigError, DaskalsError, DataError
from daskals.model.filters import NO_FILTERS, Filters, genre_names, known_genres
from daskals.model.fitted import Model
from daskals.model.list_order import Scoring
from daskals.model.lookup import unknown_id
from daskals.model.ordered import ListOrder
from daskals.model.profile import Profile, RatedRows
from daskals.model.profile_ratings import checked_rows
from daskals.serving.web.batches import AffinityRanking, Folding, Ranking, Step
from daskals.serving.web.questions import (
    ExplainQuestion,
    FilterSpec,
    PersonQuestion,
    PredictQuestion,
    RatingGiven,
    RecommendQuestion,
)
from daskals.types import Float32, Int64

CATALOGUE = ("title", "year", "genres")
NONE = np.empty(0, np.int32)


class UnknownError(DataError):
    """A user, an item or a genre that is asked for and that the model does not have."""

    @classmethod
    def of(cls, error: DaskalsError) -> UnknownError:
        """Return the error that says what another does."""
        return cls(error.found, where=error.where, expected=error.expected, remedy=error.remedy)


class Known(NamedTuple):
    """Somebody of the model, and their row."""

    person: Profile
    row: int


class Answers:
    """One version of a model, and what its answers need, made before it is used.

    Parameters
    ----------
    model
        The model.
    name
        What it is called: a version's id, or a run's name.
    generation
        Which it is of those that a service had.
    """

    def __init__(self, model: Model, name: str, generation: int) -> None:
        self.model, self.name, self.generation = model, name, generation
        self.panels = model.items_with_bias
        self._ids = model.item_ids.to_pylist()
        catalogue = model.catalogue
        present = [] if catalogue is None else [name for name in CATALOGUE if name in catalogue.column_names]
        self._facts = {name: catalogue[name].to_pylist() for name in present} if catalogue is not None else {}
        self._texts: dict[int, str] = {}
        self._genres = set(genre_names(catalogue))
        # of clicks nothing that is predicted is a rating
        self._figure, self._taste = ("rating", "rating") if model.predicts_ratings else ("score", "taste")

    # --- questions -----------------------------------------------------------------------------------------

    def recommend(self, question: RecommendQuestion) -> Step:
        """List what suits a person best; who is new is still to be placed, a list by rating scored."""
        scoring = Scoring(question.alpha, question.bias_weight)
        order = self.model.list_order(question.order, scoring)
        if question.user is None:
            rated = self._rated(question.ratings or [])
            return Folding(self.model, rated, lambda person: self._list(question, order, scoring, person))
        return self._list(question, order, scoring, *self._known(question.user))

    def _list(
        self,
        question: RecommendQuestion,
        order: ListOrder,
        scoring: Scoring,
        person: Profile,
        row: int | None = None,
    ) -> Ranking | AffinityRanking:
        model, n = self.model, min(question.n, len(self._ids))
        filters = self._filters(question.filters)
        left_out = NONE if question.include_seen else person.seen.astype(np.int32)
        if filters != NO_FILTERS:
            left_out = np.concatenate([np.flatnonzero(~model.allowed(filters)).astype(np.int32), left_out])
        if order == "affinity":

            def by_affinity(rows: Int64, scores: Float32) -> bytes:
                return self._list_of(order, rows.tolist(), scores, model.stars(row, person, rows))

            return AffinityRanking(model.order_scorer, person, n, left_out, by_affinity)
        constant = np.float32(scoring.constant(model.mean, person.bias))

        def finish(rows: Int64, scores: Float32) -> bytes:
            stars = model.stars(row, person, rows)
            scores = scores + constant
            if scoring == Scoring():
                scores = model.as_rating(scores)
            return self._list_of(order, rows.tolist(), scores, stars)

        vector = np.empty(len(person.factors) + 1, np.float32)
        vector[:-1], vector[-1] = person.factors, scoring.item_weight
        return Ranking(self.panels, vector, n, left_out, finish)

    def similar(self, item: Any, n: int, filters: FilterSpec) -> bytes:
        """List the items nearest to one."""
        key, chosen = self.find_item(item), self._filters(filters)
        allowed = self.model.allowed(chosen)
        allowed[self.model.row_of("item", key)] = False
        if not allowed.any():
            return as_json({"model": self.name, "item": key, "items": []})
        found = self.model.similar_items(key, min(n, len(self._ids)), filters=chosen, output="arrow")
        assert isinstance(found, pa.Table)
        names = [name for name in ("item", *CATALOGUE, "similarity") if name in found.column_names]
        return as_json({"model": self.name, "item": key, "items": found.select(names).to_pylist()})

    def explain(self, question: ExplainQuestion) -> bytes:
        """Share a rating, or a place in a list, out among the person's own ratings."""
        person = self._person(question)
        key = self.find_item(question.item)
        order = self.model.list_order(question.order)
        head = {"model": self.name, "order": order, "item": key}
        if order == "affinity":
            placed = self.model.explain_order(person, key)
            parts = {"score": placed.score, "popularity": placed.popularity, self._taste: placed.rating}
            return as_json({**head, **parts, "ratings": placed.ratings.to_pylist()})
        found = self.model.explain(person, key)
        parts = {
            self._figure: found.rating,
            "baseline": found.baseline,
            "prior_taste": found.prior_taste,
            "prior_bias": found.prior_bias,
        }
        return as_json({**head, **parts, "ratings": found.ratings.to_pylist()})

    def predict(self, question: PredictQuestion) -> bytes:
        """Predict ratings, within the scale, or what scores clicks; who is unknown counts with a prior."""
        if question.pairs is not None:
            users, items = [one.user for one in question.pairs], [one.item for one in question.pairs]
            found = self.model.predict(users, items, clip=True)
            table = {
                self._figure: found.rating.tolist(),
                "known_user": found.known_user.tolist(),
                "known_item": found.known_item.tolist(),
            }
            if found.deviation is not None:
                table["deviation"] = found.deviation.tolist()
            named = [{"user": user, "item": item} for user, item in zip(users, items, strict=True)]
            rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
            return as_json(
                {"model": self.name, "predictions": [a | b for a, b in zip(named, rows, strict=True)]}
            )
        person = self._folded_in(question.ratings or [])
        keys = [self.find_item(item) for item in question.items or []]
        figures = self.model.predict_profile(person, keys)
        if self.model.predicts_ratings:
            figures = np.clip(figures, *self.model.limits)
        scored = zip(keys, figures.tolist(), strict=True)
        predictions = [{"item": key, self._figure: figure} for key, figure in scored]
        return as_json({"model": self.name, "predictions": predictions})

    # --- parts ---------------------------------------------------------------------------------------------

    def find_item(self, item: Any) -> Any:
        """Return the id of an item, named by it or by its whole title; raise UnknownError for another."""
        return self._ids[self._item_row(item)]

    def _item_row(self, item: Any) -> int:
        row = self.model.row_of("item", item)
        if row is None and isinstance(item, str) and self.model.has_titles:
            row = self.model.titles.same(item)
        if row is None:
            raise UnknownError.of(unknown_id("item", item, self.model.item_ids))
        return row

    def _person(self, question: PersonQuestion) -> Profile:
        """Return who is asked about."""
        if question.user is None:
            return self._folded_in(question.ratings or [])
        return self._known(question.user).person

    def _known(self, user: Any) -> Known:
        row = self.model.row_of("user", user)
        if row is None:
            remedy = "Send the ratings of somebody new"
            raise UnknownError.of(unknown_id("user", user, self.model.user_ids, remedy))
        return Known(self.model.person(user), row)

    def _rated(self, ratings: Sequence[RatingGiven]) -> RatedRows:
        pairs = [(self._item_row(one.item), one.rating) for one in ratings]
        for place, one in enumerate(ratings):
            if self.model.predicts_ratings and "rating" not in one.model_fields_set:
                raise DataError("found none", where=f"ratings.{place}.rating", expected="a rating")
        return checked_rows(pairs, self.model, "item")

    def _folded_in(self, ratings: Sequence[RatingGiven]) -> Profile:
        return self.model.place([self._rated(ratings)])[0]

    def _filters(self, spec: FilterSpec) -> Filters:
        given = spec.filters()
        if given.genres and self._facts.get("genres"):
            try:
                known_genres(given.genres, self._genres)
            except ConfigError as error:
                raise UnknownError.of(error) from None
        allow = None if given.allow is None else tuple(map(self.find_item, given.allow))
        deny = tuple(map(self.find_item, given.deny))
        return Filters(given.min_ratings, given.genres, given.years, allow, deny)

    def _list_of(
        self, order: ListOrder, rows: list[int], scores: Float32, beside: dict[str, Float32]
    ) -> bytes:
        """Write a list as JSON, from what was written of its items before."""
        figures = {"score": scores} | beside
        if not all(np.isfinite(values).all() for values in figures.values()):
            raise ValueError("a score that is no finite number")
        members: list[Iterable[str]] = [map(self._written, rows)]
        for name, values in figures.items():
            members.append([f'"{name}":{value!r}' for value in values.tolist()])
        written = ",".join([f"{{{','.join(parts)}}}" for parts in zip(*members, strict=True)])
        head = as_json({"model": self.name, "order": order})
        return b"".join([head[:-1], b',"items":[', written.encode(), b"]}"])

    def _written(self, row: int) -> str:
        """Return what the catalogue has of an item, as members of a JSON object."""
        text = self._texts.get(row)
        if text is None:
            facts = {"item": self._ids[row]} | {name: column[row] for name, column in self._facts.items()}
            text = self._texts[row] = as_json(facts).decode()[1:-1]
        return text


def as_json(content: Any) -> bytes:
    """Write an answer; a number that JSON has no word for is a fault here, never an answer."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
