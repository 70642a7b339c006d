"""Filters of items that may be recommended: by number of ratings, genre, year, and lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.config.arguments import check_list, is_whole, shown
from daskals.errors import ConfigError
from daskals.ratings.catalogue import plain_genre
from daskals.types import Int64


@dataclass(frozen=True)
class Filters:
    """What an item must be to be recommended; all conditions together.

    Attributes
    ----------
    min_ratings
        Training ratings an item must have.
    genres
        Genres of which it must have one; none named: any.
    years
        First and last year, both included, None for no limit; an item without a year fits no limit.
    allow
        Original ids or titles that alone may be recommended; None for all.
    deny
        Original ids or titles never to recommend.
    """

    min_ratings: int = 0
    genres: tuple[str, ...] = ()
    years: tuple[int | None, int | None] = (None, None)
    allow: tuple[Any, ...] | None = None
    deny: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not is_whole(self.min_ratings) or self.min_ratings < 0:
            raise ConfigError(
                f"found {shown(self.min_ratings)}", where="--min-ratings", expected="a whole number from 0 up"
            )
        check_list(self.genres, "genres", "a list of genres, as ('Drama',)")
        for name, items in (("allow", () if self.allow is None else self.allow), ("deny", self.deny)):
            check_list(items, name, "a list of ids or titles, as (1, 2)")
        if not _is_pair_of_years(self.years):
            raise ConfigError(
                f"found {shown(self.years)}",
                where="years",
                expected="the first year and the last, as (1990, 1999), None for no limit",
            )
        first, last = self.years
        if first is not None and last is not None and first > last:
            raise ConfigError(
                f"found {first} to {last}", where="years", expected="the first year before the last"
            )


def _is_pair_of_years(years: object) -> bool:
    return (
        isinstance(years, tuple | list)
        and len(years) == 2
        and all(year is None or is_whole(year) for year in years)
    )


NO_FILTERS = Filters()


def allowed_items(filters: Filters, counts: Int64, catalogue: pa.Table | None) -> NDArray[np.bool_]:
    """Return which items fit all but the lists of a filter, bool, shape (items,).

    Raises
    ------
    ConfigError
        If a genre is not known, or there is no catalogue to tell genres or years.
    """
    allowed = counts >= filters.min_ratings
    if filters.genres:
        allowed &= _of_genres(_column(catalogue, "genres"), filters.genres)
    first, last = filters.years
    if first is not None or last is not None:
        years = np.asarray(pc.fill_null(_column(catalogue, "year").cast(pa.int64()), -1))
        allowed &= years >= 0
        allowed &= years >= (0 if first is None else first)
        allowed &= years <= (years.max(initial=0) if last is None else last)
    return allowed


def genre_names(catalogue: pa.Table | None) -> list[str]:
    """Return the genres of a catalogue in alphabetical order, none without a catalogue."""
    if catalogue is None or "genres" not in catalogue.column_names:
        return []
    return sorted(set(_flat(catalogue["genres"]).to_pylist()))


def known_genres(genres: Sequence[str], known: Collection[str]) -> list[str]:
    """Return genres as a catalogue of those `known` spells them; raise ConfigError where one is none."""
    spelt = [genre if genre in known else plain_genre(genre) for genre in genres]
    unknown = [repr(genre) for genre in spelt if genre not in known]
    if unknown:
        expected = f"of {', '.join(sorted(known))}"
        raise ConfigError(f"found {', '.join(unknown)}", where="genres", expected=expected)
    return spelt


def _of_genres(column: pa.ChunkedArray, genres: Sequence[str]) -> NDArray[np.bool_]:
    lists = pa.concat_arrays(column.chunks)
    names = lists.flatten()
    known = set(names.to_pylist())
    parents = pc.list_parent_indices(lists)
    wanted = pc.is_in(names, value_set=pa.array(known_genres(genres, known), pa.string()))
    fits = np.zeros(len(lists), dtype=bool)
    fits[np.asarray(parents.filter(wanted))] = True
    return fits


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks).flatten()


def _column(catalogue: pa.Table | None, name: str) -> pa.ChunkedArray:
    if catalogue is None or name not in catalogue.column_names:
        raise ConfigError(
            f"the model has no {name} of its items",
            where="filters",
            expected="ratings that came with a catalogue",
            remedy="Leave the filter out, or train on a folder with movies.csv",
        )
    return catalogue[name]
