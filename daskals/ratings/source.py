"""Ratings in files, the one door for them: folders, text files, Parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from daskals.errors import DataError
from daskals.ratings.assemble import assemble
from daskals.ratings.catalogue import Catalogue
from daskals.ratings.columns import check_columns
from daskals.ratings.delimited import read_delimited
from daskals.ratings.duplicates import Duplicates
from daskals.ratings.layout import layout_of
from daskals.ratings.movielens import RATINGS_FILES, catalogue_files, read_catalogue
from daskals.ratings.parquet import read_parquet
from daskals.ratings.raw import Invalid
from daskals.ratings.table import RatingsTable


def read_ratings(
    path: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
    until: int | None = None,
    catalogue: Catalogue | None = None,
) -> RatingsTable:
    """Read, validate and number the ratings of a folder or file.

    Parameters
    ----------
    path
        A MovieLens folder of any generation, a CSV or TSV file with a header (`.gz` or not), a Parquet
        file, a directory of Parquet files, or the training file of an official pair (`u1.base`, with
        `u1.test` beside it: see `read_predefined`).
    columns
        Role (`user`, `item`, `rating`, `timestamp`) → name of the column; None for the usual names.
    duplicates
        Which rating of a duplicated pair holds: the last or first by timestamp (ties and inputs
        without timestamps: by file order), their mean at the place of the last, or none (an error).
    invalid
        Whether a row that cannot be used ends the reading or is dropped and counted.
    until
        Last second since 1970 of which anything may be known; everything if None.
    catalogue
        What is known of the items, instead of what lies beside the ratings.

    Raises
    ------
    ConfigError
        Where `columns` is not understood.
    DataError
        For anything wrong with the input, with file, row, column and remedy.
    """
    path = Path(path)
    if path.suffix == ".base" and path.with_suffix(".test").is_file():
        files, n_base_files = [path, path.with_suffix(".test")], 1
    else:
        files, n_base_files = ratings_files(path), None
    return read_files(
        files,
        columns=columns,
        duplicates=duplicates,
        invalid=invalid,
        until=until,
        n_base_files=n_base_files,
        catalogue=catalogue,
    )


def read_predefined(
    base: str | PathLike[str],
    test: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
) -> RatingsTable:
    """Read an official pair of training and test ratings as one table.

    Parameters
    ----------
    base, test
        Two files of one layout, such as `u1.base` and `u1.test`; positions run through both, and
        `predefined_test` of the table tells which rating came from the second.
    columns, duplicates, invalid
        As in `read_ratings`.

    Raises
    ------
    ConfigError, DataError
        As `read_ratings`.
    """
    for path in (Path(base), Path(test)):
        _require_file(path)
    return read_files(
        [Path(base), Path(test)], columns=columns, duplicates=duplicates, invalid=invalid, n_base_files=1
    )


def read_files(
    files: Sequence[Path],
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
    until: int | None = None,
    n_base_files: int | None = None,
    catalogue: Catalogue | None = None,
) -> RatingsTable:
    """Read files of one layout as one input; the first is the one whose catalogue is looked for.

    Parameters
    ----------
    files
        The files.
    columns, duplicates, invalid, until
        As in `read_ratings`.
    n_base_files
        The ratings of all but so many are those that the source itself tests; None: it has no split.
    catalogue
        As in `read_ratings`.
    """
    if columns is not None:
        check_columns(columns)
    beside = catalogue_files(files[0]) if catalogue is None else {}
    with ThreadPoolExecutor(1) as pool:
        fingerprints = pool.submit(_fingerprints, [*files, *beside.values()])
        if files[0].suffix == ".parquet":
            raw = read_parquet(files, columns)
        else:
            raw = read_delimited(files, layout_of(files[0]), columns)
        catalogue = catalogue or read_catalogue(beside)
        table = assemble(raw, duplicates=duplicates, invalid=invalid, catalogue=catalogue, until=until)
        if n_base_files is not None:
            n_base = sum(n_rows for _, n_rows in raw.origin.parts[:n_base_files])
            table = replace(table, predefined_test=table.positions >= n_base)
        sources = fingerprints.result()
        for source, (_, n_rows) in zip(sources, raw.origin.parts, strict=False):  # the catalogue has none
            source["rows"] = n_rows
        return replace(table, sources=sources)


def ratings_files(path: Path) -> list[Path]:
    """Find the files that hold the ratings of a path; raise DataError where there are none."""
    if not path.is_dir():
        _require_file(path)
        return [path]
    for name in RATINGS_FILES:
        if (path / name).is_file():
            return [path / name]
    parts = sorted(part for part in path.rglob("*.parquet") if part.is_file())
    if parts:
        return parts
    inside = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join(inside[:10]) + (f" and {len(inside) - 10} more" if len(inside) > 10 else "")
    raise DataError(
        f"a folder without ratings; it holds {shown or 'nothing'}",
        where=str(path),
        expected=f"one of {', '.join(RATINGS_FILES)}, or Parquet files",
        remedy="Name the file that holds the ratings",
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(
            "no such file or folder",
            where=str(path),
            expected="a MovieLens folder, a CSV, TSV or Parquet file, or a directory of Parquet files",
            remedy="Check the path",
        )


def _fingerprints(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return name, size and SHA-256 of files; runs beside the parser, which leaves the GIL to it."""
    described: list[dict[str, Any]] = []
    for path in paths:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described.append({"name": path.name, "bytes": path.stat().st_size, "sha256": digest})
    return described
