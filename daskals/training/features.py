"""What is known of the rows of a side beside their ratings: a sparse matrix F, a block at a time.

A row's prior mean is F·W (`training.prior`). Columns come in groups, each scaled so that a row's
entries of a group add up to 1 (paper 1, section 4.5), or for `implicit` to unit length (SVD++):

- a column of the items' catalogue, one feature a value: `genres`, `year`, any other;
- `implicit`, who rated what: a feature for each row of the other side, present where there is a training
  rating. Held-out ratings never show.

Users have no catalogue: a catalogue column on their side is the mean of the items they rated in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.config import TrainConfig
from daskals.config.training import IMPROVING
from daskals.errors import ConfigError
from daskals.kernels.prior.features import FeatureRows, join_columns, mean_of_rows, number_patterns
from daskals.store.blocks import AnyBlock, block_of
from daskals.store.reader import RatingsStore, open_store
from daskals.store.timing import Timing
from daskals.store.weighing import check_has_timestamps
from daskals.types import Float32, Int64, RatingsBlock, Side

IMPLICIT = "implicit"

IMPLICIT_TAU = 0.007
"""λ of `ials` unless --tau says another; its ν is 1 unless --reg-exponent does (Rendle et al. 2022)."""


class FeatureSpec(NamedTuple):
    """Which features a side has.

    `side`: whose rows they describe; `columns`: names of the groups: catalogue columns and `implicit`, of
    dates those of the calendar; `sizes`: features of each group; W has a row for each, in this order;
    `timing`: the third side where they are of dates.
    """

    side: Side
    columns: tuple[str, ...]
    sizes: tuple[int, ...]
    timing: Timing | None = None

    @property
    def n_features(self) -> int:
        """Rows of W."""
        return sum(self.sizes)


class ItemColumn(NamedTuple):
    """One catalogue column as compressed rows: the values each item has.

    `indptr`: int64, shape (n_items + 1,); `indices`: int32: numbers of an item's values, ascending and
    distinct; `names`: the values as text, in order of first appearance.
    """

    indptr: Int64
    indices: np.ndarray[tuple[int], np.dtype[np.int32]]
    names: list[str]


def describe_features(store: RatingsStore, side: Side, columns: Sequence[str]) -> FeatureSpec:
    """Check that a side can have these features and count them.

    Raises ConfigError if a column is not in the catalogue, is named twice, or no item has a value in it.
    """
    where = f"--{side}-features"
    if len(set(columns)) < len(columns):
        raise ConfigError(
            f"a feature is named twice: {', '.join(columns)}", where=where, expected="each once"
        )
    sizes = []
    for column in columns:
        if column == IMPLICIT:
            sizes.append(store.n_items if side == "user" else store.n_users)
            continue
        names = read_item_column(store, column, where).names
        if not names:
            raise ConfigError(
                f"no item has {column}",
                where=where,
                expected="a catalogue that gives some items a value",
                remedy="Add a movies.csv to the ratings, name other features, or train with --model=als",
            )
        sizes.append(len(names))
    return FeatureSpec(side, tuple(columns), tuple(sizes))


def resolve_model(store: RatingsStore, config: TrainConfig) -> TrainConfig:
    """Settle what the options leave to the data: the model, and the features of both sides.

    `auto` is hierarchical where an item has genres or features are named, else als. Items of models with
    features get their genres unless other features are named; those of `ials` have none unless named.

    Raises ConfigError if the model is hierarchical and no side has features, DataError if what is of late is
    to count more in lists and the ratings have no timestamps.
    """
    for name in ("popularity_half_life", "own_half_life"):
        if share := getattr(config, name):
            check_has_timestamps(store, f"--{name.replace('_', '-')}", f"{share:g}")
    named = bool(config.item_features or config.user_features)
    has_genres = bool(store.genres().names)
    model = config.model
    if model == "auto":
        wants_none = config.solver in (*IMPROVING, "coordinate") or config.item_features == ()
        model = "hierarchical" if named or (has_genres and not wants_none) else "als"
    if model == "ials":
        own = {"tau": IMPLICIT_TAU, "reg_exponent": 1.0}
        given = {name: value for name, value in own.items() if name not in config.model_fields_set}
        features = {"item_features": config.item_features or (), "user_features": config.user_features or ()}
        fixed = {"units": "ratings", **features}
        return config.model_copy(update={**given, **fixed})
    config = config.model_copy(update={"units": config.taken_units})
    if model not in ("hierarchical", "bayes"):
        return config.model_copy(update={"model": model, "item_features": (), "user_features": ()})
    items = config.item_features
    if items is None:
        # without genres a Bayesian model needs no features; a hierarchical one says what it lacks
        items = ("genres",) if has_genres or (model == "hierarchical" and not named) else ()
    users = config.user_features or ()
    if model == "hierarchical" and not (items or users):
        raise ConfigError(
            "a hierarchical model without features",
            where="--item-features",
            expected="genres, implicit or another catalogue column",
            remedy="Name some, or train with --model=als",
        )
    return config.model_copy(update={"model": model, "item_features": items, "user_features": users})


def side_features(store: RatingsStore, config: TrainConfig) -> dict[Side, FeatureSpec]:
    """Describe the features of each side that has any, by a resolved configuration."""
    named: dict[Side, Sequence[str]] = {
        "user": config.user_features or (),
        "item": config.item_features or (),
    }
    return {side: describe_features(store, side, columns) for side, columns in named.items() if columns}


def date_features(timing: Timing) -> FeatureSpec | None:
    """Describe the features of a third side's dates; None where they have none."""
    calendar = timing.calendar
    return None if calendar is None else FeatureSpec("time", calendar.columns, calendar.sizes, timing)


def chosen_section(store: RatingsStore, asked: TrainConfig, config: TrainConfig) -> dict[str, Any]:
    """Tell, for a report, which model was asked for and taken, with which features, and what they lack."""
    features = side_features(store, config)
    return {
        "model": {"asked": asked.model, "taken": config.model, "relative_eta": config.relative_eta},
        "features": features_section(store, features),
        "notes": [note for spec in features.values() for note in describe_gaps(store, spec)],
    }


def features_section(store: RatingsStore, features: Mapping[Side, FeatureSpec]) -> dict[str, Any]:
    """Tell, for a report, each side's groups of features with the values of catalogue columns.

    W's rows are in this order; those of `implicit` are the rows of the other side.
    """
    return {
        side: [
            {"column": column, "n_features": size, "values": _names(store, column)}
            for column, size in zip(spec.columns, spec.sizes, strict=True)
        ]
        for side, spec in features.items()
    }


def _names(store: RatingsStore, column: str) -> list[str] | None:
    return None if column == IMPLICIT else read_item_column(store, column, "features").names


def describe_gaps(store: RatingsStore, spec: FeatureSpec) -> list[str]:
    """Say what the features leave out: items without a value, and features that only one item has."""
    notes = []
    for column in spec.columns:
        if column == IMPLICIT:
            continue
        values = read_item_column(store, column, "features")
        empty = int(np.count_nonzero(np.diff(values.indptr) == 0))
        if empty:
            notes.append(
                f"{empty:,} of {store.n_items:,} items have no {column}; their prior mean is zero in it"
            )
        single = int(np.count_nonzero(np.bincount(values.indices, minlength=len(values.names)) == 1))
        if single:
            notes.append(
                f"{single:,} of {len(values.names):,} {column} features describe one item only; "
                "they act as a second, weaker ridge on it"
            )
    return notes


def read_item_column(store: RatingsStore, column: str, where: str) -> ItemColumn:
    """Encode one column of the items' catalogue; a list column gives an item several values.

    Raises ConfigError, placed at `where`, if there is no such column.
    """
    if column == "genres":
        genres = store.genres()
        return ItemColumn(genres.indptr, genres.indices, genres.names)
    catalogue = store.catalogue()
    known = [] if catalogue is None else list(catalogue.column_names)
    if catalogue is None or column not in known:
        raise ConfigError(
            f"there is no catalogue column {column!r}",
            where=where,
            expected=f"{IMPLICIT}, genres" + "".join(f", {name}" for name in known if name != "genres"),
        )
    return _encode(catalogue[column].combine_chunks())


def load_features(
    store_path: str, spec: FeatureSpec, start: int, stop: int, ratings: AnyBlock
) -> FeatureRows:
    """Make the features of rows [start, stop) of a side; a pure task for workers.

    Parameters
    ----------
    store_path, spec
        Folder of the store; which features.
    start, stop
        Range of rows.
    ratings
        Training ratings of these rows: all that `implicit` and the users' columns may know.
    """
    if spec.timing is not None:
        return number_patterns(spec.timing.features(start, stop))
    store, block = open_store(store_path), block_of(ratings)
    parts = []
    for column, size in zip(spec.columns, spec.sizes, strict=True):
        if column == IMPLICIT:
            parts.append(implicit_rows(block, size))
            continue
        values = read_item_column(store, column, f"--{spec.side}-features")
        whole = _shares(values)
        if spec.side == "user":
            parts.append(mean_of_rows(block.indptr, block.indices, whole))
        else:
            first, last = whole.indptr[start], whole.indptr[stop]
            parts.append(
                FeatureRows(
                    whole.indptr[start : stop + 1] - first,
                    whole.indices[first:last],
                    whole.values[first:last],
                    size,
                    whole.patterns,
                )
            )
    rows = join_columns(parts)
    # rows with `implicit` are all different, and take the way that needs no patterns
    return rows if IMPLICIT in spec.columns else number_patterns(rows)


def implicit_rows(block: RatingsBlock, n_other: int) -> FeatureRows:
    """Return who rated what as features: 1/√n for each of a row's n training ratings."""
    counts = np.diff(block.indptr)
    scaled = 1.0 / np.sqrt(np.maximum(counts, 1))
    return FeatureRows(
        block.indptr,
        block.indices,
        np.repeat(scaled, counts).astype(np.float32),
        n_other,
        np.empty(0, np.int64),
    )


def _shares(column: ItemColumn) -> FeatureRows:
    counts = np.diff(column.indptr)
    values: Float32 = np.repeat(1.0 / np.maximum(counts, 1), counts).astype(np.float32)
    return FeatureRows(column.indptr, column.indices, values, len(column.names), np.empty(0, np.int64))


def _encode(column: pa.Array) -> ItemColumn:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        flat = column.flatten()
        counts = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    else:
        flat = column.drop_null()
        counts = np.asarray(pc.is_valid(column)).astype(np.int64)
    encoded = flat.cast(pa.string()).dictionary_encode()
    items = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    n_values = max(1, len(encoded.dictionary))
    distinct = np.unique(items * n_values + np.asarray(encoded.indices).astype(np.int64))
    indptr = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(np.bincount(distinct // n_values, minlength=len(counts)), out=indptr[1:])
    return ItemColumn(indptr, (distinct % n_values).astype(np.int32), encoded.dictionary.to_pylist())
