"""Splits of a store: made once, kept beside the ratings, read with a block by the workers."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from daskals.cache import cache_folder
from daskals.errors import OutputError, StoreError
from daskals.kernels.data.csr import compact_part, count_part
from daskals.ratings.split import SplitSpec, compute_parts
from daskals.store.arrays import (
    open_array,
    open_for_reading,
    open_for_writing,
    read_array,
    read_attributes,
    write_array,
    write_group,
)
from daskals.store.atomic_folder import staged_directory
from daskals.store.checked import checked
from daskals.store.layout import CHUNK_RATINGS, SPLIT_FORMAT, Count, Finite, check_version, group_of
from daskals.store.ranges import check_below
from daskals.store.reader import RatingsStore, open_store
from daskals.store.remote import holds, is_url, put_folder
from daskals.store.standard import standard_of
from daskals.types import (
    FOLD_IN,
    SIDES,
    TEST,
    TRAIN,
    VALIDATION,
    Float32,
    Int32,
    Int64,
    RatingsBlock,
    Side,
    Standard,
    UInt8,
)

_CODES = 256
_VERSION = 1
_RATINGS_AT_ONCE = 1 << 22
_REMEDY = "Remove it: it is made anew when it is asked for"


@dataclass(frozen=True)
class _Sizes:
    """How many ratings each part has, and the mean of those that train."""

    n_train: Count
    n_validation: Count
    n_test: Count
    mean: Finite
    n_fold_in: Count = 0


class Piece(NamedTuple):
    """Ratings [start, stop) of a side, and which of them train, bool, shape (stop − start,)."""

    start: int
    stop: int
    trains: NDArray[np.bool_]


class Split:
    """The parts of a store's ratings under one protocol, by its key; StoreError if there are none."""

    def __init__(self, store: RatingsStore, key: str) -> None:
        self.key = key
        self.ratings = store
        place = _find_split(store, key)
        self._place = place
        self._store = open_for_reading(place)
        self._arrays: dict[Side, zarr.Array[Any]] = {}
        attributes = read_attributes(self._store, "")
        check_version(attributes, SPLIT_FORMAT, place)
        self._sizes = checked(
            _Sizes, attributes, place, StoreError, expected="attributes of a split", remedy=_REMEDY
        )

    @property
    def n_train(self) -> int:
        """Number of training ratings."""
        return self._sizes.n_train

    @property
    def n_validation(self) -> int:
        """Number of validation ratings."""
        return self._sizes.n_validation

    @property
    def n_test(self) -> int:
        """Number of test ratings."""
        return self._sizes.n_test

    @property
    def n_fold_in(self) -> int:
        """Number of ratings of held-out users from which they are folded in."""
        return self._sizes.n_fold_in

    @property
    def mean(self) -> float:
        """Mean of the training ratings, correctly rounded."""
        return self._sizes.mean

    @cached_property
    def standard(self) -> Standard:
        """Mean and standard deviation of the training ratings."""
        return standard_of(self.training_values(), self.ratings.scale, self.mean, self.n_train)

    def training_values(self) -> Iterator[UInt8 | Float32]:
        """Read the training ratings, or their codes in the scale, some at a time."""
        for start, stop, trains in self.pieces():
            yield self.ratings.read_column("user", "values", start, stop)[trains]

    def pieces(self, side: Side = "user", at_once: int = _RATINGS_AT_ONCE) -> Iterator[Piece]:
        """Cut all ratings, in a side's order, into pieces that memory has room for, of so many `at_once`."""
        n = self.ratings.n_ratings
        for start in range(0, n, at_once):
            stop = min(start + at_once, n)
            yield Piece(start, stop, self.parts(side, start, stop) == TRAIN)

    @property
    def has_one_rating(self) -> bool:
        """Whether all training ratings are the same."""
        return self.standard.is_constant

    def train_counts(self, side: Side) -> Int64:
        """Return each row's number of training ratings, int64, shape (n_rows,)."""
        indptr = self.ratings.indptr(side)
        counts = np.empty(len(indptr) - 1, dtype=np.int64)
        start = 0
        while start < len(counts):  # some rows at a time: the parts of all ratings may not fit in memory
            fitting = int(np.searchsorted(indptr, indptr[start] + _RATINGS_AT_ONCE, side="right")) - 1
            stop = max(fitting, start + 1)
            first, last = int(indptr[start]), int(indptr[stop])
            starts = indptr[start : stop + 1] - first
            counts[start:stop] = count_part(starts, self.parts(side, first, last), TRAIN)
            start = stop
        return counts

    def parts(self, side: Side, start_nnz: int, stop_nnz: int) -> UInt8:
        """Return the parts of ratings [start_nnz, stop_nnz) of a side's order, one a rating."""
        name = group_of(side)
        if side not in self._arrays:
            self._arrays[side] = open_array(self._store, name, self.ratings.n_ratings, ("uint8",))
        parts = read_array(self._arrays[side], start_nnz, stop_nnz)
        check_below(parts, FOLD_IN + 1, name=name, where=self._place)
        return parts


def ensure_split(store: RatingsStore, spec: SplitSpec) -> Split:
    """Return a store's split under a protocol; make it if it is not there.

    It is kept with the store, or, where that cannot or shall not be written, in a cache of this user. Several
    processes may make it at once: the first to finish publishes, all get the same.

    Raises DataError if the ratings cannot be split that way; StoreError if the store is damaged; OutputError
    if neither the store nor the cache can be written.
    """
    key = spec.key()
    try:
        return Split(store, key)
    except StoreError:
        if any(holds(place) for place in _split_places(store, key)):
            raise
    parts = _compute_user_parts(store, spec)
    try:
        by_place = np.zeros(store.n_input, dtype=np.uint8)
    except MemoryError:
        raise StoreError(
            f"its input had {store.n_input:,} rows, more than memory has room for", where=store.path
        ) from None
    by_place[store.read_column("user", "positions", 0, store.n_ratings)] = parts
    values = store.read_column("user", "values", 0, store.n_ratings)
    item_positions = store.read_column("item", "positions", 0, store.n_ratings)
    by_side: dict[Side, UInt8] = {"user": parts, "item": by_place[item_positions]}
    counts = np.bincount(parts, minlength=4)
    attributes = {
        "format": SPLIT_FORMAT,
        "format_version": _VERSION,
        "protocol": spec.protocol(),
        "n_train": int(counts[TRAIN]),
        "n_validation": int(counts[VALIDATION]),
        "n_test": int(counts[TEST]),
        "mean": _exact_mean(values[parts == TRAIN], store.scale),
    }
    if counts[FOLD_IN]:
        attributes["n_fold_in"] = int(counts[FOLD_IN])
    _write_parts(store, key, by_side, attributes)
    return Split(store, key)


def load_block(store_path: str, side: Side, start: int, stop: int, split_key: str, part: int) -> RatingsBlock:
    """Read the ratings of one part in rows [start, stop) of one side; a pure task for workers.

    Parameters
    ----------
    store_path, side
        Folder or address of the store; whose rows.
    start, stop
        Range of rows.
    split_key, part
        Key of a split made by `ensure_split`; TRAIN, VALIDATION, TEST or FOLD_IN.

    Returns
    -------
    RatingsBlock
        The part's ratings.

    Raises
    ------
    StoreError
        If the store or the split is missing or damaged.
    """
    split = opened_split(store_path, split_key)
    store = split.ratings
    starts = store.read_starts(side, start, stop)
    first, last = int(starts[0]), int(starts[-1])
    parts = split.parts(side, first, last)
    value_type = np.uint8 if len(store.scale) else np.float32
    pieces = _pieces(store, side, first, last)
    indptr, indices, values = compact_part(starts - first, parts, part, pieces, value_type)
    return RatingsBlock(start, indptr, indices, values, store.scale)


def opened_split(store_path: str, split_key: str) -> Split:
    """Return a split with its store, opened once for all blocks that are read of the same files.

    Raises StoreError if the store or the split is missing or damaged.
    """
    if is_url(store_path):
        return Split(open_store(store_path), split_key)
    return _opened(store_path, split_key, str(cache_folder()), _identity(store_path))


@lru_cache(maxsize=8)
def _opened(store_path: str, split_key: str, *_: object) -> Split:
    return Split(open_store(store_path), split_key)


def _identity(folder: str) -> tuple[int, int, int] | None:
    """Return what tells the store in a folder from one that was put in its place."""
    try:
        found = (Path(folder) / "zarr.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _pieces(
    store: RatingsStore, side: Side, first: int, last: int
) -> Iterator[tuple[Int32, UInt8 | Float32]]:
    """Read indices and values chunk by chunk, so that what is not kept never lies in memory at once."""
    begin = first
    while begin < last:
        end = min(last, (begin // CHUNK_RATINGS + 1) * CHUNK_RATINGS)
        yield tuple(store.read_column(side, name, begin, end) for name in ("indices", "values"))  # type: ignore[misc]
        begin = end


def _compute_user_parts(store: RatingsStore, spec: SplitSpec) -> UInt8:
    n_ratings = store.n_ratings
    return compute_parts(
        spec,
        positions=store.read_column("user", "positions", 0, n_ratings),
        timestamps=store.read_column("user", "timestamps", 0, n_ratings) if store.has_timestamps else None,
        indptr=store.indptr("user"),
        n_input=store.n_input,
        predefined_test=store.predefined_test() if spec.method == "predefined" else None,
    )


def _exact_mean(values: UInt8 | Float32, scale: Float32) -> float:
    """Return the mean of ratings, their sum being exact."""
    if len(scale):
        counts = np.bincount(values, minlength=_CODES)
        total = math.fsum(int(n) * float(rating) for n, rating in zip(counts, scale, strict=False))
        return total / len(values)
    # mantissas of 24 bits add up exactly in float64 for each exponent apart
    mantissas, exponents = np.frexp(values)
    lowest = int(exponents.min())
    sums = np.bincount(exponents - lowest, weights=mantissas.astype(np.float64))
    return math.fsum(math.ldexp(part, lowest + k) for k, part in enumerate(sums)) / len(values)


def _split_places(store: RatingsStore, key: str) -> list[str]:
    """Return where a split may be: with the store, or in the user's cache."""
    return [f"{store.path}/splits/{key}", str(cache_folder() / "splits" / store.content_hash / key)]


def _find_split(store: RatingsStore, key: str) -> str:
    for place in _split_places(store, key):
        if holds(place):
            return place
    raise StoreError(
        f"there is no split {key}",
        where=store.path,
        expected="a split made before its blocks are read",
        remedy="Make it with ensure_split, on a store that can be written if several machines read it",
    )


def _write_parts(store: RatingsStore, key: str, parts: dict[Side, UInt8], attributes: dict[str, Any]) -> None:
    places = _split_places(store, key)
    places = places if store.keeps_splits else places[1:]
    for place in places:
        try:
            if is_url(place):
                with tempfile.TemporaryDirectory(prefix="daskals-") as temporary:
                    _write(Path(temporary), parts, attributes)
                    put_folder(Path(temporary), place)
            else:
                with staged_directory(Path(place), existing="keep") as staged:
                    _write(staged, parts, attributes)
        except OutputError:
            if place == places[-1]:
                raise
        else:
            return


def _write(folder: Path, parts: dict[Side, UInt8], attributes: dict[str, Any]) -> None:
    store = open_for_writing(folder)
    try:
        for side in SIDES:
            write_array(store, group_of(side), parts[side])
        write_group(store, "", attributes)
    finally:
        store.stop()
