"""Original ids as Zarr can hold them: 64-bit integers, or texts as bytes and offsets; never floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from zarr.abc.store import Store

from daskals.errors import StoreError
from daskals.store.arrays import TEXT as ZARR_TEXT
from daskals.store.arrays import read_attributes, read_whole, root_of, write_array, write_group
from daskals.store.layout import check_sealed
from daskals.store.ranges import check_starts

GROUP = "ids"
INTEGER, TEXT = "int64", "string"


def write_ids(store: Store, ids: dict[str, pa.Array | pa.ChunkedArray]) -> None:
    """Write the group `ids`: an array of int64 of each name, or a group of `offsets` and UTF-8 `bytes`.

    Zarr has texts of its own, which few of its readers know.
    """
    kinds = {name: INTEGER if pa.types.is_integer(own.type) else TEXT for name, own in ids.items()}
    write_group(store, GROUP, kinds)
    for name, own in ids.items():
        if kinds[name] == INTEGER:
            write_array(store, f"{GROUP}/{name}", ids_to_numpy(own))
            continue
        offsets, content = _laid_out(own)
        write_group(store, f"{GROUP}/{name}", {})
        write_array(store, f"{GROUP}/{name}/offsets", offsets)
        if len(content):
            write_array(store, f"{GROUP}/{name}/bytes", content)


def read_ids(store: Store, name: str, length: int) -> pa.Array:
    """Read ids as int64 or string, of stores of any version; raise StoreError where they are not whole."""
    kinds = read_attributes(store, GROUP)
    check_sealed(kinds, f"{root_of(store)}/{GROUP}")
    if kinds.get(name) != TEXT:
        return ids_from_numpy(read_whole(store, f"{GROUP}/{name}", length, (INTEGER, ZARR_TEXT)))
    offsets = read_whole(store, f"{GROUP}/{name}/offsets", length + 1, ("int64",))
    size = int(offsets[-1])
    place = f"{GROUP}/{name}/offsets"
    check_starts(offsets, first=0, last=size, is_end=True, name=place, where=root_of(store))
    content = read_whole(store, f"{GROUP}/{name}/bytes", size, ("uint8",)) if size else np.empty(0, np.uint8)
    try:
        texts = pa.LargeStringArray.from_buffers(length, pa.py_buffer(offsets), pa.py_buffer(content))
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise StoreError(
            f"{GROUP}/{name} holds no texts ({error})",
            where=root_of(store),
            expected="UTF-8, cut where ascending offsets say",
            remedy="Restore it from a copy, or make the store anew from its source",
        ) from error
    return texts.cast(pa.string())


def ids_to_numpy(ids: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """Return ids as int64, or as NumPy's variable-length strings, shape (ids,)."""
    if pa.types.is_integer(ids.type):
        return np.asarray(ids.to_numpy(), dtype=np.int64)
    return np.array(ids.to_pylist(), dtype=np.dtypes.StringDType())


def ids_from_numpy(values: NDArray[Any]) -> pa.Array:
    """Return stored ids, shape (ids,), as an Arrow array of int64 or string."""
    if values.dtype.kind == "i":
        return pa.array(values, pa.int64())
    return pa.array(values.tolist(), pa.string())


def _laid_out(ids: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return where texts begin and where the last ends, shape (ids + 1,), and their bytes."""
    texts = pa.concat_arrays(ids.chunks) if isinstance(ids, pa.ChunkedArray) else ids
    texts = texts.cast(pa.large_string())
    _, places, content = texts.buffers()
    offsets = np.frombuffer(places, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    held = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    return offsets - offsets[0], held[offsets[0] : offsets[-1]]
