"""Which files of a folder hold the ratings: by usual names, else by the columns that they have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyarrow import parquet

from daskals.errors import DataError
from daskals.ratings.columns import REQUIRED, find_column
from daskals.ratings.folders import data_files, refuse_table
from daskals.ratings.heads import names_of
from daskals.ratings.likely_files import foreign_among, joined_files, likely_files
from daskals.ratings.movielens import RATINGS_FILES
from daskals.ratings.notes import take_note
from daskals.ratings.packing import STREAM_ERRORS, unpacked_name

_CALLED = re.compile(r"(?i)ratings?\.")
"""Of several files that may hold ratings, the one called so does."""

_HASHES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,}")
"""What Spark, Dask and pandas call parts by."""


def ratings_files(path: Path, wanted: Mapping[str, str] | None = None, *, clicks: bool = False) -> list[Path]:
    """Find the files that hold the ratings of a path.

    Parameters
    ----------
    path
        A file, or a folder: of MovieLens, of Parquet, of parts as Spark writes them, of one file, or of
        several of which one has the columns of ratings, or some whose names differ by their numbers alone.
    wanted
        Role → name of the column, or None for the usual names.
    clicks
        Whether files without a column of ratings are taken where none has one.

    Raises
    ------
    DataError
        Where there are none, or several that need not belong together.
    """
    if not path.is_dir():
        require_file(path)
        return [path]
    refuse_table(path)
    inner = _unpacked(path)
    refuse_table(inner)
    for name in RATINGS_FILES:
        if (inner / name).is_file():
            return [inner / name]
    files = data_files(path)
    parts = _parquet_parts(files) or _numbered_parts(files)
    if parts:
        return parts
    holding = files if len(files) == 1 else [file for file in files if _names_columns(file, wanted, REQUIRED)]
    holding = holding or _observed(path, files, wanted, clicks=clicks)
    called = [file for file in holding if _CALLED.match(file.name)]
    if len(_families(holding)) > 1 and len(_families(called)) == 1:
        holding = called
    if len(_families(holding)) > 1:
        raise DataError(
            f"several files of ratings, {_listed([file.name for file in holding])}",
            where=str(path),
            expected="one, or parts of one whose names differ by their numbers alone",
            remedy=f"Name one of them, as {_named(holding[:1])}, or put those that belong together into a "
            "folder, as part-1, part-2 …",
        )
    if len(files) > 1:
        take_note("%s: its ratings are in %s", path, _listed([file.name for file in holding]))
    return holding


def _observed(
    path: Path, files: Sequence[Path], wanted: Mapping[str, str] | None, *, clicks: bool
) -> list[Path]:
    """Return the files of a folder that may be meant where none names users, items and ratings.

    Of clicks, or without usual names: of files of one kind the reader tells what they lack.
    """
    observed = [file for file in files if _names_columns(file, wanted, ("user", "item"))]
    likely = observed or likely_files(files)
    if likely and (len(_families(likely)) == 1 or (clicks and observed)):
        return sorted(likely)
    raise _without_ratings(path, files, likely, clicks=clicks)


def require_file(path: Path) -> None:
    """Raise DataError where a path is no file."""
    if not path.is_file():
        raise DataError(
            "no such file or folder",
            where=str(path),
            expected="a MovieLens folder, a CSV, TSV, JSON or Parquet file, or a directory of Parquet files",
            remedy="Check the path",
        )


def _parquet_parts(files: Sequence[Path]) -> list[Path]:
    """Return the Parquet files among some where they are one input: of like names, or of the same columns."""
    parts = [part for part in files if part.suffix == ".parquet"]
    if len(_families(parts)) <= 1 or all(part.name.startswith("part") for part in parts):
        return parts
    try:
        columns = {tuple(sorted(parquet.read_schema(str(part)).names)) for part in parts}
    except STREAM_ERRORS:  # said where it is read
        return parts
    if len(columns) > 1:
        return []
    take_note("read as one input: %s", _listed([part.name for part in parts]))
    return parts


def _numbered_parts(files: Sequence[Path]) -> list[Path]:
    """Return the parts of one text that Spark, Hive or Flink wrote, if a folder holds nothing else."""
    alike = len({Path(unpacked_name(file)).suffix for file in files}) == 1
    parts = [file for file in files if file.name.startswith("part-")]
    # a part without rows may be a file without a byte
    return [part for part in parts if part.stat().st_size] if alike and len(parts) == len(files) else []


def _unpacked(path: Path) -> Path:
    """Return the folder that an archive was unpacked into: the only one in a folder of its name, say."""
    inside = [entry for entry in path.iterdir() if not entry.name.startswith(("_", "."))]
    return _unpacked(inside[0]) if len(inside) == 1 and inside[0].is_dir() else path


def _names_columns(path: Path, wanted: Mapping[str, str] | None, roles: Sequence[str]) -> bool:
    """Tell whether a file has columns of some roles, or those that are wanted; without names it has none."""
    found = names_of(path)
    if wanted is not None:
        return set(wanted.values()) <= set(found)
    return all(find_column(found, role) is not None for role in roles)


def _without_ratings(path: Path, files: Sequence[Path], likely: Sequence[Path], *, clicks: bool) -> DataError:
    foreign = None if likely else foreign_among(files)
    if foreign is not None:
        return foreign
    asked = "" if clicks else " or of clicks and plays train with --model=ials,"
    told = f",{asked} perhaps {_named(likely[:3])}" if likely else ""
    return DataError(
        f"a folder without ratings; it holds {_listed([str(file.relative_to(path)) for file in files])}",
        where=str(path),
        expected=f"one of {', '.join(RATINGS_FILES)}, Parquet files, files part-…, or one file that names "
        "columns of users, items and ratings",
        remedy=(None if likely else joined_files(files)) or f"Name the file that holds the ratings{told}",
    )


def _named(files: Sequence[Path]) -> str:
    return " or ".join(f"--data={file}" for file in files)


def _families(files: Sequence[Path]) -> set[str]:
    return {_alike(file) for file in files}


def _alike(file: Path) -> str:
    """Return a file's name without its numbers: those that differ by them alone are one input."""
    return re.sub(r"\d+", "0", _HASHES.sub("0", file.name))


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:10]) or "nothing") + (f" and {len(names) - 10} more" if len(names) > 10 else "")
