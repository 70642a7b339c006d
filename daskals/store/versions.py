"""Versions of a store: the first in its own folder, later ones below it, each a whole store that stays.

STORE/                     the first version
STORE/versions/000001/     the next, made visible by one rename; what it has in common is shared by hard links

Who opened a version goes on reading that version. The latest is the one of the greatest number.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daskals.errors import OutputError
from daskals.store.atomic_folder import staged_directory
from daskals.store.reader import RatingsStore, open_store
from daskals.store.remote import HEAD, VERSIONS, is_url
from daskals.store.sparse_group import is_sparse_group

_NUMBER = re.compile(r"\d{6,}")


def is_store(path: Path) -> bool:
    """Tell whether a folder is a store, or holds later versions of one; another's Zarr group is none."""
    return ((path / HEAD).is_file() and not is_sparse_group(path)) or bool(_later(path))


def latest_version(path: Path) -> Path:
    """Return the folder of a store's latest version: of `path` itself where there is no later one."""
    later = _later(path)
    return later[-1] if later else path


def open_latest(path: str | Path) -> RatingsStore:
    """Open the latest version of a store; raise StoreError where there is no store.

    At an address there is only one.
    """
    return open_store(path if is_url(path) else latest_version(Path(path)))


def list_versions(path: Path) -> list[RatingsStore]:
    """Open all versions of a store that are there, the oldest first."""
    first = [path] if (path / HEAD).is_file() else []
    return [open_store(folder) for folder in (*first, *_later(path))]


def next_number(path: Path) -> int:
    """Return the number of the version after the latest."""
    later = _later(path)
    return int(later[-1].name) + 1 if later else 1


@contextmanager
def new_version_folder(path: Path, number: int) -> Iterator[Path]:
    """Give a folder to fill, which becomes a version of the store when the block ends well.

    Files that are the same in the version before are shared with it. Raises OutputError if somebody else made
    that number meanwhile, or the folder cannot be written.
    """
    before = latest_version(path)
    target = path / VERSIONS / f"{number:06d}"
    try:
        with staged_directory(target, existing="refuse") as folder:
            yield folder
            _share(folder, before)
    except OutputError as error:
        if error.found != "already exists":
            raise
        raise OutputError(
            f"version {number} was made by somebody else meanwhile",
            where=str(path),
            expected="one who adds at a time",
            remedy="Run the command again",
        ) from None


def collect_versions(path: Path, keep: int) -> list[str]:
    """Remove all but the last `keep` versions of a store, the oldest first; return their folders.

    Who reads one of them meets an error, never half of the ratings. Raises OutputError if one cannot be
    removed.
    """
    first = [path] if (path / HEAD).is_file() else []
    versions = [*first, *_later(path)]
    removed = []
    for folder in versions[: max(0, len(versions) - max(1, keep))]:
        try:
            if folder == path:
                _remove_first(path)
            else:
                _discard(folder)
        except OSError as error:
            raise OutputError(
                f"cannot be removed ({error.strerror or error})",
                where=str(folder),
                expected="a folder that can be written",
                remedy="Check its permissions",
            ) from error
        removed.append(str(folder))
    return removed


def _later(path: Path) -> list[Path]:
    try:
        names = [entry for entry in (path / VERSIONS).iterdir() if _NUMBER.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=lambda entry: int(entry.name))


def _share(folder: Path, before: Path) -> None:
    """Replace files by links to the same ones of the version before, where the file system can."""
    for path in sorted(folder.rglob("*")):
        other = before / path.relative_to(folder)
        if not path.is_file() or not other.is_file() or not filecmp.cmp(path, other, shallow=False):
            continue
        link = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.link")
        with suppress(OSError):  # a copy does as well
            os.link(other, link)
            link.replace(path)


def _remove_first(path: Path) -> None:
    """Remove the version that lies in the store's own folder, its attributes first."""
    (path / HEAD).unlink()
    for entry in path.iterdir():
        if entry.name == VERSIONS:
            continue
        if entry.is_dir():
            _discard(entry)
        else:
            entry.unlink()


def _discard(folder: Path) -> None:
    doomed = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.doomed")
    folder.rename(doomed)  # out of sight first
    shutil.rmtree(doomed)
