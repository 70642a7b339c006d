"""Reader of a ratings store: cheap to open, any range of rows of either side, whole or an error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray

from daskals.errors import StoreError
from daskals.store.arrays import open_array, open_for_reading, read_array, read_attributes, read_whole
from daskals.store.genres import Genres
from daskals.store.ids import ids_from_numpy
from daskals.store.layout import CATALOGUE_FILE, TAGS_FILE, Manifest, group_of
from daskals.store.remote import HEAD, holds, is_url, place_of, read_file
from daskals.types import Float32, Int64, RatingsBlock, Side, UInt8

_EXTRA_COLUMNS = ("timestamps", "positions")


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

    Raises
    ------
    StoreError
        If there is no store, one of a newer format, or its address cannot be reached.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = place_of(path)
        _check_place(self.path)
        self._store = open_for_reading(self.path)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._manifest = Manifest.from_attributes(read_attributes(self._store, ""), self.path)

    def __repr__(self) -> str:
        return (
            f"RatingsStore({self.path!r}: {self.n_ratings:,} ratings, "
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
        array = self._array(f"{group_of(side)}/indptr", self.n_rows(side) + 1)
        return read_array(array, start, stop + 1)

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
        return read_array(self._array(f"{group_of(side)}/{name}", self.n_ratings), first, last)

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
        """Return the genres of the items as compressed rows, and their names."""
        indptr = read_whole(self._store, "genres/indptr", self.n_items + 1)
        indices = read_whole(self._store, "genres/indices", int(indptr[-1]))
        return Genres(indptr, indices, list(read_attributes(self._store, "genres")["names"]))

    def catalogue(self) -> pa.Table | None:
        """Return title, year, genres and links of the items, by row, or None where there are none."""
        return self._read_table(CATALOGUE_FILE) if self._manifest.has_catalogue else None

    def tags(self) -> pa.Table | None:
        """Return the tags of the source, or None where it has none."""
        return self._read_table(TAGS_FILE) if self._manifest.has_tags else None

    def _array(self, name: str, length: int) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = open_array(self._store, name, length)
        return self._arrays[name]

    def _read_ids(self, side: Side) -> pa.Array:
        return ids_from_numpy(read_whole(self._store, f"ids/{group_of(side)}", self.n_rows(side)))

    def _read_table(self, name: str) -> pa.Table:
        try:
            source = (
                pa.BufferReader(read_file(self.path, name)) if is_url(self.path) else Path(self.path) / name
            )
            return pq.read_table(source, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"{name} is missing or damaged ({error})",
                where=self.path,
                remedy="Restore it from a copy, or make the store anew from its source",
            ) from error


def open_store(path: str | Path) -> RatingsStore:
    """Open a ratings store; see `RatingsStore`."""
    return RatingsStore(path)


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
    if not (path / HEAD).exists():
        names = sorted(entry.name for entry in path.iterdir())
        found = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise StoreError(
            f"is not a store: it holds {found or 'nothing'}",
            where=str(path),
            expected=expected,
            remedy=remedy,
        )
