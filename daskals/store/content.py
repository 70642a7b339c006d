"""The hash of a store's logical content, the same wherever, whenever and however it is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def hash_array(values: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's dtype, length and little-endian bytes, whatever its shape."""
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{plain.dtype.str}:{plain.shape}:".encode())
    digest.update(plain.data if plain.size else b"")
    return digest.hexdigest()


def hash_column(column: pa.Array | pa.ChunkedArray) -> str:
    """Return the SHA-256 of a column's values, whatever its chunks, offsets, null fillers and width.

    Strings, integers, floats, booleans and lists of these are understood: all that a catalogue or tags
    can hold.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    digest = hashlib.sha256(hash_array(array.is_null().to_numpy(zero_copy_only=False)).encode())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        digest.update(hash_array(array.value_lengths().fill_null(0).to_numpy().astype(np.int64)).encode())
        digest.update(hash_column(array.flatten()).encode())
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        filled = array.fill_null("")
        digest.update(hash_array(pc.binary_length(filled).to_numpy().astype(np.int64)).encode())
        digest.update("".join(filled.to_pylist()).encode())
    elif not pa.types.is_null(array.type):
        plain = array.cast(pa.int64()) if pa.types.is_integer(array.type) else array
        filled = plain.fill_null(pa.scalar(0, pa.int8()).cast(plain.type)) if plain.null_count else plain
        digest.update(hash_array(filled.to_numpy(zero_copy_only=False)).encode())
    return digest.hexdigest()


def hash_table(table: pa.Table | None) -> str:
    """Return the SHA-256 of a table's column names and values; of nothing for no table."""
    columns = {} if table is None else {name: hash_column(table[name]) for name in table.column_names}
    return hash_parts(columns)


def hash_parts(parts: Mapping[str, object]) -> str:
    """Return the SHA-256 of named parts, in the order of their names."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
