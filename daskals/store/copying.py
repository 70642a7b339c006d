"""Copies of a store at an address that workers reach, or in a folder that they share."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from daskals.errors import OutputError
from daskals.store.atomic_folder import staged_directory
from daskals.store.reader import RatingsStore, open_store
from daskals.store.remote import VERSIONS, holds, is_url, place_of, put_folder


def copy_store(store: RatingsStore, place: str | Path) -> RatingsStore:
    """Copy a store and its splits to an address or folder, compare byte by byte, and open the copy.

    Where the same ratings are already, nothing is done: a copy that was interrupted is not yet a store, and
    is made again. Raises OutputError if other ratings are there, or the place cannot be written; StoreError
    if the place cannot be reached.
    """
    target = place_of(place)
    if holds(target):
        there = open_store(target)
        if there.content_hash == store.content_hash:
            return there
        raise OutputError(
            f"already holds other ratings (content {there.content_hash[:12]}, not {store.content_hash[:12]})",
            where=target,
            expected="an address that is free, or the same ratings",
            remedy="Choose another address",
        )
    if is_url(target):
        put_folder(Path(store.path), target)
    else:
        _copy_to_folder(Path(store.path), Path(target))
    return open_store(target)


def _copy_to_folder(folder: Path, target: Path) -> None:
    with staged_directory(target, existing="refuse") as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", VERSIONS))
        for path in staged.rglob("*"):
            if path.is_file() and not filecmp.cmp(path, folder / path.relative_to(staged), shallow=False):
                raise OutputError(
                    f"{path.relative_to(staged)} reads unlike what was put there",
                    where=str(target),
                    expected="a disk that gives back what it was given",
                    remedy="Put the store there again",
                )
