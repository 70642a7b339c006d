"""New and changed ratings taken into a model without a training: the rows they touch are solved anew.

Three half-steps over the touched rows alone, each by the solve of training and `fold_in`:

1. people who are new, on the items that the model knows, so that they have a say in 2;
2. items that are new or got ratings, on all people;
3. people who are new or gave ratings, on all items: their rows are those that `fold_in` gives them.

Whoever is not touched keeps their row to the bit, and so do the mean, W and the regression of the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from daskals.errors import DataError
from daskals.model.factors import FactorModel
from daskals.model.lookup import LookupModel
from daskals.model.more_rows import (
    AllRatings,
    Pairs,
    counted,
    extended_catalogue,
    extended_rows,
    extended_weights,
    kept_with,
    merged,
    updated_order,
    updated_report,
    with_new_ids,
)
from daskals.model.prior_mean import IMPLICIT, rating_parts, trait_part
from daskals.model.training_ratings import KeptRatings, open_history, starts_of, training_data
from daskals.ratings.frames import from_frame
from daskals.ratings.source import read_ratings
from daskals.ratings.split import SplitSpec
from daskals.ratings.table import RatingsTable
from daskals.store.sparse_group import is_sparse_group, read_sparse_group
from daskals.store.splits import ensure_split
from daskals.store.weighing import weighing_of
from daskals.types import SIDES, Float64, Int64, RatingsBlock, Side

AnyModel = TypeVar("AnyModel", bound=LookupModel)


def read_new_ratings(source: Any, columns: Mapping[str, str] | None = None) -> RatingsTable:
    """Read ratings of a file, a folder or a table in memory, by the usual or by named columns.

    Raises
    ------
    ConfigError
        Where `columns` is not understood.
    DataError
        For anything wrong with the ratings, with row and column.
    """
    if isinstance(source, str | Path) and is_sparse_group(Path(source)):
        table = read_sparse_group(Path(source), least=1)
    elif isinstance(source, str | Path):
        table = read_ratings(source, columns=columns, least=1)
    else:
        table = from_frame(source, columns=columns, least=1)
    if table.weights is not None:
        raise _weighed("the new ratings have weights")
    return table


def kept_ratings(model: FactorModel) -> KeptRatings:
    """Return what a model's users rated: carried by it, or read from the store that it was trained on.

    Raises
    ------
    StoreError
        If the model does not carry it and the store is gone.
    DataError
        If its ratings weigh, by a column or by their age, or it knows dates.
    """
    if model.times is not None:
        raise DataError(
            "the model was trained with --time-bins",
            where="update",
            expected="a model of ratings that say the same whenever they are made",
            remedy="Train the model anew",
        )
    kept = model.kept
    if kept is None:
        data = training_data(model.report)
        again = "Restore it, or train with a higher --keep-ratings, so that the model carries them"
        store = open_history(data, again)
        split = ensure_split(store, SplitSpec(**data["split"]))
        weighing = weighing_of(store, split, model.report["config"].get("half_life"))
        kept = KeptRatings.of(store, split, weighing)
    if kept.weights is not None:
        raise _weighed("the model was trained on ratings that weigh")
    return kept


def _weighed(found: str) -> DataError:
    return DataError(
        found, where="update", expected="ratings that count once each", remedy="Train the model anew"
    )


def updated(model: AnyModel, given: RatingsTable, kept: KeptRatings) -> AnyModel:
    """Return a model that knows new ratings too; `model.update` tells what that means.

    Parameters
    ----------
    model
        The model; it stays as it is.
    given
        The ratings; one of a pair that is known already takes its place.
    kept
        What the model's users rated so far.

    Raises
    ------
    DataError
        If an id cannot be one of the model's, or a rating is off its scale.
    """
    ids: dict[Side, pa.Array] = {"user": model.user_ids, "item": model.item_ids}
    rows: dict[Side, Int64] = {}
    for side in SIDES:
        ids[side], rows[side] = with_new_ids(ids[side], given, side)
    n_users, n_items = len(ids["user"]), len(ids["item"])
    new = Pairs(rows["user"][given.users], rows["item"][given.items], given.values.astype(np.float32))
    _check_scale(model, new, ids["item"])
    by_user, by_item = merged(kept, new, n_users, n_items)
    touched: dict[Side, Int64] = {"user": np.unique(new.users), "item": np.unique(new.items)}
    wider = replace(
        model,
        user_rows=extended_rows(model.user_rows, n_users, model.rank),
        item_rows=extended_rows(model.item_rows, n_items, model.rank),
        user_ids=ids["user"],
        item_ids=ids["item"],
        user_counts=counted(model.user_counts, by_user, touched["user"]),
        item_counts=counted(model.item_counts, by_item, touched["item"]),
        catalogue=extended_catalogue(model.catalogue, given, rows["item"], n_items),
        samples=None,
        order=updated_order(model, by_item, touched["item"], n_users),
        kept=kept_with(kept, by_user, new),
        weights=extended_weights(model, {"user": n_items, "item": n_users}),
        report=updated_report(model, new, touched),
    )
    arrivals = np.arange(len(model.user_ids), n_users)
    _solve(wider, "user", arrivals, _among_known(by_user, arrivals, len(model.item_ids)))
    _solve(wider, "item", touched["item"], by_item.of(touched["item"]))
    _solve(wider, "user", touched["user"], by_user.of(touched["user"]))
    return replace(wider, report={**wider.report, "factors_sha256": wider.factors_sha256()})


def _solve(model: LookupModel, side: Side, rows: Int64, block: RatingsBlock) -> None:
    """Solve some rows of one side of a model that is being made, in place."""
    if not len(rows):
        return
    own = model.user_rows if side == "user" else model.item_rows
    prior = np.zeros((len(rows), model.rank + 1), np.float32)
    groups = model.feature_groups[side]
    for place, row in enumerate(rows if groups else ()):
        rated = block.indices[block.indptr[place] : block.indptr[place + 1]].astype(np.int64)
        catalogue = model.catalogue if side == "user" else None
        parts = rating_parts(groups, rated, catalogue, model.rank + 1).sum(axis=0)
        prior[place] = parts + (_traits(model, int(row)) if side == "item" else 0.0)
    own[rows] = model.fold(side).rows(block, prior)


def _traits(model: LookupModel, row: int) -> Float64:
    known: dict[str, Any] = {}
    if model.catalogue is not None:
        names = [group.column for group in model.feature_groups["item"] if group.column != IMPLICIT]
        known = {name: model.catalogue[name][row].as_py() for name in names}
    return trait_part(model.feature_groups["item"], known, model.rank + 1)


def _check_scale(model: LookupModel, new: Pairs, item_ids: pa.Array) -> None:
    low, high = model.profile_limits
    wrong = np.flatnonzero(~((new.ratings >= low) & (new.ratings <= high)))
    if len(wrong):
        item = item_ids[int(new.items[wrong[0]])].as_py()
        raise DataError(
            f"a rating of {new.ratings[wrong[0]]:g}",
            where=f"update, item {item}",
            expected=f"a number from {low:g} to {high:g}",
        )


def _among_known(by_user: AllRatings, arrivals: Int64, n_known: int) -> RatingsBlock:
    """Return what new people said of items that have a row already."""
    block = by_user.of(arrivals)
    known = block.indices < n_known
    people = np.repeat(np.arange(len(arrivals)), np.diff(block.indptr))[known]
    indptr = starts_of(np.bincount(people, minlength=len(arrivals)))
    return RatingsBlock(0, indptr, block.indices[known], block.values[known], block.scale)
