"""Reader of a ratings store: cheap to open, any range of rows of either side, whole or an error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray

from daskals.errors import StoreError, without_secrets
from daskals.store.arrays import (
    open_array,
    open_for_reading,
    read_array,
    read_attributes,
    read_whole,
)
from daskals.store.genres import Genres
from daskals.store.ids import read_ids
from daskals.store.layout import (
    CATALOGUE,
    CATALOGUE_FILE,
    TABLES_IN_ARRAYS,
    TAGS,
    TAGS_FILE,
    Manifest,
    check_sealed,
    file_of,
    group_of,
)
from daskals.store.named_places import VARIABLE, find_named, remember_named
from daskals.store.ranges import ANY, WEIGHTS, check_below, check_finite, check_starts
from daskals.store.remote import HEAD, holds, is_url, place_of
from daskals.store.tables import check_catalogue, read_table
from daskals.types import Float32, Int64, RatingsBlock, Side, UInt8

_EXTRA_COLUMNS = ("timestamps", "positions")

_KINDS = {
    "indptr": "int64",
    "indices": "int32",
    "positions": "int64",
    "timestamps": "int64",
    "weights": "float32",
    "predefined_test": "uint8",
}
"""Kinds of a side's columns, but for the values, which are codes or ratings themselves."""


class StoredRows(NamedTuple):
    """All ratings of a range of rows, with the further columns that were asked for.

    Attributes
    ----------
    block
        The ratings.
    timestamps, positions
        int64, shape (ratings,), or None where not asked for.
    """

    block: RatingsBlock
    timestamps: Int64 | None
    positions: Int64 | None


class RatingsStore:
    """A ratings store, opened for reading; it never changes.

    Opening reads the attributes only. Everything else is read when asked for, and raises StoreError
    naming the chunk where one is missing, truncated or damaged.

    Parameters
    ----------
    path
        Folder of the store, or an address such as `s3://BUCKET/NAME`.
    keeps_splits
        Whether splits that are made of it may be written beside it, rather than to the user's cache.

    Raises
    ------
    StoreError
        If there is no store, one of a newer format, or its address cannot be reached.
    """

    def __init__(self, path: str | Path, *, keeps_splits: bool = True) -> None:
        self.path = place_of(path)
        self.keeps_splits = keeps_splits
        _check_place(self.path)
        self._store = open_for_reading(self.path)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        attributes = read_attributes(self._store, "")
        self._manifest = Manifest.from_attributes(attributes, self.path)
        self._has_table_arrays = attributes["format_version"] >= TABLES_IN_ARRAYS

    def __repr__(self) -> str:
        return (
            f"RatingsStore({without_secrets(self.path)!r}: {self.n_ratings:,} ratings, "
            f"{self.n_users:,} users, {self.n_items:,} items)"
        )

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self._manifest.n_users

    @property
    def n_items(self) -> int:
        """Number of items, rated or not."""
        return self._manifest.n_items

    @property
    def n_rated_items(self) -> int:
        """Number of items with at least one rating."""
        return self._manifest.n_rated_items

    @property
    def n_ratings(self) -> int:
        """Number of ratings."""
        return self._manifest.n_ratings

    @property
    def n_input(self) -> int:
        """Rows of the input, those dropped included; positions are below it."""
        return self._manifest.n_input

    @property
    def duplicates(self) -> int:
        """Rows of the input that repeated a (user, item) pair."""
        return self._manifest.duplicates

    @property
    def dropped(self) -> dict[str, int]:
        """Rows dropped as invalid, by reason."""
        return dict(self._manifest.dropped)

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The source files, with their hashes."""
        return list(self._manifest.sources)

    @property
    def lineage(self) -> dict[str, Any]:
        """How this version came from the one before; empty for a first one."""
        return dict(self._manifest.lineage)

    @property
    def manifest(self) -> Manifest:
        """All that the store says about itself."""
        return self._manifest

    @property
    def has_timestamps(self) -> bool:
        """Whether the ratings have timestamps."""
        return self._manifest.has_timestamps

    @property
    def has_weights(self) -> bool:
        """Whether ratings weigh, so that not all of them count once."""
        return self._manifest.has_weights

    @property
    def has_predefined_test(self) -> bool:
        """Whether the source brought its own test ratings."""
        return self._manifest.has_predefined_test

    @property
    def content_hash(self) -> str:
        """SHA-256 of the logical content, independent of path, time and compression."""
        return self._manifest.content_hash

    @cached_property
    def scale(self) -> Float32:
        """The distinct ratings ascending, shape (codes,), empty where values are float32 themselves."""
        return self._manifest.scale_array

    def n_rows(self, side: Side) -> int:
        """Return the number of rows of a side."""
        return self.n_users if side == "user" else self.n_items

    def indptr(self, side: Side) -> Int64:
        """Return where the rows of a side begin among all its ratings, int64, shape (n_rows + 1,)."""
        return self.read_starts(side, 0, self.n_rows(side))

    def read(
        self, side: Side, start: int, stop: int, columns: Sequence[str] = ("indices", "values")
    ) -> StoredRows:
        """Read all ratings of rows [start, stop) of one side.

        Parameters
        ----------
        side
            Whose rows.
        start, stop
            Range of rows, 0 ≤ start ≤ stop ≤ n_rows(side).
        columns
            May name "timestamps" and "positions" beside "indices" and "values", which always come.

        Returns
        -------
        StoredRows
            The block, and the further columns in the same order.

        Raises
        ------
        StoreError
            If a chunk is not whole, or the store has no timestamps and they are asked for.
        ValueError
            If the range or a column is none.
        """
        unknown = set(columns) - {"indices", "values", *_EXTRA_COLUMNS}
        if unknown or not 0 <= start <= stop <= self.n_rows(side):
            raise ValueError(f"no such columns {unknown} or rows {start} to {stop} of {self.n_rows(side)}")
        starts = self.read_starts(side, start, stop)
        first, last = int(starts[0]), int(starts[-1])
        block = RatingsBlock(
            start=start,
            indptr=starts - first,
            indices=self.read_column(side, "indices", first, last),
            values=self.read_column(side, "values", first, last),
            scale=self.scale,
        )
        timestamps, positions = (
            self.read_column(side, name, first, last) if name in columns else None for name in _EXTRA_COLUMNS
        )
        return StoredRows(block, timestamps, positions)

    def read_starts(self, side: Side, start: int, stop: int) -> Int64:
        """Return where rows start to stop begin in their side, and where the last ends, (rows + 1,)."""
        n_rows, name = self.n_rows(side), f"{group_of(side)}/indptr"
        starts = read_array(self._array(name, n_rows + 1, _KINDS["indptr"]), start, stop + 1)
        check_starts(
            starts,
            first=None if start else 0,
            last=self.n_ratings,
            is_end=stop == n_rows,
            name=name,
            where=self.path,
        )
        return starts

    def indptr_at(self, side: Side, row: int) -> int:
        """Return where one row begins among all ratings of its side."""
        return int(self.read_starts(side, row, row)[0])

    def read_column(self, side: Side, name: str, first: int, last: int) -> NDArray[Any]:
        """Return a side's column, in its dtype, one a rating of [first, last); StoreError if none is."""
        if name == "timestamps" and not self.has_timestamps:
            raise StoreError(
                "the ratings have no timestamps",
                where=self.path,
                expected="a store made from a source with timestamps",
            )
        path = f"{group_of(side)}/{name}"
        kind = _KINDS.get(name, "uint8" if len(self.scale) else "float32")
        values = read_array(self._array(path, self.n_ratings, kind), first, last)
        if name in ("values", "weights") and kind == "float32":
            check_finite(values, name=path, where=self.path, bounds=WEIGHTS if name == "weights" else ANY)
        elif name != "timestamps":
            check_below(values, self._stop_of(side, name), name=path, where=self.path)
        return values

    def _stop_of(self, side: Side, name: str) -> int:
        """Return what every number of a column is below."""
        if name == "indices":
            return self.n_items if side == "user" else self.n_users
        return {"positions": self.n_input, "values": len(self.scale), "predefined_test": 2}[name]

    def predefined_test(self) -> UInt8 | None:
        """Return 1 for each rating that the source's own split tests, in user order; None without one."""
        if not self.has_predefined_test:
            return None
        return self.read_column("user", "predefined_test", 0, self.n_ratings)

    @cached_property
    def user_ids(self) -> pa.Array:
        """Original ids of the users, int64 or string, by row."""
        return self._read_ids("user")

    @cached_property
    def item_ids(self) -> pa.Array:
        """Original ids of the items, int64 or string, by row."""
        return self._read_ids("item")

    def genres(self) -> Genres:
        """Return genres of the items as compressed rows, and their names; raise StoreError where damaged."""
        attributes = read_attributes(self._store, "genres")
        check_sealed(attributes, f"{self.path}/genres")
        names = attributes.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise StoreError(
                "the names of its genres are damaged", where=self.path, expected="a list of texts"
            )
        indptr = read_whole(self._store, "genres/indptr", self.n_items + 1, ("int64",))
        last = int(indptr[-1])
        check_starts(indptr, first=0, last=last, is_end=True, name="genres/indptr", where=self.path)
        indices = np.empty(0, np.int32)
        if last:
            indices = read_whole(self._store, "genres/indices", last, ("int32",))
        check_below(indices, len(names), name="genres/indices", where=self.path)
        return Genres(indptr, indices, names)

    def catalogue(self) -> pa.Table | None:
        """Return title, year, genres and links of the items, by row, or None where there are none."""
        if not self._manifest.has_catalogue:
            return None
        return check_catalogue(self._read_table(CATALOGUE, CATALOGUE_FILE), self.n_items, self.path)

    def tags(self) -> pa.Table | None:
        """Return the tags of the source, or None where it has none."""
        return self._read_table(TAGS, TAGS_FILE) if self._manifest.has_tags else None

    def _array(self, name: str, length: int, kind: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = open_array(self._store, name, length, (kind,))
        return self._arrays[name]

    def _read_ids(self, side: Side) -> pa.Array:
        return read_ids(self._store, group_of(side), self.n_rows(side))

    def _read_table(self, array: str, before: str) -> pa.Table:
        # its one chunk, not compressed, is the Parquet file
        name = file_of(array) if self._has_table_arrays else before
        return read_table(self.path, name, self._manifest.tables.get(name))


def open_store(path: str | Path) -> RatingsStore:
    """Open a ratings store that somebody names; see `RatingsStore`."""
    remember_named(place_of(path))
    return RatingsStore(path)


def open_recorded(place: str) -> RatingsStore:
    """Open a store that a file names and not the user: nothing is written beside it.

    Raises StoreError for an address that nobody named in this process nor in `DASKALS_STORES`: whoever wrote
    the file would have us ask it. A folder is only read.
    """
    if not is_url(place):
        return RatingsStore(place, keeps_splits=False)
    named = find_named(place)
    if named is None:
        raise StoreError(
            "nobody named this address here",
            where=place,
            expected="a folder, or an address that you named",
            remedy=f"If you trust it, name it in the variable {VARIABLE}",
        )
    return RatingsStore(named)


def _check_place(place: str) -> None:
    expected = "the folder of a ratings store"
    remedy = "Make one with daskals ingest SOURCE STORE"
    if is_url(place):
        if holds(place):
            return
        raise StoreError("there is no store", where=place, expected="a ratings store", remedy=remedy)
    path = Path(place)
    if not path.exists():
        raise StoreError("does not exist", where=str(path), expected=expected, remedy=remedy)
    if not path.is_dir():
        raise StoreError("is a file", where=str(path), expected=expected, remedy=remedy)
    if not (path / HEAD).is_file():
        names = sorted(entry.name for entry in path.iterdir())
        found = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise StoreError(
            f"is not a store: it holds {found or 'nothing'}",
            where=str(path),
            expected=expected,
            remedy=remedy,
        )
