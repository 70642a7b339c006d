"""Folders of ratings as their writers mean them: which files are data, and what the folders' names say."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from daskals.errors import DataError

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def data_files(folder: Path) -> list[Path]:
    """Return the files below a folder that are data, by name.

    What begins with `_` or `.`, a file or a folder of them, is none: unfinished and temporary parts, marks
    of success, checkpoints of notebooks, files of version control.

    Raises
    ------
    DataError
        If the folder, or one below it, is a Delta or Iceberg table: its files do not tell what is valid.
    """
    found: list[Path] = []
    refuse_table(folder)
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_dir():
            found += data_files(entry)
        elif entry.is_file():
            found.append(entry)
    return sorted(found)


def refuse_table(folder: Path) -> None:
    """Refuse a folder whose valid files only its log knows; raise DataError."""
    if (folder / "_delta_log").is_dir():
        raise _of_a_log(folder, "Delta", "deltalake.DeltaTable(FOLDER).to_pyarrow_table()")
    metadata = folder / "metadata"
    if metadata.is_dir() and any(metadata.glob("*.metadata.json")):
        raise _of_a_log(folder, "Iceberg", "pyiceberg's table.scan().to_arrow()")


def partition_values(file: Path, root: Path) -> dict[str, str | None]:
    """Return what the folders between a root and a file say in Hive's way, `name=value`; null has a name."""
    found: dict[str, str | None] = {}
    for part in file.relative_to(root).parts[:-1]:
        name, equals, value = part.partition("=")
        if equals and name:
            found[unquote(name)] = None if value == _NULL_PARTITION else unquote(value)
    return found


def _of_a_log(folder: Path, kind: str, reader: str) -> DataError:
    return DataError(
        f"a {kind} table, in whose folder deleted and replaced rows lie beside valid ones",
        where=str(folder),
        expected="files that all hold valid ratings",
        remedy=f"Read it with {reader}, and hand over the frame or a Parquet file of it",
    )
