"""New users: ratings as typed, what was understood of them, and where to start without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from daskals.errors import ConfigError
from daskals.model.filters import NO_FILTERS, Filters, genre_names
from daskals.model.fitted import Model
from daskals.model.lookup import unknown_id
from daskals.model.profile_ratings import ONCE

EXAMPLES: dict[str, dict[str, float]] = {
    "One film: Toy Story (Nagi et al., section 7.1)": {"Toy Story (1995)": 5.0},
    "Three animations (Salako et al., section 4.2)": {
        "Toy Story (1995)": 5.0,
        "Toy Story 3 (2010)": 5.0,
        "Lion King, The (1994)": 5.0,
    },
}
"""The papers' dummy users."""


class TypedRating(NamedTuple):
    """A rating as it was understood.

    Attributes
    ----------
    asked
        The title as typed.
    row, title
        The item it was taken for.
    rating
        The rating.
    is_exact
        Whether the title is the catalogue's, up to upper and lower case.
    """

    asked: str
    row: int
    title: str
    rating: float
    is_exact: bool


def parse_typed_ratings(model: Model, texts: Sequence[str]) -> list[TypedRating]:
    """Read ratings typed as TITLE=RATING or ID=RATING; what is a whole title is one, though it were an id.

    For a model of clicks TITLE or ID alone is something clicked once.

    Raises
    ------
    ConfigError
        If one has no rating behind its last equals sign.
    DataError
        If a title is not known; the nearest three are suggested.
    """
    taken = []
    for text in texts:
        title, equals, number = text.rpartition("=")
        try:
            rating = float(number)
        except ValueError:
            equals = ""
        if text.strip() and not model.predicts_ratings and (not equals or _is_whole(model, text.strip())):
            title, equals, rating = text, "=", ONCE
        if not equals or not title.strip():
            expected = 'TITLE=RATING, as "Toy Story (1995)=5"'
            raise ConfigError(
                f"found {text!r}",
                where="--rate",
                expected=expected if model.predicts_ratings else "TITLE, or TITLE=COUNT of how often",
            )
        taken.append(_understood(model, title.strip(), rating))
    return taken


def _is_whole(model: Model, text: str) -> bool:
    """Tell whether a text with an equals sign in it is an id or a title as it stands."""
    return model.row_of("item", text) is not None or (model.has_titles and model.titles.is_title(text))


def _understood(model: Model, text: str, rating: float) -> TypedRating:
    """Take a text for the title it is, else for the id it is, else for a title like it."""
    row = model.row_of("item", text)
    if row is not None and not (model.has_titles and model.titles.is_title(text)):
        return TypedRating(text, row, model.item_name(row), rating, is_exact=True)
    if not model.has_titles:  # an id that is like another is another's
        near = [model.item_ids[int(one)].as_py() for one in model.titles.nearest(text, 3)]
        told = f"The nearest are {', '.join(map(repr, near))}" if near else ""
        raise unknown_id("item", text, model.item_ids, told)
    match = model.titles.resolve(text)
    return TypedRating(text, match.row, match.title, rating, match.is_exact)


def popular_by_genre(model: Model, per_genre: int = 3, filters: Filters = NO_FILTERS) -> pd.DataFrame:
    """List the most rated items of each genre, for somebody who has rated nothing yet.

    An item stands under the first genre, in alphabetical order, that lists it. Without genres, or where
    they list nothing, it is the most rated items, under the genre "all".
    """
    wanted = [
        genre for genre in genre_names(model.catalogue) if not filters.genres or genre in filters.genres
    ]
    lists: list[pd.DataFrame] = []
    for genre in wanted:
        denied = tuple(item for found in lists for item in found["item"])
        one = replace(filters, genres=(genre,), deny=(*filters.deny, *denied))
        found = model.popular(per_genre, filters=one)
        if len(found):
            lists.append(found.assign(genre=genre))
    if not lists:
        lists = [model.popular(10 * per_genre, filters=filters).assign(genre="all")]
    everything: pd.DataFrame = pd.concat(lists, ignore_index=True)
    return everything
