"""New ratings of a night: which files are new, and what of them the store does not have."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError, DataError
from daskals.ingest import COMPANIONS
from daskals.ratings.columns import MissingColumnError
from daskals.ratings.dates import last_moment
from daskals.ratings.folders import data_files
from daskals.ratings.movielens import RATINGS_FILES
from daskals.ratings.packing import PACKED_SUFFIXES
from daskals.ratings.reading import Reading
from daskals.ratings.source import InputFiles, read_files
from daskals.ratings.table import RatingsTable
from daskals.retrain.config import RetrainConfig
from daskals.store.append import find_new
from daskals.store.reader import RatingsStore
from daskals.types import Int64

_log = logging.getLogger("daskals.ratings")

TEXTS = (".csv", ".tsv", ".dat", ".json", ".jsonl", ".ndjson")
SUFFIXES = (*TEXTS, *(text + packed for text in TEXTS for packed in PACKED_SUFFIXES), ".parquet")


@dataclass(frozen=True)
class Incoming:
    """New ratings.

    `table`: all that the files hold up to the date; `new`: bool, shape (ratings,): which of them the store
    does not have.
    """

    table: RatingsTable
    new: NDArray[np.bool_]

    @property
    def n_new(self) -> int:
        """Number of new ratings."""
        return int(np.count_nonzero(self.new))

    @property
    def files(self) -> list[str]:
        """Names of the ratings files, in the order of their rows."""
        return [str(source["name"]) for source in self.table.sources if "rows" in source]

    def groups(self, fewest: int) -> list[tuple[str, Int64]]:
        """Return name and places in `table` of new ratings by file, so that a good one cannot hide a bad one.

        Files with fewer than `fewest` new ratings, of which alone little can be said, are one group.
        """
        ends = np.cumsum([source["rows"] for source in self.table.sources if "rows" in source])
        places = np.flatnonzero(self.new)
        file_of = np.searchsorted(ends, self.table.positions[places], side="right")
        found, small = [], []
        for number, name in enumerate(self.files):
            own = places[file_of == number]
            if len(own) >= fewest:
                found.append((name, own))
            elif len(own):
                small.append((name, own))
        if small:
            name = small[0][0] if len(small) == 1 else f"{len(small)} small files"
            found.append((name, np.concatenate([own for _, own in small])))
        return found


def read_incoming(
    config: RetrainConfig, store: RatingsStore | None, digests: Mapping[str, str] | None = None
) -> Incoming | None:
    """Read the files that the store has not taken in completely; None where there are none.

    `digests` are those of all files where they are known, see `file_digests`. Raises DataError for anything
    wrong with the files, with file, row, column and remedy.
    """
    taken = set()
    if store is not None:
        taken = {source["sha256"] for source in store.sources if source.get("complete", True)}
    known = file_digests(config.data) if digests is None else digests
    files = [Path(path) for path, digest in known.items() if digest not in taken]
    if not files:
        return None
    table = _read(files, config, least=2 if store is None else 1)
    if table.n_later and config.duplicates == "sum":
        raise DataError(
            f"{table.n_later:,} rows are later than {config.as_of}, the first in {table.first_later}",
            where="--duplicates=sum",
            expected="files that end by then: what is read again another night would count twice",
            remedy="Wait until the night after, or write a file for each day",
        )
    if table.n_later:
        # what is left out now has to be read again
        table = replace(table, sources=[{**source, "complete": False} for source in table.sources])
    new = (
        np.ones(table.n_ratings, np.bool_)
        if store is None or config.duplicates == "sum"
        else find_new(store, table)
    )
    return Incoming(table, new)


def _read(files: Sequence[Path], config: RetrainConfig, *, least: int) -> RatingsTable:
    root = config.data if config.data.is_dir() else None
    try:
        reading = Reading.of(config, until=last_moment(config.as_of), least=least)
        return read_files(InputFiles(files, root=root), reading)
    except MissingColumnError as error:
        if len(files) == 1:
            raise
        raise MissingColumnError(
            error.found,
            where=error.where,
            expected=error.expected,
            remedy="Where it holds no ratings, take it out of the folder, or name the file that does with "
            f"--data=FILE. Else: {error.remedy}",
        ) from None


def file_digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every ratings file of a path, by its own path, in the order of their names.

    Raises ConfigError if the path does not exist, or a file cannot be read.
    """
    return {str(file): _digest(file) for file in incoming_files(path)}


def incoming_files(path: Path) -> list[Path]:
    """Return the ratings files of a path: itself, those of a MovieLens folder, or all below, by name.

    Raises ConfigError if the path does not exist.
    """
    if not path.exists():
        raise ConfigError(
            "does not exist",
            where=f"--data={path}",
            expected="a ratings file, or a folder that they arrive in",
            remedy="Check the path, and whether its disk is there",
        )
    if path.is_file():
        return [path]
    for name in RATINGS_FILES:
        if (path / name).is_file():
            return [path / name]
    found = [entry for entry in data_files(path) if entry.name not in COMPANIONS]
    others = [entry.name for entry in found if not _is_read(entry)]
    if others:
        _log.warning("%s: not read, by their names no ratings: %s", path, ", ".join(sorted(others)[:5]))
    return [entry for entry in found if _is_read(entry)]


def _is_read(file: Path) -> bool:
    """Tell whether a file's name is one of ratings: by its end, or a part as Spark, Hive and Flink write."""
    return file.name.endswith(SUFFIXES) or (file.name.startswith("part-") and not file.suffix)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror or error})",
            where=f"--data={path}",
            expected="files that this user may read",
            remedy="Check its permissions",
        ) from error
