"""Zarr arrays that are whole or an error: no chunk is ever filled in with zeros.

Zarr reads a chunk that is not there as the fill value. Here the byte store itself refuses to miss a
chunk, every chunk carries a CRC-32C, and a failed read is traced to the chunk that caused it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.errors import BaseZarrError
from zarr.storage import LocalStore, WrapperStore

from daskals.errors import StoreError
from daskals.store.layout import CHUNK_RATINGS, sealed
from daskals.store.remote import is_url, open_remote

_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
"""What Zarr may look for in vain. Whatever else it asks for is a chunk, however metadata spells that."""

DAMAGE = (
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    LookupError,
    OSError,
    BaseZarrError,
)
"""What Zarr and its codecs raise at damaged metadata or chunks."""

_REMEDY = "Restore it from a copy, or make the store anew from its source"

TEXT = "text"
"""Kind of an array of strings; all other kinds are named as NumPy's dtypes."""

MOST_CHUNK_BYTES = 1 << 30
"""Of a chunk in memory, far above any that is written: one that claims more is refused unread."""

COUNTED_BYTES = 1 << 26
"""An array that claims more has its chunks counted before memory is taken for it."""

_ENCODINGS = ("bytes, blosc, crc32c", "vlen-utf8, blosc, crc32c")
"""Codecs of all arrays; by others numbers would be read as other numbers, and nobody would notice."""


class CompleteStore(WrapperStore[Store]):
    """A byte store for reading, in which a missing chunk is an error."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a key; raise StoreError if it is a chunk's and there are none."""
        return self._whole(key, await self._store.get(key, prototype, byte_range))

    def _whole(self, key: str, found: Buffer | None) -> Buffer | None:
        if found is None and key.rpartition("/")[2] not in _METADATA:
            raise StoreError(
                f"chunk {key} is missing", where=root_of(self._store), expected="all chunks", remedy=_REMEDY
            )
        return found


class CompleteFolder(CompleteStore):
    """The same of a folder."""

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Do the same for the Zarr versions that read local chunks without their event loop."""
        store = cast("LocalStore", self._store)
        return self._whole(key, store.get_sync(key, prototype=prototype, byte_range=byte_range))


class StagingStore(WrapperStore[Store]):
    """A byte store for writing that can be stopped: after `stop` returns, nothing is written any more.

    An error or an interruption leaves writes of other chunks under way on Zarr's event loop; removing
    the folder beneath them would bring parts of it back.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._idle = threading.Condition()
        self._writing = 0
        self._stopped = False

    async def set(self, key: str, value: Buffer) -> None:
        """Write one key, unless stopped."""
        with self._write():
            await self._store.set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write one key that is not there yet, unless stopped."""
        with self._write():
            await self._store.set_if_not_exists(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Do the same for the Zarr versions that write local chunks without their event loop."""
        with self._write():
            cast("LocalStore", self._store).set_sync(key, value)

    @contextmanager
    def _write(self) -> Iterator[None]:
        with self._idle:
            if self._stopped:
                raise InterruptedError("writing was stopped")
            self._writing += 1
        try:
            yield
        finally:
            with self._idle:
                self._writing -= 1
                self._idle.notify_all()

    def stop(self) -> None:
        """Refuse further writes and wait for those under way."""
        with self._idle:
            self._stopped = True
            self._idle.wait_for(lambda: self._writing == 0)


def open_for_reading(place: str) -> Store:
    """Return the byte store of a folder or an address, for reading."""
    if is_url(place):
        return CompleteStore(open_remote(place))
    return CompleteFolder(LocalStore(Path(place), read_only=True))


def open_for_writing(path: Path) -> StagingStore:
    """Return the byte store of a folder, for writing."""
    return StagingStore(LocalStore(path))


def write_array(store: Store, name: str, values: NDArray[Any], *, by_bits: bool = False) -> None:
    """Write an array of any shape and dtype, in chunks of whole rows of at most `CHUNK_RATINGS` elements.

    With `by_bits` numbers are compressed bit by bit, as suits those whose last bits are all zero.
    """
    is_text = values.dtype.kind == "T"
    rows = max(1, CHUNK_RATINGS // max(1, int(np.prod(values.shape[1:]))))
    item_bytes = 1 if is_text else values.dtype.itemsize
    blosc = BloscCodec(
        cname="lz4", clevel=5, shuffle="bitshuffle" if by_bits or item_bytes == 1 else "shuffle",
        typesize=item_bytes,
    )  # fmt: skip
    array = zarr.create_array(
        store,
        name=name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(max(1, min(rows, len(values))), *(max(1, width) for width in values.shape[1:])),
        compressors=[blosc, Crc32cCodec()],
        fill_value="" if is_text else 0,
        config={"write_empty_chunks": True},
    )
    if values.size:
        array[:] = values


def write_bytes(store: Store, name: str, content: bytes | memoryview) -> None:
    """Write bytes as they are, at least one, as an array of one chunk: a file that Zarr's readers see."""
    array = zarr.create_array(
        store, name=name, shape=(len(content),), chunks=(len(content),), dtype="uint8", compressors=None,
        fill_value=0, config={"write_empty_chunks": True},
    )  # fmt: skip
    array[:] = np.frombuffer(content, np.uint8)


def write_group(store: Store, name: str, attributes: dict[str, Any]) -> None:
    """Write a group's attributes; the group itself may be there already, made for its arrays."""
    group = zarr.open_group(store, path=name, mode="a", zarr_format=3)
    if attributes:
        group.update_attributes(sealed({**group.attrs, **attributes}))


def read_attributes(store: Store, name: str) -> dict[str, Any]:
    """Return a group's attributes; raise StoreError where its metadata cannot be read."""
    try:
        group = zarr.open_group(store, path=name, mode="r", zarr_format=3, use_consolidated=False)
        return dict(group.attrs)
    except DAMAGE as error:
        raise _broken_metadata(store, name, error) from error


def open_array(
    store: Store, name: str, shape: int | tuple[int, ...], kinds: Sequence[str] = ()
) -> zarr.Array[Any]:
    """Open an array by its metadata; nothing of it is read.

    Raises StoreError if it is gone, has another shape, none of the `kinds` asked for (any, if none is named),
    a form that no daskals writes, or fewer chunks than its shape claims.
    """
    expected = (shape,) if isinstance(shape, int) else shape
    try:
        array = zarr.open_array(store, path=name, mode="r", zarr_format=3)
        codecs = cast("list[dict[str, Any]]", array.metadata.to_dict()["codecs"])
        encoding = _encoding(codecs)
    except DAMAGE as error:
        raise _broken_metadata(store, name, error) from error
    if array.shape != expected:
        raise StoreError(
            f"{name} has shape {array.shape}", where=root_of(store), expected=str(expected), remedy=_REMEDY
        )
    kind = array.dtype.name if array.dtype.kind in "biuf" else TEXT
    if kinds and kind not in kinds:
        raise StoreError(
            f"{name} is of {kind}", where=root_of(store), expected=" or ".join(kinds), remedy=_REMEDY
        )
    if encoding not in _ENCODINGS:
        raise StoreError(
            f"{array.path} is encoded by {encoding}", where=root_of(store), expected=" or ".join(_ENCODINGS),
            remedy=_REMEDY,
        )  # fmt: skip
    _check_claim(array)
    return array


def _encoding(codecs: list[dict[str, Any]]) -> str:
    """Name codecs, and the order of bytes where there is one."""
    names = ", ".join(str(codec["name"]) for codec in codecs)
    endian = codecs[0].get("configuration", {}).get("endian", "little")
    return names if endian == "little" else f"{names}, {endian}-endian"


def _check_claim(array: zarr.Array[Any]) -> None:
    """Refuse an array whose shape claims more than is there, before memory is taken for it."""
    chunk_bytes = math.prod(array.chunks) * array.dtype.itemsize
    n_bytes = math.prod(array.shape) * array.dtype.itemsize
    found = f"{array.path} claims {n_bytes:,} bytes"
    if chunk_bytes > MOST_CHUNK_BYTES:
        found += f" in chunks of {chunk_bytes:,}"
    elif n_bytes <= COUNTED_BYTES:
        return
    else:
        n_chunks = math.prod(-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))
        n_there = sync(_count(array.store, f"{array.path}/c/"))
        if n_there >= n_chunks:
            return
        found += f" in {n_chunks:,} chunks, of which {n_there:,} are there"
    raise StoreError(found, where=root_of(array.store), expected="all chunks of its shape", remedy=_REMEDY)


async def _count(store: Store, prefix: str) -> int:
    return len([key async for key in store.list_prefix(prefix)])


def read_array(array: zarr.Array[Any], start: int, stop: int) -> NDArray[Any]:
    """Read rows [start, stop) in the array's shape and dtype; raise StoreError where a chunk is not whole."""
    if start >= stop or 0 in array.shape:
        return np.empty((max(0, stop - start), *array.shape[1:]), dtype=array.dtype)
    try:
        return np.asarray(array[start:stop])
    except DAMAGE as error:
        raise _damaged_chunk(array, start, stop, error) from error
    except MemoryError:
        n_bytes = (stop - start) * math.prod(array.shape[1:]) * array.dtype.itemsize
        raise StoreError(
            f"{array.path} takes {n_bytes:,} bytes, more memory than there is",
            where=root_of(array.store),
            expected="an array that fits in memory",
        ) from None


def read_whole(
    store: Store, name: str, shape: int | tuple[int, ...], kinds: Sequence[str] = ()
) -> NDArray[Any]:
    """Read an array, of its own dtype, that must have this shape; see `open_array` and `read_array`."""
    array = open_array(store, name, shape, kinds)
    return read_array(array, 0, array.shape[0])


def _damaged_chunk(array: zarr.Array[Any], start: int, stop: int, error: Exception) -> StoreError:
    length = array.chunks[0]
    for chunk in range(start // length, (stop - 1) // length + 1):
        try:
            array[chunk * length : min((chunk + 1) * length, array.shape[0])]
        except DAMAGE as cause:
            return StoreError(
                f"chunk {array.path}/c/{chunk}{'/0' * (array.ndim - 1)} is damaged ({cause})",
                where=root_of(array.store),
                expected="a chunk whose checksum holds",
                remedy=_REMEDY,
            )
    return StoreError(f"{array.path} could not be read ({error})", where=root_of(array.store), remedy=_REMEDY)


def _broken_metadata(store: Store, name: str, error: Exception) -> StoreError:
    return StoreError(
        f"the metadata {name or '.'}/zarr.json cannot be read ({error})",
        where=root_of(store),
        expected="the metadata of a Zarr v3 node",
        remedy=_REMEDY,
    )


def root_of(store: Store) -> str:
    """Return the folder or address of a byte store, for messages."""
    inner = store._store if isinstance(store, CompleteStore | StagingStore) else store
    return str(inner.root) if isinstance(inner, LocalStore) else str(inner)
