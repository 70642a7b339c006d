"""Assembly of the ratings table from raw columns: settle faults and duplicates, number the rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskals.errors import DataError
from daskals.ratings.catalogue import Catalogue, align_catalogue
from daskals.ratings.duplicates import Duplicates, Repeated, find_repeated, mean_values, summed_values
from daskals.ratings.ids import NumberedIds, as_integers_if_all, lookup
from daskals.ratings.notes import take_note
from daskals.ratings.raw import Fault, Invalid, RawRatings
from daskals.ratings.reading import Reading
from daskals.ratings.table import RatingsTable
from daskals.types import Float32, Int64

LEFT_OUT = "left out"
"""What a reason for dropping rows ends with that was asked for."""

NOTHING = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None", "none", "(null)", "\\N", "<NA>", "undefined")
"""What programs write where there is no id; somebody may be called so."""

MANY = 0.01
"""Share of the rows from which on one of these is worth a word."""


class _Rows(NamedTuple):
    """Ratings column by column, in file order."""

    users: NumberedIds
    items: NumberedIds
    values: Float32
    timestamps: Int64 | None
    positions: Int64
    weights: Float32 | None

    def where(self, kept: NDArray[np.bool_]) -> _Rows:
        """Keep some of the rows; numbers of users and items stay as they are."""
        return _Rows(
            NumberedIds(self.users.codes[kept], self.users.ids),
            NumberedIds(self.items.codes[kept], self.items.ids),
            self.values[kept],
            None if self.timestamps is None else self.timestamps[kept],
            self.positions[kept],
            None if self.weights is None else self.weights[kept],
        )


def assemble(raw: RawRatings, reading: Reading) -> RatingsTable:
    """Validate raw ratings and number their users and items.

    Parameters
    ----------
    raw
        What a reader made of the input.
    reading
        What is done about rows that are bad, none, later, or there twice; what is known of the items.

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
    rows = _Rows(raw.users, raw.items, raw.values, raw.timestamps, raw.positions(), raw.weights)
    rows, dropped = _judge(raw, rows, reading.invalid)
    for side, numbered in (("user", rows.users), ("item", rows.items)):
        _note_nobody(numbered, side, raw)
    rows, none = _without(raw, rows, reading.leave_out)
    dropped |= none
    n_later, first_later = 0, None
    if reading.until is not None:
        known = _known_until(raw, rows, reading.until)
        n_later = int(np.count_nonzero(~known))
        first_later = raw.origin.place(int(rows.positions[np.argmin(known)])) if n_later else None
        rows = rows.where(known)
    rows, n_duplicates = _settle(raw, rows, reading.duplicates)
    users, items = rows.users.compact(), rows.items.compact()
    _require_some(users, items, raw, dropped, reading.least)
    user_ids = as_integers_if_all(users.ids)
    item_ids = as_integers_if_all(items.ids)
    for side, ids in (("user", user_ids), ("item", item_ids)):
        _note_two_forms(ids, side, raw)
    _require_listed(item_ids, reading.catalogue, raw)
    aligned = align_catalogue(item_ids, user_ids, reading.catalogue)
    return RatingsTable(
        users=users.codes,
        items=items.codes,
        values=rows.values,
        timestamps=rows.timestamps,
        positions=rows.positions,
        user_ids=user_ids,
        item_ids=aligned.item_ids,
        catalogue=aligned.catalogue,
        tags=aligned.tags,
        n_input=raw.n_input,
        duplicates=n_duplicates,
        dropped=dropped,
        n_later=n_later,
        first_later=first_later,
        weights=_telling(rows.weights, raw),
        adds_up=raw.adds_up,
    )


def _note_two_forms(ids: pa.Array, side: str, raw: RawRatings) -> None:
    """Say so where a number is two ids, as `7` and `7.0`: one program wrote whole numbers, another floats."""
    if pa.types.is_integer(ids.type):
        return
    floats = ids.filter(pc.match_substring_regex(ids, r"^-?[0-9]+\.0$"))
    plain = pc.replace_substring_regex(floats, r"\.0$", "")
    both = plain.filter(pc.is_in(plain, value_set=ids))
    if len(both):
        take_note(
            "%s: %d numbers are two %ss each, such as '%s' and '%s.0'",
            raw.origin.name, len(both), side, both[0], both[0],
            remedy="; write ids in one way to make them one",
        )  # fmt: skip


def _note_nobody(numbered: NumberedIds, side: str, raw: RawRatings) -> None:
    """Say so where what programs write for nothing, as `NA`, is the id of many rows, or beside numbers."""
    codes, ids = numbered
    if pa.types.is_integer(ids.type):
        return
    named = pc.is_in(ids, value_set=pa.array(NOTHING))
    for place in np.flatnonzero(named.to_numpy(zero_copy_only=False)):
        n_rows = int(np.count_nonzero(codes == place))
        others = as_integers_if_all(ids.filter(pc.invert(named)))
        if n_rows < MANY * len(codes) and not pa.types.is_integer(others.type):
            continue
        take_note(
            "%s: %d of %d rows are of the %s '%s', read as any other id: where it says that there is none, "
            "write the input without these rows",
            raw.origin.name, n_rows, len(codes), side, ids[int(place)],
        )  # fmt: skip


def _telling(weights: Float32 | None, raw: RawRatings) -> Float32 | None:
    """Return the weights; None, and say so, where each rating counts once."""
    if weights is None or np.any(weights != 1.0):
        return weights
    take_note("%s: all weights are 1: each rating counts once, as without them", raw.origin.name)
    return None


def _known_until(raw: RawRatings, rows: _Rows, until: int) -> NDArray[np.bool_]:
    """Tell what was rated by then."""
    if rows.timestamps is None:
        raise DataError(
            "the ratings have no timestamps",
            where=raw.origin.name,
            expected="a timestamp for every rating, since --as-of leaves out the later ones",
            remedy="Name a timestamp column, or leave --as-of out",
        )
    known = rows.timestamps <= until
    if len(known) and not known.any():
        first = dt.datetime.fromtimestamp(int(rows.timestamps.min()), dt.UTC)
        raise DataError(
            f"the first rating is of {first:%Y-%m-%d %H:%M:%S} UTC",
            where=raw.origin.name,
            expected=f"ratings up to {dt.datetime.fromtimestamp(until, dt.UTC):%Y-%m-%d %H:%M:%S} UTC",
            remedy="Name a later date with --as-of",
        )
    return known


def _judge(raw: RawRatings, rows: _Rows, invalid: Invalid) -> tuple[_Rows, dict[str, int]]:
    """Raise at the first unusable row, or return the usable ones and the others' counts."""
    malformed = () if raw.malformed is None else (raw.malformed,)
    if not raw.faults and not malformed:
        return rows, {}
    if invalid == "error":
        raise _row_error(raw, rows.positions)
    dropped = {fault.reason: len(fault.rows) for fault in malformed}
    usable = np.ones(len(raw.values), dtype=np.bool_)
    for fault in raw.faults:
        dropped[fault.reason] = dropped.get(fault.reason, 0) + int(np.count_nonzero(usable[fault.rows]))
        usable[fault.rows] = False
    return rows.where(usable), {reason: count for reason, count in dropped.items() if count}


def _without(raw: RawRatings, rows: _Rows, leave_out: Collection[float]) -> tuple[_Rows, dict[str, int]]:
    """Return the rows whose rating is none of some values, and how many had each of these."""
    left_out = {}
    for value in leave_out:
        same = rows.values == np.float32(value)
        count = int(np.count_nonzero(same))
        if not count:
            take_note("%s: no rating is %g: none was left out for it", raw.origin.name, value)
            continue
        left_out[f"rating of {value:g} {LEFT_OUT}"] = count
        rows = rows.where(~same)
    return rows, left_out


def _settle(raw: RawRatings, rows: _Rows, duplicates: Duplicates) -> tuple[_Rows, int]:
    """Leave one row of each pair, and count the others; counts of observations add up."""
    repeated = find_repeated(rows.users, rows.items, rows.timestamps)
    if not repeated.surplus:
        return rows, 0
    if duplicates == "error":
        raise _duplicate_error(raw, repeated, rows)
    if raw.adds_up or duplicates == "sum":
        values = rows.values.copy()
        values[repeated.last] = summed_values(repeated, rows.values)
        rows, duplicates = rows._replace(values=values), "last"
    if duplicates == "mean":
        values = rows.values.copy()
        values[repeated.last] = mean_values(repeated, rows.values)
        rows = rows._replace(values=values)
    single = np.ones(len(rows.values), dtype=np.bool_)
    single[repeated.rows] = False
    single[repeated.first if duplicates == "first" else repeated.last] = True
    return rows.where(single), repeated.surplus


def _row_error(raw: RawRatings, positions: Int64) -> DataError:
    located: list[tuple[int, Fault]] = [(int(positions[fault.rows[0]]), fault) for fault in raw.faults]
    if raw.malformed is not None:
        located.append((int(raw.malformed.rows[0]), raw.malformed))
    most = [(place, fault) for place, fault in located if 2 * len(fault.rows) > len(raw.values)]
    position, fault = min(most or located, key=lambda pair: pair[0])
    n_bad = len(np.unique(np.concatenate([positions[f.rows] for f in raw.faults] or [np.empty(0, np.int64)])))
    n_bad += 0 if raw.malformed is None else len(raw.malformed.rows)
    reasons = ", ".join(f"{one.reason} in {len(one.rows):,}" for _, one in located)
    others = f" (the first of {n_bad:,} bad rows{f': {reasons}' if most and len(located) > 1 else ''})"
    where = raw.origin.place(position)
    return DataError(
        f"{fault.reason}: found {fault.found}{others if n_bad > 1 else ''}",
        where=f"{where}, column '{fault.column}'" if fault.column else where,
        expected=fault.expected,
        remedy=_remedy_of(fault, most=bool(most)),
    )


def _remedy_of(fault: Fault, *, most: bool) -> str:
    """Say what to do about rows at fault; `most`: about a column, for most rows are."""
    if re.fullmatch(r"'[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?'", fault.found):
        return "Write numbers without marks of thousands: pandas.read_csv(FILE, thousands=',').to_csv(FILE)"
    if re.fullmatch(r"'[+-]?[0-9.]*,[0-9]+'", fault.found):
        return "Write numbers with a point: pandas.read_csv(FILE, sep=';', decimal=',').to_csv(FILE)"
    drop = "leave out all such rows with --invalid=drop"
    if most and fault.reason == "timestamp is no time":
        return f"Write such times, {drop}, or read none: columns without a timestamp, --columns=user=…,item=…"
    return f"Correct the row, or {drop}"


def _duplicate_error(raw: RawRatings, repeated: Repeated, rows: _Rows) -> DataError:
    ends = np.append(repeated.starts[1:], len(repeated.rows))
    pair = np.sort(repeated.rows[: ends[0]])
    user = rows.users.ids[int(rows.users.codes[pair[0]])].as_py()
    item = rows.items.ids[int(rows.items.codes[pair[0]])].as_py()
    return DataError(
        f"user {user} rated item {item} {len(pair)} times (and {repeated.surplus:,} surplus rows in all)",
        where=" and ".join(raw.origin.place(int(rows.positions[row])) for row in pair[:2]),
        expected="each user and item at most once",
        remedy="Remove the surplus rows, or settle them with --duplicates=last (or first, mean, sum)",
    )


def _require_listed(item_ids: pa.Array, catalogue: Catalogue | None, raw: RawRatings) -> None:
    """Refuse a catalogue of other items: titles would be nobody's, and its items could be recommended."""
    if catalogue is None or not len(catalogue.ids):
        return
    listed = as_integers_if_all(catalogue.ids)
    unknown = lookup(item_ids, listed) < 0
    if not unknown.all() and 2 * np.count_nonzero(unknown) > len(unknown):
        take_note(
            "%s: %d of %d rated items are not in the catalogue: where it numbers them otherwise, by another "
            "site's ids perhaps, the titles of the others are wrong, and another column holds the ids",
            raw.origin.name, np.count_nonzero(unknown), len(unknown),
        )  # fmt: skip
    if unknown.all():
        raise DataError(
            f"none of {len(item_ids):,} rated items is in the catalogue of {len(listed):,}: "
            f"rated are {item_ids[0].as_py()!r} and the like, listed {listed[0].as_py()!r} and the like",
            where=raw.origin.name,
            expected="a catalogue that lists the rated items",
            remedy="Name the column of their ids with --catalogue-columns=item=…,title=…, or move the "
            "catalogue away",
        )


def _require_some(
    users: NumberedIds, items: NumberedIds, raw: RawRatings, dropped: dict[str, int], least: int
) -> None:
    for numbered, side in ((users, "user"), (items, "item")):
        if len(numbered.ids) < least:
            n_ids = len(numbered.ids)
            lost = f" ({sum(dropped.values()):,} rows were dropped)" if dropped else ""
            asked = any(reason.endswith(LEFT_OUT) for reason in dropped)
            remedy = "Check that the right columns were named as user, item and rating"
            raise DataError(
                f"ratings of {n_ids} {side}{'' if n_ids == 1 else 's'}{lost}",
                where=raw.origin.name,
                expected=f"at least {'one' if least == 1 else 'two'} {side}{'' if least == 1 else 's'}",
                remedy=f"{remedy}, or name fewer ratings with --leave-out-ratings=…" if asked else remedy,
            )
