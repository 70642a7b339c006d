"""New and changed ratings taken into a model without a training: the rows they touch are solved anew.

Three half-steps over the touched rows alone, each by the solve of training and `fold_in`:

1. people who are new, on the items that the model knows, so that they have a say in 2;
2. items that are new or got ratings, on all people;
3. people who are new or gave ratings, on all items: their rows are those that `fold_in` gives them.

Whoever is not touched keeps their row to the bit, and so do the mean, W and the regression of the order. What
a model of `--time-bins` knows of dates stays as well: a new rating is one of its day, and where training has
none of that day, one of any. Such days take no rows, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from daskals.config import ReadConfig
from daskals.config.arguments import check_kind
from daskals.errors import ConfigError, DataError
from daskals.model.factors import FactorModel
from daskals.model.lookup import LookupModel
from daskals.model.more_rows import (
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
from daskals.model.order.ages import ages_of
from daskals.model.order.learnt import moments_in
from daskals.model.prior_mean import IMPLICIT, rating_parts, trait_part
from daskals.model.reading import read_as_trained
from daskals.model.stored_ratings import open_history, training_data
from daskals.model.training_ratings import KeptRatings, starts_of
from daskals.ratings.columns import check_columns
from daskals.ratings.frames import from_frame
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from daskals.ratings.split import SplitSpec
from daskals.ratings.table import RatingsTable
from daskals.store.sparse_group import is_sparse_group, read_sparse_group
from daskals.store.splits import ensure_split
from daskals.store.weighing import weighing_of
from daskals.types import SIDES, Float64, Int32, Int64, RatingsBlock, Side, UInt8

AnyModel = TypeVar("AnyModel", bound=LookupModel)


def read_new_ratings(
    source: Any, model: LookupModel, columns: Mapping[str, str] | None, config: ReadConfig
) -> RatingsTable:
    """Read ratings of a file, a folder or a table in memory, for a model to take in.

    Parameters
    ----------
    source
        The ratings.
    model
        What they are for. The columns that trained it are taken where none are named and the usual ones are
        not there; of clicks, rows without a rating are observations.
    columns, config
        Role → name of a column, if they were named by themselves; how the ratings are read.

    Raises
    ------
    ConfigError
        Where the columns are not understood, or where ratings are to be added up, which only counts do.
    DataError
        For anything wrong with the ratings, with row and column.
    """
    check_kind(columns, (Mapping, NoneType), "columns", 'a mapping, as {"user": "who", "item": "what"}')
    if config.duplicates == "sum" and model.predicts_ratings:
        raise ConfigError(
            "found sum, for a model of ratings",
            where="--duplicates",
            expected="last, first, mean or error: only counts, of --model=ials, add up",
        )
    if columns is not None:
        check_columns(columns)
        config = config.model_copy(update={"columns": dict(columns)})
    more = {"least": 1, "clicks": not model.predicts_ratings}
    table = read_as_trained(model.report, config, lambda own: _read(source, Reading.of(own, **more)))
    if table.weights is not None:
        raise _weighed("the new ratings have weights")
    return table


def _read(source: Any, reading: Reading) -> RatingsTable:
    if not isinstance(source, str | Path):
        return from_frame(source, reading)
    if is_sparse_group(Path(source)):
        return read_sparse_group(Path(source), reading)
    return read_ratings(source, reading)


def kept_ratings(model: FactorModel) -> KeptRatings:
    """Return what a model's users rated: carried by it, or read from the store that it was trained on.

    Raises
    ------
    StoreError
        If the model does not carry it and the store is gone.
    DataError
        If its ratings weigh, by a column or by their age, or it knows dates and an older version made it.
    """
    times = model.times
    if times is not None and times.biases is None:
        raise DataError(
            "an older version trained the model with --time-bins, and kept no dates of its ratings",
            where="update",
            expected="a model with the dates of its ratings",
            remedy="Train the model anew",
        )
    kept = model.kept
    if kept is None:
        data = training_data(model.report)
        again = "Restore it, or train with a higher --keep-ratings, so that the model carries them"
        store = open_history(data, again)
        split = ensure_split(store, SplitSpec(**data["split"]))
        weighing = weighing_of(store, split, model.report["config"].get("half_life"))
        unit = None if times is None else times.timing.unit
        kept = KeptRatings.of(store, split, weighing, unit, moments_in(model.order))
    if kept.weights is not None:
        raise _weighed("the model was trained on ratings that weigh")
    return kept


def _weighed(found: str) -> DataError:
    return DataError(
        found, where="update", expected="ratings that count once each", remedy="Train the model anew"
    )


def updated(model: AnyModel, given: RatingsTable, kept: KeptRatings, *, add: bool = False) -> AnyModel:
    """Return a model that knows new ratings too; `model.update` tells what that means.

    Parameters
    ----------
    model
        The model; it stays as it is.
    given
        The ratings; one of a pair that is known already takes its place.
    kept
        What the model's users rated so far.
    add
        Whether what was known and what is new of a pair are added up.

    Raises
    ------
    DataError
        If an id cannot be one of the model's, a rating is off its scale, or the model knows dates and the
        ratings have none.
    """
    dates = _dates_of(given, model)
    ids: dict[Side, pa.Array] = {"user": model.user_ids, "item": model.item_ids}
    rows: dict[Side, Int64] = {}
    for side in SIDES:
        ids[side], rows[side] = with_new_ids(ids[side], given, side)
    n_users, n_items = len(ids["user"]), len(ids["item"])
    values = given.values.astype(np.float32)
    ages = _ages_of(given, model)
    new = Pairs(rows["user"][given.users], rows["item"][given.items], values, dates, ages)
    _check_scale(model, new, ids["item"])
    by_user, by_item = merged(kept, new, n_users, n_items, add=add)
    if not add:
        given.note_replaced(len(kept.values) + given.n_ratings - len(by_user.ratings))
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
    _solve(wider, "user", arrivals, _among_known(by_user.of(arrivals, model.times), len(model.item_ids)))
    _solve(wider, "item", touched["item"], by_item.of(touched["item"], model.times))
    _solve(wider, "user", touched["user"], by_user.of(touched["user"], model.times))
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
    if side == "item" and model.times is not None:
        # items are measured from a date, what they are drawn to is of none
        prior[:, : model.rank] -= model.times.factors[-1]
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


def _among_known(block: RatingsBlock, n_known: int) -> RatingsBlock:
    """Return what people said of items that have a row already."""
    known = block.indices < n_known
    indptr = starts_of(np.bincount(block.owners[known], minlength=block.n_rows))
    thirds = None if block.thirds is None else block.thirds[known]
    return RatingsBlock(0, indptr, block.indices[known], block.values[known], block.scale, thirds=thirds)


def _ages_of(given: RatingsTable, model: LookupModel) -> UInt8 | None:
    """Return how long ago each rating was made, of now where nothing tells; None where it is no matter."""
    moments = moments_in(model.order)
    if not len(moments):
        return None
    if given.timestamps is None:
        return np.zeros(given.n_ratings, np.uint8)
    return ages_of(given.timestamps, moments)


def _dates_of(given: RatingsTable, model: LookupModel) -> Int32 | None:
    """Return the day, week or month of each rating as the model has dates; None where it knows none."""
    if model.times is None:
        return None
    if given.timestamps is None:
        unit = model.times.timing.unit
        raise DataError(
            "the new ratings have no timestamps",
            where="update",
            expected=f"the time of each, as the model was trained with --time-bins={unit}",
            remedy="Name their column, as in --columns=user=NAME,item=NAME,rating=NAME,timestamp=NAME",
        )
    return model.times.numbers_of(given.timestamps)
