"""The catalogue: items an input lists, with titles, years, genres, links and tags, by item row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.ratings.ids import as_integers_if_all, common_type, lookup

GENRES_TYPE = pa.list_(pa.string())

_POSSESSIVE = re.compile(r"['’`´]s$")


@dataclass(frozen=True)
class Catalogue:
    """Items as listed, in file order.

    Attributes
    ----------
    ids
        Item ids as texts.
    items
        Columns `title`, `year`, `genres` and perhaps `imdb_id`, `tmdb_id`, one row an id.
    tags
        Columns `user_id`, `item_id` (texts), `tag`, `timestamp`; or None.
    """

    ids: pa.Array
    items: pa.Table
    tags: pa.Table | None = None


class Aligned(NamedTuple):
    """A catalogue brought into the order of the item rows."""

    item_ids: pa.Array
    catalogue: pa.Table | None
    tags: pa.Table | None


def align_catalogue(item_ids: pa.Array, user_ids: pa.Array, catalogue: Catalogue | None) -> Aligned:
    """Append listed but unrated items to the rated ones and bring the catalogue into that order.

    Parameters
    ----------
    item_ids, user_ids
        Ids of the rated items and of the users.
    catalogue
        Items as listed, or None; an id listed twice counts the first time.
    """
    if catalogue is None:
        return Aligned(item_ids, None, None)
    rated, listed = common_type(item_ids, as_integers_if_all(catalogue.ids))
    unrated = listed.filter(pc.invert(pc.is_in(listed, value_set=rated))).unique()
    everything = pa.concat_arrays([rated, unrated])
    index = pa.array(lookup(everything, listed))
    index = pc.if_else(pc.less(index, 0), None, index)
    items = catalogue.items.take(index).combine_chunks()
    if "genres" in items.column_names:
        genres = _plain_genres(items["genres"].combine_chunks())
        empty = pa.ListArray.from_arrays(pa.array(np.zeros(2, dtype=np.int32)), pa.array([], pa.string()))[0]
        items = items.set_column(
            items.column_names.index("genres"), "genres", pc.if_else(pc.is_null(genres), empty, genres)
        )
    return Aligned(everything, items, _typed_tags(catalogue.tags, user_ids, everything))


def years_of_titles(titles: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the year in parentheses at each title's end, int32, null where there is none."""
    found = pc.extract_regex(titles, pattern=r"\((?P<year>[0-9]{4})\)\s*$")
    return pc.struct_field(found, "year").cast(pa.int32())


def split_genres(genres: pa.ChunkedArray) -> pa.ChunkedArray:
    """Split genres at `|`; no text gives no genres."""
    text = pc.if_else(pc.equal(genres, ""), None, genres)
    return pc.split_pattern(text, "|")


def plain_genre(name: str) -> str:
    """Return a genre's name as catalogues agree on it: without blanks around it and a possessive's end."""
    return _POSSESSIVE.sub("", name.strip())


def _plain_genres(lists: pa.ListArray) -> pa.ListArray:
    encoded = lists.values.dictionary_encode()
    plain = pa.array([None if name is None else plain_genre(name) for name in encoded.dictionary.to_pylist()],
                     pa.string())  # fmt: skip
    if plain.equals(encoded.dictionary):
        return lists
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(lists.offsets, plain.take(encoded.indices), mask=mask)


def _typed_tags(tags: pa.Table | None, user_ids: pa.Array, item_ids: pa.Array) -> pa.Table | None:
    if tags is None:
        return None
    for name, ids in (("user_id", user_ids), ("item_id", item_ids)):
        texts = tags[name].combine_chunks()
        numbers = as_integers_if_all(texts.dictionary_encode().dictionary)
        if pa.types.is_integer(ids.type) and pa.types.is_integer(numbers.type):
            texts = pc.utf8_trim_whitespace(texts).cast(pa.int64())
        tags = tags.set_column(tags.column_names.index(name), name, texts)
    return tags
