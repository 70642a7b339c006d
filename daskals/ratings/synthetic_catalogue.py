"""The catalogue of a synthetic set: ids, titles with years, and genres, all functions of its seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daskals.kernels.data.sampling import draw_rows, weighted
from daskals.kernels.toolkit.random import FIRST_DATA_STREAM, fill_uniforms, key_of
from daskals.types import Float64, Int32, Int64

GENRES: dict[str, float] = {
    "Action": 10,
    "Adventure": 6,
    "Animation": 5,
    "Children": 4,
    "Comedy": 23,
    "Crime": 7,
    "Documentary": 9,
    "Drama": 34,
    "Fantasy": 4,
    "Film-Noir": 1,
    "Horror": 9,
    "Musical": 2,
    "Mystery": 4,
    "Romance": 10,
    "Sci-Fi": 5,
    "Thriller": 12,
    "War": 2,
    "Western": 2,
}
"""MovieLens's genres with weights near their shares there."""

FIRST_YEAR, LAST_YEAR = 1930, 1999
"""No film is younger than the oldest rating."""

_STREAM_GENRE_COUNTS, _STREAM_GENRES, _STREAM_YEARS, _STREAM_IDS = range(
    FIRST_DATA_STREAM + 16, FIRST_DATA_STREAM + 20
)
_GENRE_COUNT_LIMITS = (0.03, 0.38, 0.73, 0.93)  # 3 % of the items list none, 35 % one, 35 % two, …


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    "Silent Golden Broken Hidden Last Distant Crimson Burning Frozen Secret Empty Gentle Savage Lonely "
    "Lost Midnight Paper Iron Velvet Hollow Restless Bitter Sacred Wild Quiet Electric Endless Fallen "
    "Faithful Forgotten Glass Green Grey Haunted Heavy High Innocent Invisible Jealous Little Long Lucky "
    "Moving Naked Narrow New Northern Old Painted Perfect Private Purple Red Rising Second Shining Silver "
    "Sleeping Southern Strange Sudden Summer Winter Wooden"
)
_SECOND = _words(
    "Harbor River Mountain Garden Letter Stranger Promise Shadow Mirror Bridge Window Station Island "
    "Journey Kingdom Railway Voyage Affair Library Soldier Dancer Painter Doctor Captain Brother Sister "
    "Daughter Orphan Thief Witness Verdict Escape Return Reunion Cathedral Autumn Morning Evening Horizon "
    "Desert Forest Meadow Valley Canyon Lighthouse Hotel Theatre Circus Carnival Parade Orchestra Violin "
    "Waltz Serenade Memory Dream Fortune Treasure Empire Rebellion Conspiracy Masquerade Inheritance "
    "Honeymoon"
)
_PLACES = _words(
    "Vienna Lisbon Cairo Havana Kyoto Oslo Prague Naples Seville Tangier Odessa Bombay Shanghai Manila "
    "Lima Bogota Dakar Nairobi Athens Dublin Geneva Warsaw Riga Bergen Malta Cadiz Verona Trieste Tunis "
    "Quito Samoa"
)
_NAMES = 2**17  # 64 first words × 64 second words × 32 endings, none being the first ending
_NAME_STEP = 48_271  # odd, so that item · step mod 2¹⁷ gives every item a name of its own


class Catalogue(NamedTuple):
    """Items in file order.

    Attributes
    ----------
    ids
        int64, ascending with gaps, from 1; shape (items,).
    years
        int32, shape (items,).
    genre_indptr, genre_indices
        Genres of each item, ascending, as compressed rows.
    """

    ids: Int64
    years: Int32
    genre_indptr: Int64
    genre_indices: Int32

    def features(self) -> Float64:
        """Return the items' genres scaled to sum 1, shape (items, genres); zeros where none is listed."""
        counts = np.diff(self.genre_indptr)
        features = np.zeros((len(counts), len(GENRES)))
        items = np.repeat(np.arange(len(counts)), counts)
        features[items, self.genre_indices] = (1.0 / np.maximum(counts, 1))[items]
        return features

    def table(self, order: Int64) -> pa.Table:
        """Return title, year, genres and ids elsewhere (null) of the items in `order`, shape (items,)."""
        names = pa.DictionaryArray.from_arrays(self.genre_indices, pa.array(list(GENRES))).dictionary_decode()
        genres = pa.ListArray.from_arrays(self.genre_indptr.astype(np.int32), names)
        columns = {
            "title": pa.array([_title(item, year) for item, year in enumerate(self.years.tolist())]),
            "year": pa.array(self.years),
            "genres": genres,
            "imdb_id": pa.nulls(len(self.ids), pa.int64()),
            "tmdb_id": pa.nulls(len(self.ids), pa.int64()),
        }
        return pa.table(columns).take(pa.array(order)).combine_chunks()


def _title(item: int, year: int) -> str:
    name = item * _NAME_STEP % _NAMES
    first, second, ending = _FIRST[name % 64], _SECOND[name // 64 % 64], name // 4096
    if ending == 0:
        return f"{first} {second}, The ({year})"
    return f"{first} {second} in {_PLACES[ending - 1]} ({year})"


def draw_catalogue(seed: int, n_items: int) -> Catalogue:
    """Draw the catalogue of a set, at most 131,072 items, each with a title of its own."""
    draws = fill_uniforms(seed, _STREAM_GENRE_COUNTS, 0, n_items, 1)
    counts = (draws > np.array(_GENRE_COUNT_LIMITS)).sum(axis=1)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    genres = np.empty(indptr[-1], np.int32)
    weights = weighted(np.array(list(GENRES.values()), np.float64))
    with np.errstate(over="ignore"):
        draw_rows(key_of(seed, _STREAM_GENRES), weights, indptr, 0, n_items, genres)
    age = fill_uniforms(seed, _STREAM_YEARS, 0, n_items, 1)[:, 0]
    years = (LAST_YEAR - np.floor(age * age * (LAST_YEAR + 1 - FIRST_YEAR))).astype(np.int32)
    gaps = np.floor(fill_uniforms(seed, _STREAM_IDS, 0, n_items, 1)[:, 0] * 5).astype(np.int64)
    return Catalogue(1 + np.cumsum(gaps + 1) - (gaps[0] + 1), years, indptr, genres)
