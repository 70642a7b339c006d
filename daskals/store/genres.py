"""Genres of items as compressed rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daskals.types import Int32, Int64


class Genres(NamedTuple):
    """Genres of each item, as compressed rows.

    `indptr` is int64, shape (n_items + 1,); `indices`, int32, are ascending and distinct in each row; `names`
    come in order of first appearance, so that later items keep the earlier numbers.
    """

    indptr: Int64
    indices: Int32
    names: list[str]


def encode_genres(catalogue: pa.Table | None, n_items: int) -> Genres:
    """Turn the `genres` column (lists of strings) of a catalogue into numbers; without one, none."""
    if catalogue is None or "genres" not in catalogue.column_names:
        return Genres(np.zeros(n_items + 1, dtype=np.int64), np.empty(0, dtype=np.int32), [])
    lists = pa.concat_arrays(catalogue["genres"].chunks)
    encoded = lists.flatten().dictionary_encode()
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    items = np.repeat(np.arange(n_items, dtype=np.int64), lengths)
    genres = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    n_genres = max(1, len(encoded.dictionary))
    distinct = np.unique(items * n_genres + genres)
    indptr = np.zeros(n_items + 1, dtype=np.int64)
    np.cumsum(np.bincount(distinct // n_genres, minlength=n_items), out=indptr[1:])
    return Genres(indptr, (distinct % n_genres).astype(np.int32), encoded.dictionary.to_pylist())
