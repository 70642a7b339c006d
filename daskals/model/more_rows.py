"""A model with more rows: its ids, catalogue, ratings, order and report, as an update leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from daskals.errors import DataError
from daskals.kernels.toolkit.layout import empty_rows
from daskals.model.lookup import LookupModel
from daskals.model.order.learnt import Order, interactions
from daskals.model.prior_mean import IMPLICIT
from daskals.model.times import TimeRows
from daskals.model.training_ratings import KeptRatings, runs, starts_of
from daskals.ratings.exact_ids import exact_ids
from daskals.ratings.table import RatingsTable
from daskals.types import SIDES, FactorRows, Float32, Float64, Int32, Int64, RatingsBlock, Side, UInt8


class Pairs(NamedTuple):
    """Ratings as triples.

    Attributes
    ----------
    users, items
        Rows, int64, shape (ratings,).
    ratings
        float32, shape (ratings,).
    dates
        The day, week or month since 1970 of each, int32, shape (ratings,), of a model that knows dates.
    ages
        How long ago each was made, uint8, shape (ratings,), where lists count by age.
    """

    users: Int64
    items: Int64
    ratings: Float32
    dates: Int32 | None = None
    ages: UInt8 | None = None


@dataclass(frozen=True, eq=False)
class AllRatings:
    """All ratings after an update, by the rows of one side in compressed-row form.

    Attributes
    ----------
    indptr
        int64, shape (rows + 1,).
    others, ratings
        int32 and float32, shape (ratings,): which row of the other side, ascending in a row, and how.
    dates, ages
        The day, week or month of each, and how long ago it was made, as in `Pairs`.
    """

    indptr: Int64
    others: Int32
    ratings: Float32
    dates: Int32 | None = None
    ages: UInt8 | None = None

    def of(self, rows: Int64, times: TimeRows | None = None) -> RatingsBlock:
        """Return the ratings of some rows, shape (rows,), as a block, with their dates' rows in `times`."""
        counts = np.diff(self.indptr)[rows]
        places = runs(self.indptr[rows], counts)
        scale = np.empty(0, np.float32)
        thirds = None if times is None or self.dates is None else times.rows_at(self.dates[places])
        others, ratings = self.others[places], self.ratings[places]
        return RatingsBlock(0, starts_of(counts), others, ratings, scale, thirds=thirds)


def with_new_ids(known: pa.Array, given: RatingsTable, side: Side) -> tuple[pa.Array, Int64]:
    """Return the ids of a side with the new ones behind, and the row of each of a table's ids.

    Parameters
    ----------
    known
        The model's ids.
    given, side
        Ratings, and the side of their ids.

    Returns
    -------
    tuple
        Ids, and rows, int64, shape (ids of the table,); −1 for items that are in the catalogue alone.

    Raises
    ------
    DataError
        If an id cannot be one of the model's type.
    """
    own = given.user_ids if side == "user" else given.item_ids
    read = exact_ids(own, known.type)
    if read.null_count:
        wrong = own[read.is_null().index(value=True).as_py()].as_py()
        raise DataError(
            f"found {side} {wrong!r}",
            where="update",
            expected=f"ids of type {known.type}, such as {known[0].as_py()!r}, as the model has them",
        )
    rated = np.zeros(len(own), bool)
    rated[given.users if side == "user" else given.items] = True
    places = {key: row for row, key in enumerate(known.to_pylist())}
    rows = np.full(len(own), -1, np.int64)
    for place, key in enumerate(read.to_pylist()):
        if rated[place]:  # a catalogue's other items are no concern of an update
            rows[place] = places.setdefault(key, len(places))
    return pa.array(list(places), known.type), rows


def merged(
    kept: KeptRatings, new: Pairs, n_users: int, n_items: int, *, add: bool = False
) -> tuple[AllRatings, AllRatings]:
    """Return all ratings by user and by item; of a pair that is there twice, the new one, or both added up.

    Parameters
    ----------
    kept, new
        Ratings as they were, and those that come.
    n_users, n_items
        Rows of both sides.
    add
        Whether the ratings of a pair that is there twice are added up.
    """
    users = np.concatenate([kept.block.owners, new.users])
    items = np.concatenate([kept.items.astype(np.int64), new.items])
    ratings = np.concatenate([kept.block.ratings, new.ratings])
    told = {
        name: np.concatenate([one, getattr(new, name)])
        for name in ("dates", "ages")
        if (one := getattr(kept, name)) is not None
    }
    keys = users * n_items + items
    order = np.argsort(keys, kind="stable")
    last = np.append(keys[order][1:] != keys[order][:-1], True)[: len(order)]
    chosen = order[last]
    if add and len(order):
        first = np.flatnonzero(np.append(True, last[:-1]))
        ratings[chosen] = np.add.reduceat(ratings[order].astype(np.float64), first)
    users, items, ratings = users[chosen], items[chosen], ratings[chosen]
    told = {name: values[chosen] for name, values in told.items()}
    by_item = np.argsort(items, kind="stable")  # users stay ascending within an item
    return (
        AllRatings(
            starts_of(np.bincount(users, minlength=n_users)),
            items.astype(np.int32),
            ratings,
            **told,
        ),
        AllRatings(
            starts_of(np.bincount(items, minlength=n_items)),
            users[by_item].astype(np.int32),
            ratings[by_item],
            **{name: values[by_item] for name, values in told.items()},
        ),
    )


def extended_rows(rows: FactorRows, n_rows: int, rank: int) -> FactorRows:
    """Return a copy of factor rows, shape (rows, stride), with rows of zeros behind, `n_rows` in all."""
    extended = empty_rows(n_rows, rank)
    extended[: len(rows)] = rows
    return extended


def counted(before: Int64, ratings: AllRatings, touched: Int64) -> Int64:
    """Return how many ratings each row has: `before`, one a row, save those `touched`, (touched,)."""
    counts = np.zeros(len(ratings.indptr) - 1, np.int64)
    counts[: len(before)] = before
    counts[touched] = np.diff(ratings.indptr)[touched]
    return counts


def extended_catalogue(
    known: pa.Table | None, given: RatingsTable, rows: Int64, n_items: int
) -> pa.Table | None:
    """Return the catalogue with a row for each new item: what the new ratings' own tells, else nothing.

    Parameters
    ----------
    known
        The model's catalogue.
    given, rows
        New ratings, and the row of each of their items, shape (items of the ratings,).
    n_items
        Items in all.
    """
    if known is None or n_items == len(known):
        return known
    places = np.empty(n_items - len(known), np.int64)
    is_new = rows >= len(known)
    places[rows[is_new] - len(known)] = np.flatnonzero(is_new)
    columns = {}
    for field in known.schema:
        if given.catalogue is not None and field.name in given.catalogue.column_names:
            values = given.catalogue[field.name].take(pa.array(places)).cast(field.type).to_pylist()
        else:
            values = [None] * len(places)
        is_list = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        columns[field.name] = pa.array([[] if one is None and is_list else one for one in values], field.type)
    return pa.concat_tables([known, pa.table(columns, schema=known.schema)])


def updated_order(model: LookupModel, by_item: AllRatings, touched: Int64, n_users: int) -> Order | None:
    """Return the order with the popularity of what was touched; its regression is not learnt anew.

    Where popularity is that of late, items keep what training found, and those that nobody had rated have
    their mean interaction. `touched` are rows of items, shape (touched,), `n_users` counts users.
    """
    if model.order is None:
        return None
    popularity = np.zeros(len(by_item.indptr) - 1, np.float32)
    popularity[: len(model.order.popularity)] = model.order.popularity
    if model.report.get("order", {}).get("popularity_half_life"):
        touched = touched[popularity[touched] == 0]
    block = by_item.of(touched)
    counted = interactions(block.ratings, model.limits, model.order.settings.unliked).astype(np.float64)
    popularity[touched] = np.bincount(block.owners, counted, minlength=len(touched)) / max(n_users, 1)
    return replace(model.order, popularity=popularity)


def kept_with(before: KeptRatings, by_user: AllRatings, new: Pairs) -> KeptRatings:
    """Return what a model carries of all ratings; what is rated now is no longer held out."""
    values: Any = by_user.ratings
    scale = before.scale
    if len(scale) and np.isin(by_user.ratings, scale).all():
        values = np.searchsorted(scale, by_user.ratings).astype(np.uint8)
    else:
        scale = np.empty(0, np.float32)
    n_users = len(by_user.indptr) - 1
    people = np.repeat(np.arange(len(before.held_indptr) - 1), np.diff(before.held_indptr))
    size = max(int(new.items.max(initial=0)), int(before.held_items.max(initial=0))) + 1
    held = ~np.isin(people * size + before.held_items, new.users * size + new.items)
    return KeptRatings(
        indptr=by_user.indptr,
        items=by_user.others,
        values=values,
        scale=scale,
        held_indptr=starts_of(np.bincount(people[held], minlength=n_users)),
        held_items=before.held_items[held],
        dates=by_user.dates,
        ages=by_user.ages,
    )


def extended_weights(model: LookupModel, others: dict[Side, int]) -> dict[Side, Float64]:
    """Return W with a row of zeros for each new row of the other side, where who rated what is a feature."""
    weights: dict[Side, Float64] = {}
    for side, own in model.weights.items():
        parts = []
        for group in model.feature_groups[side]:
            more = others[side] - len(group.weights) if group.column == IMPLICIT else 0
            parts += [group.weights, np.zeros((more, own.shape[1]))]
        weights[side] = np.concatenate(parts) if parts else own
    return weights


def updated_report(model: LookupModel, new: Pairs, touched: dict[Side, Int64]) -> dict[str, Any]:
    """Return the report with what this update did, behind those before it."""
    n_users, n_items = len(model.user_ids), len(model.item_ids)
    done: dict[str, Any] = {
        "of": model.factors_sha256(),
        "ratings": len(new.ratings),
        "users": len(touched["user"]),
        "new_users": int((touched["user"] >= n_users).sum()),
        "items": len(touched["item"]),
        "new_items": int((touched["item"] >= n_items).sum()),
    }
    if model.times is not None and new.dates is not None:
        unknown = ~model.times.has_ratings(new.dates)
        done["unknown_dates"] = len(np.unique(new.dates[unknown]))
        done["ratings_of_unknown_dates"] = int(unknown.sum())
    report = {**model.report, "updates": [*model.report.get("updates", []), done]}
    sizes = {"user": n_items + done["new_items"], "item": n_users + done["new_users"]}
    if report.get("features"):
        report["features"] = {
            side: _sized(entries, sizes[side]) if side in SIDES else entries
            for side, entries in report["features"].items()
        }
    return report


def _sized(entries: Sequence[dict[str, Any]], n_others: int) -> list[dict[str, Any]]:
    return [{**entry, "n_features": n_others} if entry["column"] == IMPLICIT else entry for entry in entries]
