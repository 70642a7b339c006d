"""From ratings in any form to an open store: given stores as they are, files through a cache by content."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pandas as pd
import pyarrow as pa
import scipy.sparse

from daskals.cache import cache_folder
from daskals.config import JobConfig, ReadConfig
from daskals.config.arguments import check_path
from daskals.errors import ConfigError, DataError, OutputError
from daskals.ratings.catalogue import Catalogue
from daskals.ratings.datasets import DATASETS, fetch_dataset, suggest_name
from daskals.ratings.dates import last_moment
from daskals.ratings.exact_ids import exact_id, exact_ids
from daskals.ratings.frames import from_frame, from_sparse
from daskals.ratings.item_catalogue import read_items
from daskals.ratings.reading import Reading
from daskals.ratings.source import read_ratings
from daskals.ratings.synthetic import SYNTHETIC_NAMES, generate, synthetic_version
from daskals.ratings.table import RatingsTable
from daskals.ratings.tables import ArrowStream, is_table
from daskals.store.append import append
from daskals.store.copying import copy_store
from daskals.store.forget import forget_users
from daskals.store.notes import keeping_notes, tell_again
from daskals.store.reader import RatingsStore, open_store
from daskals.store.remote import is_url, place_of
from daskals.store.sparse_group import is_sparse_group, read_sparse_group
from daskals.store.versions import is_store, open_latest
from daskals.store.writer import write_store

RatingsSource: TypeAlias = (
    str | Path | pd.DataFrame | ArrowStream | scipy.sparse.sparray | scipy.sparse.spmatrix | RatingsStore
)
"""Ratings in a form that training takes: a path, an address, a name, a table (a Dask frame too), a matrix, an
open store."""

COMPANIONS = (
    "movies.csv", "tags.csv", "links.csv", "movie.csv", "tag.csv", "link.csv", "movies.dat", "tags.dat",
    "u.item", "u.genre",
)  # fmt: skip
"""Files beside a ratings file that are read with it; an official test part is another."""

STORE_GENERATION = 6
"""What the reader makes of a file, as a number: part of the names of cached stores, so that those of an older
reader are made anew.

To be raised whenever a file that was read gives another store now, or none: other columns found, dates read
that were none, rows dropped or added up otherwise, cells refused. `tests/store/test_ingest.py` holds what
some files give, and fails where that moves. Stores of before stay where they are: models name them.
"""


@contextmanager
def open_ratings(source: RatingsSource, config: ReadConfig, catalogue: Any = None) -> Iterator[RatingsStore]:
    """Open ratings in any form as a store.

    Frames and matrices become a store in a temporary folder, gone when the block ends; files and named
    data sets become one in the cache, found again while the files do not change.

    Parameters
    ----------
    source, config
        The ratings, and how they are read.
    catalogue
        A table of what the items are, instead of the file that `config` names; then files become a temporary
        store too.
    """
    if isinstance(source, RatingsStore):
        yield source
    elif isinstance(source, str | Path) and catalogue is None:
        yield resolve_store(source, config)
    else:
        with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
            yield write_store(_table_of(source, config, catalogue), Path(folder) / "store")


def ingest(
    source: str | Path,
    store: str | Path,
    config: ReadConfig | None = None,
    *,
    overwrite: Literal["refuse", "replace"] = "refuse",
    as_of: str | None = None,
) -> RatingsStore:
    """Read a ratings file, folder or named data set and write it as a store, whole or not at all.

    Parameters
    ----------
    source
        A file, a folder, the name of a data set, or a store in a folder where `store` is an address.
    store, config
        A folder, or an address such as `s3://BUCKET/NAME`, which is never replaced; how the ratings are read.
    overwrite
        What to do with a store that is there.
    as_of
        A date or moment: later ratings are left out before anything else is done.

    Raises
    ------
    DataError, DatasetError
        If the ratings cannot be used; the message names file, row and column.
    ConfigError
        If `source` or `store` is no path: a table is what `fit` takes.
    OutputError
        If the store cannot be written, or the place is taken.
    """
    check_path(source, "source")
    check_path(store, "store")
    target = place_of(store)
    if not is_url(target):
        table = read_table(source, config or ReadConfig(), as_of=as_of)
        return write_store(table, target, overwrite=overwrite, lineage=first_lineage(as_of))
    if overwrite == "replace":
        raise made_once(target)
    if as_of is None and not is_name(source) and is_store(Path(source)):
        return copy_store(open_latest(source), target)
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        return copy_store(ingest(source, Path(folder) / "store", config, as_of=as_of), target)


def made_once(url: str) -> OutputError:
    """Return the error that says that a store at an address never changes."""
    return OutputError(
        "a store at an address is made once and stays as it is",
        where=url,
        expected="an address that is free, or a folder",
        remedy="Change the store in a folder, and put it at another address with daskals ingest",
    )


def append_ratings(
    source: str | Path, store: str | Path, config: ReadConfig | None = None, *, as_of: str | None = None
) -> RatingsStore:
    """Read ratings and add them to a store as a new version; see `daskals.store.append.append`.

    Raises DataError or DatasetError if the ratings cannot be used (it names file, row and column); StoreError
    if there is no store to add to; OutputError if the store cannot be written, or somebody else added to it
    meanwhile.
    """
    config = config or ReadConfig()
    if is_url(store):
        raise made_once(str(store))
    open_latest(store)  # a missing store is said so before anything is read
    table = read_table(source, config, as_of=as_of, least=1)
    return append(store, table, duplicates=config.duplicates, as_of=as_of)


def forget_listed(store: str | Path, file: Path) -> RatingsStore:
    """Make a version of a store without the users that a text file lists, one id a line.

    Raises DataError if the file cannot be read, a line is no id, or the store knows none of them.
    """
    if is_url(store):
        raise made_once(str(store))
    opened = open_latest(store)
    try:
        lines = [line if line.strip() else "" for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot be read as user ids ({error})",
            where=str(file),
            expected=f"one id a line, of type {opened.user_ids.type}",
        ) from None
    ids = exact_ids(pa.array([line for line in lines if line], pa.string()), opened.user_ids.type)
    if ids.null_count:
        foreign = next(place for place, line in enumerate(lines) if line and exact_id(line, ids.type) is None)
        raise DataError(
            f"cannot be read as user ids (line {foreign + 1}, '{lines[foreign]}', is none of the store's)",
            where=str(file),
            expected=f"one id a line, of type {ids.type}, such as {opened.user_ids[0].as_py()}",
        )
    return forget_users(store, ids)


def first_lineage(as_of: str | None) -> dict[str, Any]:
    """Return the lineage of a store's first version: nothing, unless a date limits what it knows."""
    return {} if as_of is None else {"number": 0, "parent": None, "as_of": as_of}


def read_table(
    source: str | Path, config: ReadConfig, *, as_of: str | None = None, least: int = 2
) -> RatingsTable:
    """Read a ratings file, folder or named data set as it was known at a date or moment.

    `least` users and items there have to be: one is enough for what is added to others.

    Raises ConfigError if the date is none, and DataError or DatasetError if the ratings cannot be used.
    """
    until = None if as_of is None else last_moment(as_of)
    if is_name(source):
        if as_of is not None and source in SYNTHETIC_NAMES:
            raise ConfigError(
                f"found {as_of!r} with {source!r}",
                where="--as-of",
                expected="ratings from files, since a synthetic set is one whole",
            )
        return _named_table(str(source), config, until)
    return _read(Path(source), config, until, least=least)


def resolve_store(source: str | Path, config: ReadConfig | None = None) -> RatingsStore:
    """Open the store at a path or an address, or the cached one of files or a data set, made if need be."""
    config = config or ReadConfig()
    if is_name(source):
        return _resolve_name(str(source), config)
    if is_url(source):
        return open_store(source)
    path = Path(place_of(source))
    if is_store(path):
        return open_latest(path)
    key = _fingerprint(path, config)
    return _cached(f"{path.name or 'ratings'}-{key}", lambda: _read(path, config))


def job_store(job: JobConfig, default: str) -> RatingsStore:
    """Open the store that a command's `--data`, `--dataset` and `--store-url` name, `default` for none."""
    named = job.dataset if job.data is None else str(job.data)
    if job.store_url is None:
        return resolve_store(named or default, job)
    return (
        open_store(job.store_url) if named is None else copy_store(resolve_store(named, job), job.store_url)
    )


def is_name(source: str | Path) -> bool:
    """Tell whether a source is a data set's name: a bare word at which no file is found."""
    text = str(source)
    return isinstance(source, str) and "/" not in text and not Path(text).exists() and "." not in text


def _resolve_name(name: str, config: ReadConfig) -> RatingsStore:
    if name in SYNTHETIC_NAMES:
        return _cached(f"{name}-{synthetic_version(name)[:12]}", lambda: generate(name)[0])
    if name in DATASETS:
        return resolve_store(fetch_dataset(name), config)
    raise suggest_name(name)


def _named_table(name: str, config: ReadConfig, until: int | None) -> RatingsTable:
    if name in SYNTHETIC_NAMES:
        return generate(name)[0]
    if name in DATASETS:
        return _read(fetch_dataset(name), config, until)
    raise suggest_name(name)


def _table_of(source: RatingsSource, config: ReadConfig, catalogue: Any) -> RatingsTable:
    items = _items(config) if catalogue is None else read_items(catalogue, config.catalogue_columns)
    if isinstance(source, str | Path):
        return _read(Path(source), config, items=items)
    reading = Reading.of(config, catalogue=items)
    if is_table(source):
        return from_frame(source, reading)
    if scipy.sparse.issparse(source):
        return from_sparse(source, reading)
    raise DataError(
        f"ratings of type {type(source).__name__}",
        expected="a path, a data set's name, a table (pandas, Polars, Arrow, DuckDB, Dask), a SciPy sparse "
        "matrix, or a store",
        remedy="Collect what is lazy before",
    )


def _items(config: ReadConfig) -> Catalogue | None:
    return None if config.catalogue is None else read_items(config.catalogue, config.catalogue_columns)


def _read(
    path: Path,
    config: ReadConfig,
    until: int | None = None,
    items: Catalogue | None = None,
    least: int = 2,
) -> RatingsTable:
    reading = Reading.of(config, until=until, catalogue=items or _items(config), least=least)
    return read_sparse_group(path, reading) if is_sparse_group(path) else read_ratings(path, reading)


def _cached(name: str, make: Callable[[], RatingsTable]) -> RatingsStore:
    folder = cache_folder() / "stores" / name
    if (folder / "zarr.json").is_file():
        tell_again(folder)
        return open_store(folder)
    with keeping_notes(folder):
        table = make()
        try:
            return write_store(table, folder)
        except OutputError:
            # another process may have published the same store meanwhile: never replace what it reads
            if not (folder / "zarr.json").is_file():
                raise
            return open_store(folder)


def _fingerprint(path: Path, config: ReadConfig) -> str:
    """Tell files apart by place, size and time of change, and by how they are read."""
    if path.is_dir():
        files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    else:
        files = [path, *(path.with_name(name) for name in (*COMPANIONS, f"{path.stem}.test"))]
    if config.catalogue is not None:
        files = [*files, Path(config.catalogue)]
    stats = [(str(file.absolute()), file.stat()) for file in files if file.exists()]
    identity = {
        "generation": STORE_GENERATION,
        "files": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
        "options": config.model_dump(include=set(ReadConfig.model_fields)),
        "clicks": config.takes_clicks,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
