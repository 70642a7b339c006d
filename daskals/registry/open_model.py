"""Opening a model from wherever it is: its folder, its run's folder, or a registry's champion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from daskals.model.fitted import Model
from daskals.registry.registry import CHAMPION, HEAD, Registry

Stamp: TypeAlias = tuple[str | int, ...]
"""Tells one model from the next at the same place: another stamp means another model."""


class OpenModel(NamedTuple):
    """A model, and the folder that workers can read it from while it is open."""

    model: Model
    folder: Path


def is_registry(where: str | Path) -> bool:
    """Tell whether a place is a registry, by its address or by what lies there."""
    return str(where).startswith("s3://") or (Path(where) / HEAD).is_file()


@contextmanager
def open_model(where: str | Path) -> Iterator[OpenModel]:
    """Load a model and keep its files from being removed while the block runs.

    Raises
    ------
    ModelError, RegistryError
        If there is no model, no champion, or part of it is damaged.
    """
    if not is_registry(where):
        yield OpenModel(Model.load(where), Path(where).absolute())
        return
    with Registry(where).reading(CHAMPION) as reading:
        yield OpenModel(Model.load(reading.folder), reading.folder.absolute())


def load_model(where: str | Path) -> Model:
    """Load a model from its folder, its run's folder, or a registry, whose champion it then is."""
    with open_model(where) as found:
        return found.model


def stamp_of(where: str | Path) -> Stamp | None:
    """Return what tells whether another model was published at a place, None where there is none.

    Raises
    ------
    RegistryError
        If a registry has no champion, or its format is not known.
    """
    if is_registry(where):
        return (Registry(where).resolve(CHAMPION),)
    for folder in (Path(where) / "model", Path(where)):
        try:
            found = (folder / "zarr.json").stat()
        except OSError:
            continue
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None
