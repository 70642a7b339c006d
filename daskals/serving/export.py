"""Export of a model to Parquet: vectors, per-user and per-item features, dense predictions.

Features are those that paper 1, section 8.1, has in mind for churn and lifetime value. Factors of two
trainings are turned against each other, so drift is told by what both predict, not by the factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daskals.cluster.connect import available_cores
from daskals.errors import DataError
from daskals.evaluation.prediction_error import part_times
from daskals.kernels.scoring.topk import SeenItems, top_items
from daskals.model.fitted import Model
from daskals.model.stored_ratings import open_history, training_data
from daskals.model.top_items import pack_units, unit_rows
from daskals.ratings.split import SplitSpec
from daskals.store.atomic_folder import Existing, staged_directory
from daskals.store.splits import ensure_split, load_block
from daskals.types import SIDES, TRAIN, Float32, Float64, Int64, Side

N_MAINSTAYS = 50
N_NEIGHBOURS = 10
RATINGS_AT_ONCE = 2_000_000
PAIRS_AT_ONCE = 1_000_000
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Block:
    """A block of the dense prediction matrix: rows of both sides."""

    users: Int64
    items: Int64


class TrainingSums(NamedTuple):
    """Sums over the training ratings of each user and each item, float64.

    Attributes
    ----------
    ratings, squares
        Σ rating, Σ residual², by side: shape (rows,).
    """

    ratings: dict[Side, Float64]
    squares: dict[Side, Float64]


def export_model(
    model: Model,
    out: Path,
    *,
    previous: Model | None = None,
    block: Block | None = None,
    existing: Existing = "refuse",
) -> dict[str, int]:
    """Write a model's vectors and features as a folder of Parquet files.

    Parameters
    ----------
    model
        The model; its training ratings must be at hand.
    out
        Folder to write:

        - `users.parquet`: `user`, `factors` (float32, rank), `bias`, `activity` (training ratings),
          `mean_rating` (null without ratings), `residual` (root mean squared training residual, null without
          ratings), `norm` of the factors, `density` (mean cosine to the 10 nearest users), `mainstays` (mean
          predicted rating of the 50 most rated items) and, with `previous`, `drift` (root mean squared change
          of those 50 predictions; null for a user who is new).
        - `items.parquet`: the same for items, with title, year and genres; `mainstays` is over the 50 most
          active users.
        - `genres.parquet`: `genre`, `factors`, `bias`, where there are genres.
        - `predictions.parquet`: `user`, `item`, `prediction` of `block`, where one is asked for.
    previous
        An earlier model of the same users and items, by original id.
    block
        Part of the dense prediction matrix to write.
    existing
        What to do with a folder that is already there.

    Returns
    -------
    dict
        Lines written, by file.

    Raises
    ------
    StoreError
        If the training ratings are gone.
    OutputError
        If `out` cannot be written or is taken.
    DataError
        If `previous` shares no users or items with the model.
    """
    sums = training_sums(model)
    written: dict[str, int] = {}
    with staged_directory(out.absolute(), existing=existing) as folder:

        def write(name: str, table: pa.Table) -> None:
            pq.write_table(table, folder / f"{name}.parquet")
            written[name] = len(table)

        write("users", side_table(model, "user", sums, previous))
        write("items", side_table(model, "item", sums, previous))
        if model.catalogue_column("genres") is not None:
            write("genres", genre_table(model))
        if block is not None:
            written["predictions"] = write_block(model, block, folder / "predictions.parquet")
    return written


def training_sums(model: Model) -> TrainingSums:
    """Read the training ratings once and sum them, and their squared residuals, by user and by item."""
    data = training_data(model.report)
    store = open_history(data, "Restore it: means and residuals come from it")
    split = ensure_split(store, SplitSpec(**data["split"]))
    sizes = {"user": len(model.user_ids), "item": len(model.item_ids)}
    sums = TrainingSums(
        {side: np.zeros(sizes[side]) for side in SIDES}, {side: np.zeros(sizes[side]) for side in SIDES}
    )
    for start, stop in _runs(store.indptr("user")):
        part = load_block(str(store.path), "user", start, stop, split.key, TRAIN)
        values = part.ratings
        rows = {"user": part.owners, "item": part.indices.astype(np.int64)}
        times = part_times(model, store, split, (start, stop), TRAIN)
        residuals = values.astype(np.float64) - model.predict_rows(rows["user"], rows["item"], times)
        for side in SIDES:
            sums.ratings[side] += np.bincount(rows[side], values, minlength=sizes[side])
            sums.squares[side] += np.bincount(rows[side], residuals**2, minlength=sizes[side])
    return sums


def _runs(indptr: Int64) -> Iterator[tuple[int, int]]:
    start, n_rows = 0, len(indptr) - 1
    while start < n_rows:
        limit = indptr[start] + RATINGS_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(indptr[1:], limit, side="right")))
        yield start, stop
        start = stop


def side_table(model: Model, side: Side, sums: TrainingSums, previous: Model | None) -> pa.Table:
    """Make the table of one side; see `export_model`."""
    own = _OneSide.of(model, side)
    counts = own.counts
    known = counts > 0
    at_least_one = np.maximum(counts, 1)
    columns: dict[str, Any] = {side: own.ids}
    if side == "item" and model.catalogue is not None:
        columns |= {
            name: model.catalogue[name]
            for name in ("title", "year", "genres")
            if name in model.catalogue.column_names
        }
    columns |= {
        "factors": _vectors(own.factors),
        "bias": pa.array(own.biases),
        "activity": pa.array(counts),
        "mean_rating": pa.array((sums.ratings[side] / at_least_one).astype(np.float32), mask=~known),
        "residual": pa.array(np.sqrt(sums.squares[side] / at_least_one).astype(np.float32), mask=~known),
        "norm": pa.array(np.linalg.norm(own.factors, axis=1).astype(np.float32)),
        "density": pa.array(densities(own.factors)),
        "mainstays": pa.array(own.predict(_most_counted(own.other_counts)).mean(axis=1)),
    }
    if previous is not None:
        columns["drift"] = drift(model, previous, side)
    return pa.table(columns)


def genre_table(model: Model) -> pa.Table:
    """Make the table of the genres' vectors: the prior's if the model has one, else fitted to its items."""
    vectors = model.genre_vectors.astype(np.float32)
    return pa.table(
        {
            "genre": pa.array(model.traits.names),
            "factors": _vectors(vectors[:, : model.rank]),
            "bias": pa.array(vectors[:, model.rank]),
        }
    )


def densities(factors: Float32) -> Float32:
    """Return the mean cosine of each of `factors`' rows to its 10 nearest, float32, shape (rows,)."""
    n_rows = len(factors)
    n = min(N_NEIGHBOURS, n_rows - 1)
    if n < 1 or factors.shape[1] == 0:
        return np.zeros(n_rows, np.float32)
    units, panels = unit_rows(factors), pack_units(factors)

    def nearest(start: int) -> Float32:
        rows = np.arange(start, min(start + ROWS_AT_ONCE, n_rows), dtype=np.int32)
        found = top_items(panels, units[rows], n, SeenItems(np.arange(len(rows) + 1), rows))
        mean: Float32 = found.scores.mean(axis=1, dtype=np.float64).astype(np.float32)
        return mean

    with ThreadPoolExecutor(available_cores()) as pool:
        return np.concatenate(list(pool.map(nearest, range(0, n_rows, ROWS_AT_ONCE))))


def drift(model: Model, previous: Model, side: Side) -> pa.Array:
    """Tell how far predictions moved since an earlier model: root mean squared change over the mainstays.

    Null for rows that the earlier model does not have.

    Raises
    ------
    DataError
        If the models' ids are of different types, or they share none.
    """
    now, before = _OneSide.of(model, side), _OneSide.of(previous, side)
    if now.ids.type != before.ids.type or now.other_ids.type != before.other_ids.type:
        raise DataError(
            f"the previous model has {before.ids.type} and {before.other_ids.type} ids",
            where="previous",
            expected=f"{now.ids.type} and {now.other_ids.type}",
        )
    shared = _places(now.other_ids, before.other_ids)
    mainstays = _most_counted(np.where(shared >= 0, now.other_counts, -1))
    mainstays = mainstays[shared[mainstays] >= 0]
    rows = _places(now.ids, before.ids)
    known = rows >= 0
    if not len(mainstays) or not known.any():
        raise DataError(
            f"the previous model shares no {side}s or none of what they rate",
            where="previous",
            expected="an earlier model of the same users and items",
        )
    change = now.predict(mainstays)[known] - before.predict(shared[mainstays])[rows[known]]
    values = np.zeros(len(rows), np.float32)
    values[known] = np.sqrt(np.mean(change.astype(np.float64) ** 2, axis=1))
    return pa.array(values, mask=~known)


def write_block(model: Model, block: Block, path: Path) -> int:
    """Write predictions of all pairs of a block, user by user; return their number."""
    step = max(1, PAIRS_AT_ONCE // max(1, len(block.items)))
    items = model.item_ids.take(pa.array(block.items))
    schema = pa.schema(
        [("user", model.user_ids.type), ("item", model.item_ids.type), ("prediction", pa.float32())]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(block.users), step):
            users = block.users[start : start + step]
            pairs = np.repeat(users, len(block.items)), np.tile(block.items, len(users))
            table = pa.table(
                {
                    "user": model.user_ids.take(pa.array(pairs[0])),
                    "item": pa.concat_arrays([items] * len(users)),
                    "prediction": pa.array(model.predict_rows(*pairs)),
                },
                schema=schema,
            )
            writer.write_table(table)
    return len(block.users) * len(block.items)


class _OneSide(NamedTuple):
    """One side of a model, whichever it is, and what of the other side its features need."""

    ids: pa.Array
    factors: Float32
    biases: Float32
    counts: Int64
    other_ids: pa.Array
    other_factors: Float32
    other_biases: Float32
    other_counts: Int64
    mean: float

    @classmethod
    def of(cls, model: Model, side: Side) -> _OneSide:
        users = (model.user_ids, model.user_factors, model.user_biases, model.user_counts)
        items = (model.item_ids, model.item_factors, model.item_biases, model.item_counts)
        own, other = (users, items) if side == "user" else (items, users)
        return cls(*own, *other, model.mean)

    def predict(self, others: Int64) -> Float32:
        """Predict all own rows with some rows of the other side, float32, shape (rows, others)."""
        taste = self.factors @ self.other_factors[others].T
        return np.asarray(
            taste + self.biases[:, None] + (self.other_biases[others] + np.float32(self.mean)), np.float32
        )


def _most_counted(counts: Int64) -> Int64:
    return np.argsort(-counts, kind="stable")[:N_MAINSTAYS]


def _places(ids: pa.Array, among: pa.Array) -> Int64:
    return np.asarray(pc.fill_null(pc.index_in(ids, value_set=among), -1)).astype(np.int64)


def _vectors(factors: Float32) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(factors, np.float32).ravel())
    return (
        pa.FixedSizeListArray.from_arrays(flat, factors.shape[1])
        if factors.shape[1]
        else pa.nulls(len(factors))
    )
