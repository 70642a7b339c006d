"""Ratings in files, the one door for them: folders, text files, JSON, Parquet, matrices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from daskals.ratings.assemble import assemble
from daskals.ratings.delimited import read_delimited
from daskals.ratings.finding import ratings_files, require_file
from daskals.ratings.foreign import refuse_foreign
from daskals.ratings.headed import is_headed, read_headed
from daskals.ratings.json_records import is_json, read_json
from daskals.ratings.matrices import is_matrix, read_matrix
from daskals.ratings.movielens import catalogue_files, read_catalogue
from daskals.ratings.packing import is_parquet
from daskals.ratings.parquet import read_parquet
from daskals.ratings.raw import RawRatings
from daskals.ratings.reading import AS_USUAL, Reading
from daskals.ratings.sniff import find_layout
from daskals.ratings.table import RatingsTable
from daskals.ratings.titles_beside import note_catalogue


def read_ratings(path: str | PathLike[str], reading: Reading = AS_USUAL) -> RatingsTable:
    """Read, validate and number the ratings of a folder or file.

    Parameters
    ----------
    path
        A MovieLens folder of any generation, a text file or records of JSON, compressed or not, a sparse
        matrix, a Parquet file, a directory of Parquet files or of parts as Spark writes them, or the training
        file of an official pair (`u1.base`, with `u1.test` beside it: see `read_predefined`).
    reading
        How they are read.

    Raises
    ------
    DataError
        For anything wrong with the input, with file, row, column and remedy.
    """
    path = Path(path)
    if path.suffix == ".base" and path.with_suffix(".test").is_file():
        inputs = InputFiles([path, path.with_suffix(".test")], n_base=1)
    else:
        root = path if path.is_dir() else None
        inputs = InputFiles(ratings_files(path, reading.columns, clicks=reading.clicks), root=root)
    return read_files(inputs, reading)


def read_predefined(
    base: str | PathLike[str], test: str | PathLike[str], reading: Reading = AS_USUAL
) -> RatingsTable:
    """Read an official pair of training and test ratings as one table.

    Parameters
    ----------
    base, test
        Two files of one layout, such as `u1.base` and `u1.test`; positions run through both, and
        `predefined_test` of the table tells which rating came from the second.
    reading
        How they are read.

    Raises
    ------
    DataError
        As `read_ratings`.
    """
    for path in (Path(base), Path(test)):
        require_file(path)
    return read_files(InputFiles([Path(base), Path(test)], n_base=1), reading)


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
    """

    paths: Sequence[Path]
    n_base: int | None = None
    root: Path | None = None


def read_files(inputs: InputFiles, reading: Reading = AS_USUAL) -> RatingsTable:
    """Read files as one input; raise DataError as `read_ratings`.

    Parameters
    ----------
    inputs
        The files.
    reading
        How they are read.
    """
    files = inputs.paths
    beside = catalogue_files(files[0]) if reading.catalogue is None else {}
    with ThreadPoolExecutor(1) as pool:
        fingerprints = pool.submit(_fingerprints, [*files, *beside.values()])
        raw = _read_raw(inputs, reading)
        if inputs.root is not None and reading.catalogue is None and not beside:
            note_catalogue(inputs.root, files)
        table = assemble(raw, replace(reading, catalogue=reading.catalogue or read_catalogue(beside)))
        if inputs.n_base is not None:
            n_base = sum(n_rows for _, n_rows in raw.origin.parts[: inputs.n_base])
            table = replace(table, predefined_test=table.positions >= n_base)
        sources = fingerprints.result()
        for source, (_, n_rows) in zip(sources, raw.origin.parts, strict=False):  # the catalogue has none
            source["rows"] = n_rows
        return replace(table, sources=sources)


def _read_raw(inputs: InputFiles, reading: Reading) -> RawRatings:
    """Read files by what they are, not by what they are called."""
    files, columns, clicks = inputs.paths, reading.columns, reading.clicks
    refuse_foreign(files[0])
    if files[0].suffix == ".parquet" or is_parquet(files[0]):
        return read_parquet(files, columns, inputs.root, clicks=clicks)
    if len(files) == 1 and is_matrix(files[0]):
        return read_matrix(files[0])
    if is_json(files[0]):
        return read_json(files, columns, clicks=clicks)
    if is_headed(files[0]):
        return read_headed(files, columns)
    layout = find_layout(files[0], columns, reading.header)
    return read_delimited(files, layout, columns, clicks=clicks)


def _fingerprints(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return name, size and SHA-256 of files; runs beside the parser, which leaves the GIL to it."""
    described: list[dict[str, Any]] = []
    for path in paths:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described.append({"name": path.name, "bytes": path.stat().st_size, "sha256": digest})
    return described
