"""Ratings in files, the one door for them: folders, text files, JSON, Parquet, matrices."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from daskals.ratings.assemble import assemble
from daskals.ratings.catalogue import Catalogue
from daskals.ratings.columns import check_columns
from daskals.ratings.delimited import read_delimited
from daskals.ratings.duplicates import Duplicates
from daskals.ratings.finding import note_catalogue, ratings_files, require_file
from daskals.ratings.foreign import refuse_foreign
from daskals.ratings.headed import is_headed, read_headed
from daskals.ratings.json_records import is_json, read_json
from daskals.ratings.matrices import is_matrix, read_matrix
from daskals.ratings.movielens import catalogue_files, read_catalogue
from daskals.ratings.packing import is_parquet
from daskals.ratings.parquet import read_parquet
from daskals.ratings.raw import Invalid, RawRatings
from daskals.ratings.sniff import Header, find_layout
from daskals.ratings.table import RatingsTable


def read_ratings(
    path: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
    leave_out: Collection[float] = (),
    until: int | None = None,
    header: Header = "find",
    catalogue: Catalogue | None = None,
    least: int = 2,
    clicks: bool = False,
) -> RatingsTable:
    """Read, validate and number the ratings of a folder or file.

    Parameters
    ----------
    path
        A MovieLens folder of any generation, a text file or records of JSON, compressed or not, a sparse
        matrix, a Parquet file, a directory of Parquet files or of parts as Spark writes them, or the training
        file of an official pair (`u1.base`, with `u1.test` beside it: see `read_predefined`).
    columns
        Role (`user`, `item`, `rating`, `timestamp`) → name of the column; None for the usual names.
    duplicates
        Which rating of a duplicated pair holds: the last or first by timestamp (ties and inputs
        without timestamps: by file order), their mean or sum at the place of the last, or none (an error).
    invalid
        Whether a row that cannot be used ends the reading or is dropped and counted.
    leave_out
        Values that are no rating, as -1 or 99: their rows are dropped and counted.
    until
        Last second since 1970 of which anything may be known; everything if None.
    header
        Whether the first line of a text file may name its columns; without names they are 1, 2, ….
    catalogue
        What is known of the items, instead of what lies beside the ratings.
    least
        Users and items there have to be.
    clicks
        Whether rows without a rating are observations, though `columns` does not say so.

    Raises
    ------
    ConfigError
        Where `columns` is not understood.
    DataError
        For anything wrong with the input, with file, row, column and remedy.
    """
    path = Path(path)
    if path.suffix == ".base" and path.with_suffix(".test").is_file():
        inputs = InputFiles([path, path.with_suffix(".test")], n_base=1, header=header)
    else:
        root = path if path.is_dir() else None
        inputs = InputFiles(ratings_files(path, columns, clicks=clicks), root=root, header=header)
    return read_files(
        inputs,
        columns=columns,
        duplicates=duplicates,
        invalid=invalid,
        leave_out=leave_out,
        until=until,
        catalogue=catalogue,
        least=least,
        clicks=clicks,
    )


def read_predefined(
    base: str | PathLike[str],
    test: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
    leave_out: Collection[float] = (),
) -> RatingsTable:
    """Read an official pair of training and test ratings as one table.

    Parameters
    ----------
    base, test
        Two files of one layout, such as `u1.base` and `u1.test`; positions run through both, and
        `predefined_test` of the table tells which rating came from the second.
    columns, duplicates, invalid, leave_out
        As in `read_ratings`.

    Raises
    ------
    ConfigError, DataError
        As `read_ratings`.
    """
    for path in (Path(base), Path(test)):
        require_file(path)
    inputs = InputFiles([Path(base), Path(test)], n_base=1)
    return read_files(inputs, columns=columns, duplicates=duplicates, invalid=invalid, leave_out=leave_out)


@dataclass(frozen=True)
class InputFiles:
    """Files that are one input.

    Attributes
    ----------
    paths
        The files, of one layout; the first is the one whose catalogue is looked for.
    n_base
        The ratings of all but so many are those that the source itself tests; None: it has no split.
    root
        Folder below which the names of folders are columns, as `year=2015`; None: they say nothing.
    header
        Whether the first line of a text file may name its columns.
    """

    paths: Sequence[Path]
    n_base: int | None = None
    root: Path | None = None
    header: Header = "find"


def read_files(
    inputs: InputFiles,
    *,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "last",
    invalid: Invalid = "error",
    leave_out: Collection[float] = (),
    until: int | None = None,
    catalogue: Catalogue | None = None,
    least: int = 2,
    clicks: bool = False,
) -> RatingsTable:
    """Read files as one input.

    Parameters
    ----------
    inputs
        The files.
    columns, duplicates, invalid, leave_out, until
        As in `read_ratings`.
    catalogue, least, clicks
        As in `read_ratings`.
    """
    files = inputs.paths
    if columns is not None:
        check_columns(columns)
    beside = catalogue_files(files[0]) if catalogue is None else {}
    with ThreadPoolExecutor(1) as pool:
        fingerprints = pool.submit(_fingerprints, [*files, *beside.values()])
        raw = _read_raw(inputs, columns, clicks=clicks)
        if inputs.root is not None and catalogue is None and not beside:
            note_catalogue(inputs.root, files)
        catalogue = catalogue or read_catalogue(beside)
        how: dict[str, Any] = {"duplicates": duplicates, "invalid": invalid, "until": until, "least": least}
        table = assemble(raw, leave_out=leave_out, catalogue=catalogue, **how)
        if inputs.n_base is not None:
            n_base = sum(n_rows for _, n_rows in raw.origin.parts[: inputs.n_base])
            table = replace(table, predefined_test=table.positions >= n_base)
        sources = fingerprints.result()
        for source, (_, n_rows) in zip(sources, raw.origin.parts, strict=False):  # the catalogue has none
            source["rows"] = n_rows
        return replace(table, sources=sources)


def _read_raw(inputs: InputFiles, columns: Mapping[str, str] | None, *, clicks: bool) -> RawRatings:
    """Read files by what they are, not by what they are called."""
    files = inputs.paths
    refuse_foreign(files[0])
    if files[0].suffix == ".parquet" or is_parquet(files[0]):
        return read_parquet(files, columns, inputs.root, clicks=clicks)
    if len(files) == 1 and is_matrix(files[0]):
        return read_matrix(files[0])
    if is_json(files[0]):
        return read_json(files, columns, clicks=clicks)
    if is_headed(files[0]):
        return read_headed(files, columns)
    layout = find_layout(files[0], columns, inputs.header)
    return read_delimited(files, layout, columns, clicks=clicks)


def _fingerprints(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return name, size and SHA-256 of files; runs beside the parser, which leaves the GIL to it."""
    described: list[dict[str, Any]] = []
    for path in paths:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described.append({"name": path.name, "bytes": path.stat().st_size, "sha256": digest})
    return described
