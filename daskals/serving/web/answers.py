"""Answers of one version of a model, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from daskals.errors import DataError
from daskals.model.filters import Filters
from daskals.model.fitted import Model
from daskals.model.list_order import Scoring
from daskals.model.lookup import unknown_id
from daskals.model.profile import Profile
from daskals.model.top_items import best_scores
from daskals.serving.web.batches import Ranking
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
NO_FILTERS = Filters()


class UnknownError(DataError):
    """A user or an item that is asked for and that the model does not have."""


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

    # --- questions -----------------------------------------------------------------------------------------

    def recommend(self, question: RecommendQuestion) -> bytes | Ranking:
        """List what suits a person best; by rating, the list is still to be scored."""
        model, scoring = self.model, Scoring(question.alpha, question.bias_weight)
        order = model.list_order(question.order, scoring)
        person, row = self._person(question)
        n = min(question.n, len(self._ids))
        filters = self._filters(question.filters)
        seen = NONE if question.include_seen else person.seen.astype(np.int32)
        head = {"model": self.name, "order": order}
        if order == "affinity":
            allowed = model.allowed(filters)
            allowed[seen] = False
            if not allowed.any():
                return as_json({**head, "items": []})
            rows, scores = best_scores(model.affinities(person), n, allowed)
            return as_json({**head, "items": self._listed(rows, scores, model.stars(row, person, rows))})
        constant = np.float32(scoring.constant(model.mean, person.bias))

        def finish(rows: Int64, scores: Float32) -> bytes:
            stars = model.stars(row, person, rows)
            scores = scores + constant
            if scoring == Scoring():
                scores = model.as_rating(scores)
            return as_json({**head, "items": self._listed(rows, scores, stars)})

        left_out = seen
        if filters != NO_FILTERS:
            left_out = np.concatenate([np.flatnonzero(~model.allowed(filters)).astype(np.int32), seen])
        vector = np.append(person.factors, np.float32(scoring.item_weight))
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
        person, _ = self._person(question)
        key = self.find_item(question.item)
        order = self.model.list_order(question.order)
        head = {"model": self.name, "order": order, "item": key}
        if order == "affinity":
            placed = self.model.explain_order(person, key)
            parts = {"score": placed.score, "popularity": placed.popularity, "rating": placed.rating}
            return as_json({**head, **parts, "ratings": placed.ratings.to_pylist()})
        found = self.model.explain(person, key)
        parts = {
            "rating": found.rating,
            "baseline": found.baseline,
            "prior_taste": found.prior_taste,
            "prior_bias": found.prior_bias,
        }
        return as_json({**head, **parts, "ratings": found.ratings.to_pylist()})

    def predict(self, question: PredictQuestion) -> bytes:
        """Predict ratings, within the scale; an unknown user or item counts with its prior, and is told."""
        if question.pairs is not None:
            users, items = [one.user for one in question.pairs], [one.item for one in question.pairs]
            found = self.model.predict(users, items, clip=True)
            table = {
                "rating": found.rating.tolist(),
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
        ratings = np.clip(self.model.predict_profile(person, keys), *self.model.limits).tolist()
        predictions = [{"item": key, "rating": rating} for key, rating in zip(keys, ratings, strict=True)]
        return as_json({"model": self.name, "predictions": predictions})

    # --- parts ---------------------------------------------------------------------------------------------

    def find_item(self, item: Any) -> Any:
        """Return the id of an item, named by it or by its whole title; raise UnknownError for another."""
        row = self.model.row_of("item", item)
        if row is None and isinstance(item, str) and self.model.has_titles:
            row = self.model.titles.same(item)
        if row is None:
            error = unknown_id("item", item, self.model.item_ids)
            raise UnknownError(error.found, where=error.where, expected=error.expected)
        return self._ids[row]

    def _person(self, question: PersonQuestion) -> tuple[Profile, int | None]:
        """Return who is asked about, with their row where they are of the model."""
        if question.user is None:
            return self._folded_in(question.ratings or []), None
        row = self.model.row_of("user", question.user)
        if row is None:
            error = unknown_id("user", question.user, self.model.user_ids, "Send the ratings of somebody new")
            raise UnknownError(error.found, where=error.where, expected=error.expected, remedy=error.remedy)
        return self.model.person(question.user), row

    def _folded_in(self, ratings: Sequence[RatingGiven]) -> Profile:
        return self.model.fold_in([(self.find_item(one.item), one.rating) for one in ratings])

    def _filters(self, spec: FilterSpec) -> Filters:
        given = spec.filters()
        allow = None if given.allow is None else tuple(map(self.find_item, given.allow))
        deny = tuple(map(self.find_item, given.deny))
        return Filters(given.min_ratings, given.genres, given.years, allow, deny)

    def _listed(self, rows: Int64, scores: Float32, beside: dict[str, Float32]) -> list[dict[str, Any]]:
        figures = {"score": scores.tolist()} | {name: values.tolist() for name, values in beside.items()}
        return [
            {"item": self._ids[row]}
            | {name: column[row] for name, column in self._facts.items()}
            | {name: values[place] for name, values in figures.items()}
            for place, row in enumerate(rows.tolist())
        ]


def as_json(content: Any) -> bytes:
    """Write an answer; a number that JSON has no word for is a fault here, never an answer."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
