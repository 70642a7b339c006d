"""Appended ratings: a later version of a store from the one before and some more.

The cost is that of the coming ratings and one pass over the stored ones, whose rows keep their numbers.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.duplicates import Duplicates
from daskals.ratings.joining import JoinedIds, join_catalogues, join_ids, join_tags
from daskals.ratings.table import RatingsTable
from daskals.store.merge import Encoding, Merge, Places, common_encoding, find_places, plan_merge
from daskals.store.next_version import Content, write_version
from daskals.store.reader import RatingsStore
from daskals.store.versions import next_number, open_latest
from daskals.types import SIDES, Float32, Int64, Side


class _Coming(NamedTuple):
    """The coming ratings once those whose pair is stored already are settled, in file order.

    Attributes
    ----------
    takes
        Whether a rating counts where its pair is stored already.
    values, timestamps, positions
        As they are to be stored; timestamps are None where the store has none.
    n_known
        Ratings that the store had, the same to the second.
    """

    takes: NDArray[np.bool_]
    values: Float32
    timestamps: Int64 | None
    positions: Int64
    n_known: int


def append(
    path: str | Path,
    table: RatingsTable,
    *,
    duplicates: Duplicates = "last",
    as_of: str | None = None,
    sources: list[dict[str, Any]] | None = None,
) -> RatingsStore:
    """Add ratings to a store as a new version; the versions before stay as they are.

    Parameters
    ----------
    path, table
        The store; the ratings to add.
    duplicates
        Which rating of a pair holds that the store and the table both have: the last or first by timestamp
        (in doubt, and without timestamps, what is added counts as later), their mean at the place of the
        last, their sum there, or none (an error). A rating that the store has already, the same to the
        second, changes nothing, but of a sum, for which no file may be taken in twice.
    as_of, sources
        Up to when anything was known, for the lineage; the files, if other than the table says.

    Returns
    -------
    RatingsStore
        The new version, or the last one where there is nothing new.

    Raises
    ------
    DataError
        If the ratings cannot be of the same system as the store's, or a pair or a file is there twice and
        must not.
    StoreError
        If there is no whole store.
    OutputError
        If it cannot be written, or somebody else added to it meanwhile.
    """
    root = Path(path).resolve()
    number = next_number(root)
    base = open_latest(root)
    users = join_ids(base.user_ids, table.user_ids, "user")
    items = join_ids(base.item_ids, table.item_ids, "item")
    if duplicates == "sum":
        _refuse_twice(base, table.sources if sources is None else sources)
    content = _appended(base, table, (users, items), duplicates)
    counts = content.manifest.lineage
    if duplicates != "sum":
        table.note_replaced(counts["changed"])
    if not any(counts[name] for name in ("added", "changed", "new_users", "new_items")):
        return base
    lineage = {
        "number": number,
        "parent": base.content_hash,
        "as_of": as_of,
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        **content.manifest.lineage,
    }
    manifest = replace(
        content.manifest,
        lineage=lineage,
        sources=[*base.sources, *(table.sources if sources is None else sources)],
    )
    return write_version(root, number, replace(content, manifest=manifest))


def _refuse_twice(base: RatingsStore, sources: list[dict[str, Any]]) -> None:
    """Refuse files that the store has: what they count would be in it twice."""
    taken = {source["sha256"] for source in base.sources if "rows" in source}
    again = [source["name"] for source in sources if "rows" in source and source["sha256"] in taken]
    if again:
        raise DataError(
            f"{', '.join(again)} is in the store already, and would count twice",
            where="--duplicates=sum",
            expected="files that hold what is new",
            remedy="Leave it out",
        )


def find_new(base: RatingsStore, table: RatingsTable) -> NDArray[np.bool_]:
    """Tell which ratings of a table, one a rating, a store does not have already, the same to the second.

    Raises DataError if the ratings cannot be of the same system as the store's.
    """
    users = join_ids(base.user_ids, table.user_ids, "user")
    items = join_ids(base.item_ids, table.item_ids, "item")
    places = find_places(
        base.indptr("user"),
        base.read_column("user", "indices", 0, base.n_ratings),
        users.rows[table.users],
        items.rows[table.items],
        len(items.ids),
    )
    again, at = places.order[places.found], places.before[places.found]
    new = np.ones(table.n_ratings, dtype=np.bool_)
    new[again] = ~_is_known(base, table, again, at)
    return new


def _is_known(base: RatingsStore, table: RatingsTable, again: Int64, at: Int64) -> NDArray[np.bool_]:
    """Tell which ratings of stored pairs are the stored ones."""
    stored = base.read_column("user", "values", 0, base.n_ratings)[at]
    known = np.asarray((base.scale[stored] if len(base.scale) else stored) == table.values[again])
    if base.has_timestamps and table.timestamps is not None:
        known &= base.read_column("user", "timestamps", 0, base.n_ratings)[at] == table.timestamps[again]
    if table.weights is not None:  # else what a rating counts is as it was
        known &= _weights(base, "user")[at] == table.weights[again]
    return known


def _weights(base: RatingsStore, side: Side) -> Float32:
    """Return what stored ratings count: once each, where the store has no weights."""
    if not base.has_weights:
        return np.ones(base.n_ratings, np.float32)
    return base.read_column(side, "weights", 0, base.n_ratings)


def _coming_weights(table: RatingsTable) -> Float32:
    return np.ones(table.n_ratings, np.float32) if table.weights is None else table.weights


def _appended(
    base: RatingsStore, table: RatingsTable, ids: tuple[JoinedIds, JoinedIds], duplicates: Duplicates
) -> Content:
    users, items = ids
    rows: dict[Side, Int64] = {"user": users.rows[table.users], "item": items.rows[table.items]}
    sizes: dict[Side, int] = {"user": len(users.ids), "item": len(items.ids)}
    old = {side: base.indptr(side) for side in SIDES}
    places = {
        side: find_places(
            old[side],
            base.read_column(side, "indices", 0, base.n_ratings),
            rows[side],
            rows[_other(side)],
            sizes[_other(side)],
        )
        for side in SIDES
    }
    coming = _settle(base, table, places["user"], duplicates)
    merges = {side: plan_merge(places[side], coming.takes) for side in SIDES}
    indptr = {side: merges[side].indptr(old[side], rows[side], sizes[side]) for side in SIDES}
    encoding = _encode(base, coming, merges["user"])
    columns = _columns(base, table, coming, encoding)

    def column(side: Side, name: str) -> NDArray[Any]:
        if name == "weights":
            found: NDArray[Any] = _weights(base, side)
        else:
            found = base.read_column(side, name, 0, base.n_ratings)
        if name == "values":
            found = encoding.apply(found)
        return merges[side].column(
            found, rows[_other(side)].astype(np.int32) if name == "indices" else columns[name]
        )

    catalogue = join_catalogues(base.catalogue(), table.catalogue, items)
    tags = join_tags(base.tags(), table.tags)
    before, n_new = base.manifest, len(merges["user"].inserted)
    manifest = replace(
        before,
        n_users=sizes["user"],
        n_items=sizes["item"],
        n_rated_items=int(np.count_nonzero(np.diff(indptr["item"]))),
        n_ratings=base.n_ratings + n_new,
        n_input=base.n_input + table.n_input,
        duplicates=base.duplicates + table.duplicates + table.n_ratings - n_new,
        dropped={
            reason: before.dropped.get(reason, 0) + table.dropped.get(reason, 0)
            for reason in (before.dropped | table.dropped)
        },
        has_catalogue=catalogue is not None,
        has_tags=tags is not None,
        has_weights="weights" in columns,
        lineage={
            "added": n_new,
            "changed": len(merges["user"].replaced),
            "known": coming.n_known,
            "new_users": sizes["user"] - users.n_known,
            "new_items": sizes["item"] - items.n_known,
        },
    )
    names = ("indices", *columns)
    return Content((users.ids, items.ids), catalogue, tags, encoding.scale, indptr, column, names, manifest)


def _other(side: Side) -> Side:
    return "item" if side == "user" else "user"


def _encode(base: RatingsStore, coming: _Coming, merge: Merge) -> Encoding:
    counted = coming.values[np.concatenate([merge.replacing, merge.inserted])]
    n_codes = len(base.scale)
    left = np.zeros(n_codes, dtype=np.int64)
    if n_codes:
        stored = base.read_column("user", "values", 0, base.n_ratings)
        left = np.bincount(stored, minlength=n_codes) - np.bincount(stored[merge.replaced], minlength=n_codes)
    return common_encoding(base.scale, left, coming.values, counted)


def _columns(
    base: RatingsStore, table: RatingsTable, coming: _Coming, encoding: Encoding
) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"values": encoding.coming, "positions": coming.positions}
    if coming.timestamps is not None:
        columns["timestamps"] = coming.timestamps
    if base.has_weights or table.weights is not None:
        columns["weights"] = _coming_weights(table)
    if base.has_predefined_test:
        test = table.predefined_test
        columns["predefined_test"] = np.zeros(table.n_ratings, bool) if test is None else test
        columns["predefined_test"] = columns["predefined_test"].astype(np.uint8)
    return columns


def _settle(base: RatingsStore, table: RatingsTable, places: Places, duplicates: Duplicates) -> _Coming:
    """Decide what becomes of coming ratings whose pair is stored, by the rule and the user side's places."""
    if base.has_timestamps and table.timestamps is None:
        raise DataError(
            "the ratings have no timestamps",
            expected="a timestamp for every rating, as those of the store have",
            remedy="Name the timestamp column with --columns",
        )
    values = table.values.copy()
    timestamps = table.timestamps.copy() if base.has_timestamps and table.timestamps is not None else None
    positions = base.n_input + table.positions
    again, at = places.order[places.found], places.before[places.found]
    stored = base.read_column("user", "values", 0, base.n_ratings)[at]
    old_values = base.scale[stored] if len(base.scale) else stored
    known = _is_known(base, table, again, at) & (duplicates != "sum")
    later = np.ones(len(again), dtype=np.bool_)
    if timestamps is not None:
        old_times = base.read_column("user", "timestamps", 0, base.n_ratings)[at]
        later = timestamps[again] >= old_times
    if duplicates == "error" and not known.all():
        raise _pair_error(table, int(again[~known][0]), int(np.count_nonzero(~known)))
    counts = later if duplicates == "last" else ~later if duplicates == "first" else np.ones_like(later)
    if duplicates in {"mean", "sum"}:
        sums = old_values.astype(np.float64) + values[again]
        values[again] = (sums / 2 if duplicates == "mean" else sums).astype(np.float32)
        stays = again[~later]
        positions[stays] = base.read_column("user", "positions", 0, base.n_ratings)[at[~later]]
        if timestamps is not None:
            timestamps[stays] = old_times[~later]
    takes = np.ones(table.n_ratings, dtype=np.bool_)
    takes[again] = counts & ~known
    return _Coming(takes, values, timestamps, positions, int(np.count_nonzero(known)))


def _pair_error(table: RatingsTable, rating: int, count: int) -> DataError:
    user = table.user_ids[int(table.users[rating])].as_py()
    item = table.item_ids[int(table.items[rating])].as_py()
    return DataError(
        f"user {user} rated item {item}, which the store has otherwise ({count:,} such ratings)",
        where=f"input row {int(table.positions[rating]) + 1:,}",
        expected="each user and item at most once",
        remedy="Remove the surplus rows, or settle them with --duplicates=last (or first, mean, sum)",
    )
