"""Checkpoints of a training run on disk: one folder each, whole or absent, the last two kept.

FOLDER/epoch-000005/     a Zarr v3 group; its attributes are the manifest
  <name>                 the state's arrays, every chunk with its checksum
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from numpy.typing import NDArray
from pydantic import Field

from daskals.errors import OutputError, StoreError
from daskals.store.arrays import (
    open_for_reading,
    open_for_writing,
    read_attributes,
    read_whole,
    write_array,
    write_group,
)
from daskals.store.atomic_folder import staged_directory
from daskals.store.checked import checked
from daskals.store.layout import check_version
from daskals.store.ranges import check_finite

STATE_FORMAT = "daskals-state"
STATE_FORMAT_VERSION = 1
KEPT = 2

_REMEDY = "Restore it from a copy, or begin anew"
_NAME = re.compile(r"epoch-(\d{6,})")


@dataclass(frozen=True)
class _Manifest:
    """What every state's attributes must hold."""

    arrays: dict[str, tuple[Annotated[int, Field(ge=0)], ...]]
    identity: dict[str, Any]
    history: list[dict[str, Any]]


class StoredState(NamedTuple):
    """A state as stored: attributes for JSON, and arrays by name."""

    attributes: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def write_state(
    folder: Path, epoch: int, attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a state, whole or not at all, and remove all but the last two.

    Raises OutputError if the folder cannot be written.
    """
    target = folder / f"epoch-{epoch:06d}"
    with staged_directory(target.absolute(), existing="replace") as staged:
        store = open_for_writing(staged)
        try:
            for group in sorted({name.rpartition("/")[0] for name in arrays}):
                write_group(store, group, {})
            for name, values in arrays.items():
                write_array(store, name, values)
            shapes = {name: list(values.shape) for name, values in arrays.items()}
            described = {"format": STATE_FORMAT, "format_version": STATE_FORMAT_VERSION, "arrays": shapes}
            # the group's own attributes come last: without them nothing in the folder counts as a state
            write_group(store, "", {**described, **attributes})
        finally:
            store.stop()
    for old in list_states(folder)[:-KEPT]:
        _discard(old)


def list_states(folder: Path) -> list[Path]:
    """Return the folders of the states, oldest first."""
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(named, key=lambda path: int(path.name.partition("-")[2]))


def all_states(folder: Path) -> list[Path]:
    """Return the folders of the states, of the run itself and of its parts."""
    return [state for place in (folder, *_parts(folder)) for state in list_states(place)]


def sweep(folder: Path) -> None:
    """Remove what a killed owner of the folder left half-written or half-removed."""
    for path in folder.glob(".epoch-*") if folder.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


def discard_states(folder: Path) -> None:
    """Remove all states of a run, newest first, so that an interruption leaves older ones."""
    for place in (folder, *_parts(folder)):
        sweep(place)
        for state in reversed(list_states(place)):
            _discard(state)
    for part in _parts(folder):
        shutil.rmtree(part, ignore_errors=True)


def read_state(path: Path) -> StoredState:
    """Read a state whole.

    Raises StoreError if part of it is missing or damaged, or its format is newer than this code.
    """
    store = open_for_reading(str(path))
    attributes = read_attributes(store, "")
    check_version(attributes, STATE_FORMAT, str(path))
    manifest = checked(
        _Manifest, attributes, str(path), StoreError, expected="attributes of a state", remedy=_REMEDY
    )
    arrays = {name: read_whole(store, name, shape) for name, shape in manifest.arrays.items()}
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            check_finite(values, name=name, where=str(path))
    return StoredState(attributes, arrays)


def _parts(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _NAME.search(path.name))


def _discard(state: Path) -> None:
    # out of the readers' sight first: a folder half removed is no state
    doomed = state.with_name(f".{state.name}.doomed")
    try:
        shutil.rmtree(doomed, ignore_errors=True)
        state.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise OutputError(
            f"cannot be removed ({error.strerror or error})",
            where=str(state),
            expected="a folder that can be written",
            remedy="Check its permissions",
        ) from error
