"""Predictions for a file of pairs, written as Parquet that appears whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from daskals.config import ReadConfig
from daskals.errors import ANOTHER_NAME, DataError, OutputError
from daskals.model.fitted import Model
from daskals.ratings.columns import KNOWN_NAMES
from daskals.types import SIDES, Side


def predict_file(
    model: Model,
    pairs: Path,
    out: Path,
    config: ReadConfig,
    *,
    clip: bool,
    existing: Literal["refuse", "replace"],
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
    predictions = model.predict(table[user], table[item], clip=clip)
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
    """Read the user and the item column of a file, with ids in the model's types.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or holds ids that are empty or cannot be the model's.
    """
    types: dict[Side, pa.DataType] = {"user": model.user_ids.type, "item": model.item_ids.type}
    if not path.is_file():
        raise DataError("does not exist", where=str(path), expected="a CSV, TSV or Parquet file of pairs")
    try:
        if path.suffix in {".parquet", ".pq"}:
            found = pq.read_schema(path).names
            names = [_choose(found, config, side, path) for side in SIDES]
            table = pq.read_table(path, columns=names)
            table = table.cast(
                pa.schema([(name, types[side]) for name, side in zip(names, SIDES, strict=True)])
            )
        else:
            table = _read_text(path, config, types)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(
            f"cannot be read as pairs ({error})",
            where=str(path),
            expected=f"user ids of type {types['user']} and item ids of type {types['item']}",
        ) from None
    for name in table.column_names:
        if table[name].null_count:
            row = table[name].is_null().index(value=True).as_py() + 1
            raise DataError(
                "an id is empty",
                where=f"{path}, row {row}, column '{name}'",
                expected="an id in every row",
            )
    return table


def _read_text(path: Path, config: ReadConfig, types: dict[Side, pa.DataType]) -> pa.Table:
    parsing = arrow_csv.ParseOptions(delimiter="\t" if ".tsv" in path.suffixes else ",")
    with arrow_csv.open_csv(path, parse_options=parsing) as reader:
        found = reader.schema.names
    names = [_choose(found, config, side, path) for side in SIDES]
    return arrow_csv.read_csv(
        path,
        parse_options=parsing,
        convert_options=arrow_csv.ConvertOptions(
            include_columns=names,
            column_types={name: types[side] for name, side in zip(names, SIDES, strict=True)},
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _choose(found: Sequence[str], config: ReadConfig, side: Side, path: Path) -> str:
    named = (config.columns or {}).get(side)
    candidates = KNOWN_NAMES[side] if named is None else (named,)
    for name in candidates:
        if name in found:
            return name
    raise DataError(
        f"the column for the {side} is missing; columns found: {', '.join(found)}",
        where=str(path),
        expected=f"one of {', '.join(candidates)}",
        remedy="Name the columns with --columns user=…,item=…",
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
