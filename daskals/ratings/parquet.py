"""Parquet files and directories of ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from daskals.errors import DataError
from daskals.ratings.columns import choose_columns
from daskals.ratings.convert import convert_table
from daskals.ratings.folders import partition_values
from daskals.ratings.raw import Origin, RawRatings
from daskals.ratings.time_columns import N_ROWS
from daskals.ratings.unread import note_unread


def read_parquet(
    paths: Sequence[Path],
    wanted: Mapping[str, str] | None,
    root: Path | None = None,
    *,
    clicks: bool = False,
) -> RawRatings:
    """Read Parquet files as one input, in the order given.

    Parameters
    ----------
    paths
        The files, with the same columns.
    wanted
        Role → name of the column, or None for the usual names.
    root
        Folder below which folders like `year=2015` are columns; None: they say nothing.
    clicks
        Whether rows without a rating are observations.

    Raises
    ------
    DataError
        Where a file cannot be read, lacks a column, or has it in another type than the others.
    """
    said = [{} if root is None else partition_values(path, root) for path in paths]
    own = [_columns(path) for path in paths]
    names = [
        choose_columns(
            [*found, *(name for name in parts if name not in found)], wanted, where=str(path), clicks=clicks
        )
        for path, found, parts in zip(paths, own, said, strict=True)
    ]
    note_unread(names[0], own[0], lambda name: _first_values(paths[0], name), where=str(paths[0]))
    tables: list[pa.Table] = []
    for path, name, found, parts in zip(paths, names, own, said, strict=True):
        chosen = name.by_role()
        stored = [column for column in chosen.values() if column in found]
        try:
            table = parquet.read_table(
                str(path),
                columns=stored,
                partitioning=None,
                coerce_int96_timestamp_unit="us",  # nanoseconds end in 2262, and would wrap around unseen
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(path, error) from None
        for column in (column for column in chosen.values() if column not in found):
            table = table.append_column(column, pa.array([parts[column]] * len(table), pa.string()))
        tables.append(table.select(list(chosen.values())).rename_columns(list(chosen)))
    origin = Origin(tuple((str(path), len(table)) for path, table in zip(paths, tables, strict=True)))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"files whose columns differ in type ({error})",
            where=origin.name,
            expected="one type a column",
            remedy="Make all files of the directory alike",
        ) from None
    return convert_table(table, names[0], origin)


def _first_values(path: Path, name: str) -> pa.Array:
    with parquet.ParquetFile(str(path), coerce_int96_timestamp_unit="us") as file:
        batches = file.iter_batches(batch_size=N_ROWS, columns=[name])
        try:
            first = next(batches, None)
        except (pa.ArrowException, OSError):  # what is not read may be damaged
            first = None
    return pa.array([]) if first is None or not first.num_columns else first.column(0)


def _columns(path: Path) -> list[str]:
    try:
        return list(parquet.read_schema(str(path)).names)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"cannot be read ({error})",
        where=str(path),
        expected="a complete Parquet file",
        remedy="Fetch or write the file again",
    )
