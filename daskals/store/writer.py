"""Writer of a ratings store: both orientations sorted side by side, made visible by one rename."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from zarr.abc.store import Store

from daskals.errors import DataError, OutputError
from daskals.kernels.data.csr import encode_values, first_repeat, gather, sorted_order
from daskals.ratings.apart import note_apart
from daskals.ratings.notes import FRAME
from daskals.ratings.table import RatingsTable
from daskals.store.arrays import open_for_writing, write_array, write_bytes, write_group
from daskals.store.atomic_folder import staged_directory
from daskals.store.content import hash_array, hash_column, hash_parts, hash_table
from daskals.store.genres import encode_genres
from daskals.store.ids import write_ids
from daskals.store.layout import CATALOGUE, FORMAT, TAGS, Manifest, file_of, group_of
from daskals.store.reader import RatingsStore, open_store
from daskals.store.tables import table_digest
from daskals.store.versions import is_store
from daskals.types import SIDES, Float32, Int32, Side, UInt8


class _Columns(NamedTuple):
    """A table's ratings as they are stored, in file order."""

    users: Int32
    items: Int32
    values: UInt8 | Float32
    scale: Float32
    extra: dict[str, NDArray[Any]]


def write_store(
    table: RatingsTable,
    path: str | Path,
    *,
    overwrite: Literal["refuse", "replace"] = "refuse",
    lineage: Mapping[str, Any] | None = None,
) -> RatingsStore:
    """Write validated ratings as a store.

    The store is written under a temporary name beside `path`, flushed to the disk and made visible by one
    rename: a reader sees the whole store or none (with "replace", the old or the new one), and a
    failure or an interruption leaves no trace.

    Parameters
    ----------
    table
        The ratings, each (user, item) pair at most once.
    path
        Folder of the store.
    overwrite
        "refuse" an existing folder that holds something, or "replace" the store it holds.
    lineage
        What the store is to remember of how it came about.

    Returns
    -------
    RatingsStore
        The store, opened.

    Raises
    ------
    OutputError
        If `path` cannot be written, or holds something that may not be replaced.
    DataError
        If the table is not valid: no ratings, a row out of range, a repeated pair or position, a rating
        that is not finite.

    Notes
    -----
    Two threads sort and write one orientation each. Beside the table itself this takes about 40 bytes
    a rating of memory.
    """
    target = Path(path).resolve()
    _check_target(target, overwrite)
    columns = _prepare(table)
    with staged_directory(target, existing=overwrite) as folder, writing(folder) as (store, pool):
        sides = [pool.submit(_write_side, store, side, columns, table) for side in SIDES]
        ids = (table.user_ids, table.item_ids)
        catalogue = pool.submit(write_catalogue, store, ids, table.catalogue, table.tags)
        digests = catalogue.result()
        for side, written in zip(SIDES, sides, strict=True):
            digests |= {f"{group_of(side)}/{name}": digest for name, digest in written.result().items()}
        manifest = _describe(table, columns, digests, dict(lineage or {}))
        # the group's own attributes come last: without them nothing in the folder counts as a store
        pool.submit(write_manifest, store, folder, manifest).result()
    return open_store(target)


@contextmanager
def writing(folder: Path) -> Iterator[tuple[Store, ThreadPoolExecutor]]:
    """Give a byte store and threads to write it with; at the end, all of it stands still.

    Nothing is written from the calling thread, which alone receives Ctrl-C: an interruption then never
    leaves a write behind that nobody waits for.
    """
    store = open_for_writing(folder)
    pool = ThreadPoolExecutor(max_workers=len(SIDES), thread_name_prefix="write-store")
    try:
        yield store, pool
    finally:
        store.stop()
        pool.shutdown(cancel_futures=True)


def _check_target(target: Path, overwrite: Literal["refuse", "replace"]) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() and overwrite == "refuse":
        raise OutputError(
            "already exists",
            where=str(target),
            expected="a name that is free",
            remedy="Choose another name, or replace it with --overwrite=replace",
        )
    if target.exists() and not (_is_store(target) or is_store(target)):
        raise OutputError(
            "is not a ratings store",
            where=str(target),
            expected="a store to replace, or a name that is free",
            remedy="Choose another name",
        )


def _is_store(target: Path) -> bool:
    try:
        return f'"{FORMAT}"' in (target / "zarr.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _prepare(table: RatingsTable) -> _Columns:
    """Check what the kernels rely on, and encode the ratings."""
    n_ratings = len(table.users)
    if n_ratings == 0:
        raise DataError("no ratings are left to store", expected="at least one rating")
    for name, rows, ids in (("user", table.users, table.user_ids), ("item", table.items, table.item_ids)):
        if int(rows.min()) < 0 or int(rows.max()) >= len(ids):
            raise DataError(
                f"{name} rows run from {rows.min()} to {rows.max()}",
                expected=f"rows within 0 to {len(ids) - 1}",
            )
    _check_positions(table)
    try:
        values, scale = encode_values(np.ascontiguousarray(table.values, dtype=np.float32))
    except ValueError:
        place = int(np.flatnonzero(~np.isfinite(table.values))[0])
        raise DataError(
            f"rating {table.values[place]}",
            where=f"input row {table.positions[place]}",
            expected="a finite number",
        ) from None
    note_apart(values, scale, where="files" if table.sources else FRAME)
    extra: dict[str, NDArray[Any]] = {"positions": table.positions}
    if table.timestamps is not None:
        extra["timestamps"] = table.timestamps
    if table.weights is not None:
        extra["weights"] = table.weights
    if table.predefined_test is not None:
        extra["predefined_test"] = table.predefined_test.view(np.uint8)
    return _Columns(table.users, table.items, values, scale, extra)


def _check_positions(table: RatingsTable) -> None:
    positions = table.positions
    in_range = int(positions.min()) >= 0 and int(positions.max()) < table.n_input
    if in_range and bool(np.all(positions[1:] > positions[:-1])):
        return
    if not in_range or len(np.unique(positions)) < len(positions):
        raise DataError(
            f"positions from {positions.min()} to {positions.max()}, some perhaps twice",
            expected=f"distinct positions within 0 to {table.n_input - 1}",
        )


def _write_side(store: Store, side: Side, columns: _Columns, table: RatingsTable) -> dict[str, str]:
    """Sort and write one orientation; return the content hashes of the user side's columns."""
    rows, others = (columns.users, columns.items) if side == "user" else (columns.items, columns.users)
    lengths = (len(table.user_ids), len(table.item_ids))
    n_rows, n_others = lengths if side == "user" else lengths[::-1]
    group = group_of(side)
    scale = [float(rating) for rating in columns.scale]
    write_group(store, group, {"shape": [n_rows, n_others], "scale": scale})
    indptr, order = sorted_order(rows, others, n_rows, n_others)
    digests = {}
    for name, column in {"indices": others, "values": columns.values, **columns.extra}.items():
        ordered = gather(column, order)
        if name == "indices":
            _check_pairs(indptr, ordered, side, table)
        write_array(store, f"{group}/{name}", ordered)
        if side == "user":  # the items' columns are the same content in another order
            digests[name] = hash_array(ordered)
    write_array(store, f"{group}/indptr", indptr)
    if side == "user":
        digests["indptr"] = hash_array(indptr)
    return digests


def _check_pairs(indptr: NDArray[np.int64], indices: Int32, side: Side, table: RatingsTable) -> None:
    place = first_repeat(indptr, indices)
    if place < 0:
        return
    pair = (int(np.searchsorted(indptr, place, side="right")) - 1, int(indices[place]))
    user, item = pair if side == "user" else pair[::-1]
    raise DataError(
        f"user {table.user_ids[user]} rated item {table.item_ids[item]} twice",
        expected="each pair once",
        remedy="Choose with --duplicates which of them counts",
    )


def write_catalogue(
    store: Store,
    ids: tuple[pa.Array, pa.Array],
    catalogue: pa.Table | None,
    tags: pa.Table | None,
) -> dict[str, str]:
    """Write ids of users and items, genres, catalogue and tags; return their content hashes.

    Parameters
    ----------
    store
        Where they are written.
    ids
        Original ids of users and of items.
    catalogue, tags
        What the ratings came with.
    """
    write_group(store, "splits", {})
    write_group(store, "tables", {})
    digests = {"catalogue": hash_table(catalogue), "tags": hash_table(tags)}
    named = {group_of(side): own for side, own in zip(SIDES, ids, strict=True)}
    write_ids(store, named)
    digests |= {f"ids/{name}": hash_column(own) for name, own in named.items()}
    genres = encode_genres(catalogue, len(ids[1]))
    write_group(store, "genres", {"names": genres.names})
    write_array(store, "genres/indptr", genres.indptr)
    if len(genres.indices):
        write_array(store, "genres/indices", genres.indices)
    for name, content in ((CATALOGUE, catalogue), (TAGS, tags)):
        if content is not None:
            file = pa.BufferOutputStream()
            pq.write_table(content, file, compression="zstd", write_page_checksum=True)
            write_bytes(store, name, memoryview(file.getvalue()))
    return digests


def write_manifest(store: Store, folder: Path, manifest: Manifest) -> None:
    """Write a store's own attributes, with the checksums of the tables that its folder holds by now."""
    found = [name for name in map(file_of, (CATALOGUE, TAGS)) if (folder / name).is_file()]
    tables = {name: table_digest(folder / name) for name in found}
    write_group(store, "", replace(manifest, tables=tables).to_attributes())


def _describe(
    table: RatingsTable, columns: _Columns, digests: dict[str, str], lineage: dict[str, Any]
) -> Manifest:
    scale = [float(value) for value in columns.scale]
    return Manifest(
        n_users=len(table.user_ids),
        n_items=len(table.item_ids),
        n_rated_items=int(np.count_nonzero(np.bincount(columns.items))),
        n_ratings=len(columns.users),
        n_input=table.n_input,
        duplicates=table.duplicates,
        dropped=dict(table.dropped),
        sources=list(table.sources),
        scale=scale,
        has_timestamps=table.timestamps is not None,
        has_predefined_test=table.predefined_test is not None,
        has_catalogue=table.catalogue is not None,
        has_tags=table.tags is not None,
        has_weights=table.weights is not None,
        content_hash=hash_parts({**digests, "scale": scale, "n_input": table.n_input}),
        lineage=lineage,
    )
