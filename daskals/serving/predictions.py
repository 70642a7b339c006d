"""Predictions for a file of pairs, written as Parquet that appears whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from daskals.config import ReadConfig
from daskals.errors import ANOTHER_NAME, DataError, OutputError
from daskals.model.fitted import Model
from daskals.ratings.columns import find_column, usual_names
from daskals.ratings.exact_ids import exact_ids
from daskals.ratings.text_table import read_text_table
from daskals.types import SIDES, Side


def predict_file(
    model: Model,
    pairs: Path,
    out: Path,
    config: ReadConfig,
    *,
    clip: bool,
    existing: Literal["refuse", "replace"],
    as_of: str | None = None,
) -> tuple[int, int]:
    """Predict every pair of a CSV, TSV or Parquet file.

    Parameters
    ----------
    model
        The model.
    pairs
        File with a user and an item column.
    out
        Parquet file to write: the two columns, `prediction` (float32), `known_user`, `known_item` (bool),
        and of Bayesian models `deviation` (float32), the predictive standard deviation.
    config
        Its `columns` name the columns; without them the usual names are looked for.
    clip
        Keep predictions within the rating scale.
    existing
        What to do with a file that is already there.
    as_of
        Day to predict for, of a model that knows dates; None for the one it is as of.

    Returns
    -------
    tuple of int
        Pairs whose user and item are both known, and all pairs.

    Raises
    ------
    OutputError
        If `out` is there and must not be replaced, or cannot be written.
    """
    if existing == "refuse" and out.exists():
        raise OutputError(
            "already exists",
            where=str(out),
            expected="a name that is free",
            remedy="Add --overwrite, or choose another",
        )
    table = read_pairs(model, pairs, config)
    user, item = table.column_names
    predictions = model.predict(table[user], table[item], clip=clip, as_of=as_of)
    result = (
        table.append_column("prediction", pa.array(predictions.rating))
        .append_column("known_user", pa.array(predictions.known_user))
        .append_column("known_item", pa.array(predictions.known_item))
    )
    if predictions.deviation is not None:
        result = result.append_column("deviation", pa.array(predictions.deviation))
    _write_parquet(result, out)
    return int((predictions.known_user & predictions.known_item).sum()), len(result)


def read_pairs(model: Model, path: Path, config: ReadConfig) -> pa.Table:
    """Read the user and the item column of a file, in the model's types where all ids can be the model's.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or holds ids that are empty.
    """
    whole = read_text_table(path, "a CSV, TSV or Parquet file of pairs")
    own = model.report["config"].get("columns") or {}
    names = [_choose(whole.column_names, config, side, path, own.get(side)) for side in SIDES]
    table = whole.select(names)
    for name in names:
        if table[name].null_count:
            row = table[name].is_null().index(value=True).as_py() + 1
            raise DataError(
                "an id is empty",
                where=f"{path}, row {row}, column '{name}'",
                expected="an id in every row",
            )
    for place, (name, own) in enumerate(zip(names, (model.user_ids, model.item_ids), strict=True)):
        ids = exact_ids(table[name], own.type)
        if not ids.null_count:  # else some are foreign: the column stays as it was read
            table = table.set_column(place, name, ids)
    return table


def _choose(found: Sequence[str], config: ReadConfig, side: Side, path: Path, own: str | None) -> str:
    """Return the column of a side: as it is named, as the ratings that trained call it, or as is usual."""
    named = (config.columns or {}).get(side)
    usual = own if own in found else find_column(found, side)
    name = usual if named is None else named
    if name is not None and name in found:
        return name
    raise DataError(
        f"the column for the {side} is missing; columns found: {', '.join(found)}",
        where=str(path),
        expected=f"a column {usual_names(side) if named is None else repr(named)}",
        remedy="Name the columns with --columns=user=…,item=…",
    )


def _write_parquet(table: pa.Table, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, temporary)
        temporary.replace(out)
    except OSError as error:
        raise OutputError.unwritable("place", out, error, remedy=ANOTHER_NAME) from error
    finally:
        temporary.unlink(missing_ok=True)
