"""From raw columns to the ratings table: judge faults, settle duplicates, number the rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.catalogue import Catalogue, align_catalogue
from daskals.ratings.duplicates import Duplicates, Repeated, find_repeated, mean_values
from daskals.ratings.ids import NumberedIds, as_integers_if_all
from daskals.ratings.raw import Fault, Invalid, RawRatings
from daskals.ratings.table import RatingsTable
from daskals.types import Int64


def assemble(
    raw: RawRatings,
    *,
    duplicates: Duplicates,
    invalid: Invalid,
    catalogue: Catalogue | None = None,
) -> RatingsTable:
    """Validate raw ratings and number their users and items.

    Parameters
    ----------
    raw
        What a reader made of the input.
    duplicates
        Which rating of a duplicated pair holds.
    invalid
        Whether a row that cannot be used ends the reading or is dropped and counted.
    catalogue
        Items the input lists.

    Raises
    ------
    DataError
        For an unusable row or a duplicated pair that is not to be settled, or where fewer than two
        users or items remain.
    """
    if raw.n_input == 0:
        raise DataError(
            "no ratings",
            where=raw.origin.name,
            expected="at least one row of user, item and rating",
            remedy="Check that the file is complete",
        )
    positions = raw.positions()
    keep, dropped = _judge(raw, positions, invalid)
    users, items = raw.users, raw.items
    values, timestamps = raw.values, raw.timestamps
    if keep is not None:
        users, items = NumberedIds(users.codes[keep], users.ids), NumberedIds(items.codes[keep], items.ids)
        values, positions = values[keep], positions[keep]
        timestamps = None if timestamps is None else timestamps[keep]
    repeated = find_repeated(users, items, timestamps)
    if repeated.surplus:
        if duplicates == "error":
            raise _duplicate_error(raw, repeated, positions, users, items)
        if duplicates == "mean":
            values = values.copy()
            values[repeated.last] = mean_values(repeated, values)
        chosen = repeated.first if duplicates == "first" else repeated.last
        unique = np.ones(len(values), dtype=np.bool_)
        unique[repeated.rows] = False
        unique[chosen] = True
        users, items = (
            NumberedIds(users.codes[unique], users.ids),
            NumberedIds(items.codes[unique], items.ids),
        )
        values, positions = values[unique], positions[unique]
        timestamps = None if timestamps is None else timestamps[unique]
    users, items = users.compact(), items.compact()
    _require_two(users, items, raw, dropped)
    aligned = align_catalogue(as_integers_if_all(items.ids), as_integers_if_all(users.ids), catalogue)
    return RatingsTable(
        users=users.codes,
        items=items.codes,
        values=values,
        timestamps=timestamps,
        positions=positions,
        user_ids=as_integers_if_all(users.ids),
        item_ids=aligned.item_ids,
        catalogue=aligned.catalogue,
        tags=aligned.tags,
        n_input=raw.n_input,
        duplicates=repeated.surplus,
        dropped=dropped,
    )


def _judge(
    raw: RawRatings, positions: Int64, invalid: Invalid
) -> tuple[NDArray[np.bool_] | None, dict[str, int]]:
    """Raise at the first unusable row, or return which rows to keep (None: all) and the counts."""
    malformed = () if raw.malformed is None else (raw.malformed,)
    if not raw.faults and not malformed:
        return None, {}
    if invalid == "error":
        raise _row_error(raw, positions)
    dropped = {fault.reason: len(fault.rows) for fault in malformed}
    keep = np.ones(len(raw.values), dtype=np.bool_)
    for fault in raw.faults:
        dropped[fault.reason] = dropped.get(fault.reason, 0) + int(np.count_nonzero(keep[fault.rows]))
        keep[fault.rows] = False
    return keep, {reason: count for reason, count in dropped.items() if count}


def _row_error(raw: RawRatings, positions: Int64) -> DataError:
    located: list[tuple[int, Fault]] = [(int(positions[fault.rows[0]]), fault) for fault in raw.faults]
    if raw.malformed is not None:
        located.append((int(raw.malformed.rows[0]), raw.malformed))
    position, fault = min(located, key=lambda pair: pair[0])
    n_bad = len(np.unique(np.concatenate([positions[f.rows] for f in raw.faults] or [np.empty(0, np.int64)])))
    n_bad += 0 if raw.malformed is None else len(raw.malformed.rows)
    others = f" (the first of {n_bad:,} bad rows)" if n_bad > 1 else ""
    where = raw.origin.place(position)
    return DataError(
        f"{fault.reason}: found {fault.found}{others}",
        where=f"{where}, column '{fault.column}'" if fault.column else where,
        expected=fault.expected,
        remedy="Correct the row, or leave out all such rows with --invalid drop",
    )


def _duplicate_error(
    raw: RawRatings, repeated: Repeated, positions: Int64, users: NumberedIds, items: NumberedIds
) -> DataError:
    ends = np.append(repeated.starts[1:], len(repeated.rows))
    rows = np.sort(repeated.rows[: ends[0]])
    user = users.ids[int(users.codes[rows[0]])].as_py()
    item = items.ids[int(items.codes[rows[0]])].as_py()
    places = " and ".join(raw.origin.place(int(positions[row])) for row in rows[:2])
    return DataError(
        f"user {user} rated item {item} {len(rows)} times (and {repeated.surplus:,} surplus rows in all)",
        where=places,
        expected="each user and item at most once",
        remedy="Remove the surplus rows, or settle them with --duplicates last, first or mean",
    )


def _require_two(users: NumberedIds, items: NumberedIds, raw: RawRatings, dropped: dict[str, int]) -> None:
    for numbered, side in ((users, "user"), (items, "item")):
        if len(numbered.ids) < 2:
            n_ids = len(numbered.ids)
            lost = f" ({sum(dropped.values()):,} invalid rows were dropped)" if dropped else ""
            raise DataError(
                f"ratings of {n_ids} {side}{'' if n_ids == 1 else 's'}{lost}",
                where=raw.origin.name,
                expected=f"at least two {side}s",
                remedy="Check that the right columns were named as user, item and rating",
            )
