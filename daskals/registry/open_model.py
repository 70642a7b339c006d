"""The one door to a saved model: its run's folder, its own folder, or the champion of a registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from daskals.config.arguments import check_path
from daskals.errors import ModelError
from daskals.model.fitted import Model
from daskals.registry.registry import CHAMPION, HEAD, Registry

FORMS = "a run's folder, a model's folder, or a registry (a folder or s3://BUCKET/PREFIX)"
"""What every command and call takes for a saved model."""

REMEDY = "Name one that daskals train or daskals models publish wrote"

Stamp: TypeAlias = tuple[str | int, ...]
"""Tells one model from the next at the same place: another stamp means another model."""


class OpenModel(NamedTuple):
    """A model as it was found, with the folder that workers can read it from while it is open.

    `name` is its run's or folder's name, or its version's id.
    """

    model: Model
    folder: Path
    name: str

    @property
    def report(self) -> dict[str, Any]:
        """Report of the training run, with its options and its `history`; ModelError if there is none."""
        report = self.model.report
        if "config" not in report or "history" not in report:
            raise ModelError(
                "has no report of a training run",
                where=str(self.folder),
                expected="the history of one trained model",
                remedy="Train it anew with daskals train",
            )
        return report


def is_registry(where: str | Path) -> bool:
    """Tell whether a place is a registry, by its address or by what lies there."""
    return str(where).startswith("s3://") or (Path(where) / HEAD).is_file()


@contextmanager
def open_model(where: str | Path) -> Iterator[OpenModel]:
    """Load a model and keep its files from being removed while the block runs.

    `where` is a run's folder, a model's folder, or a registry, whose champion is taken. Raises ModelError if
    no model is there, or part of it is damaged; RegistryError if a registry has no champion, or cannot be
    read.
    """
    if is_registry(where):
        with Registry(where).reading(CHAMPION) as reading:
            yield OpenModel(Model.load(reading.folder), reading.folder.absolute(), reading.manifest.id)
        return
    path = Path(where)
    folder = _model_folder(path)
    if folder is None:
        raise _no_model(path)
    yield OpenModel(Model.load(folder), folder.absolute(), path.resolve().name)


def load_model(where: str | Path) -> Model:
    """Load a model from a run's folder, a model's folder, or a registry, whose champion is taken.

    Raises as `open_model` does; ConfigError if `where` is no path.
    """
    check_path(where, "where")
    with open_model(where) as found:
        return found.model


def stamp_of(where: str | Path) -> Stamp | None:
    """Return what tells whether another model was published at a place, None where there is none.

    Raises RegistryError if a registry has no champion, or its format is not known.
    """
    if is_registry(where):
        return (Registry(where).resolve(CHAMPION),)
    folder = _model_folder(Path(where))
    if folder is None:
        return None
    try:
        found = (folder / "zarr.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _model_folder(path: Path) -> Path | None:
    for folder in (path / "model", path):
        if (folder / "zarr.json").is_file():
            return folder
    return None


def _no_model(path: Path) -> ModelError:
    """Return the error that says what is at a place instead of a model."""
    found, remedy = "holds no model", REMEDY
    if not path.exists():
        found = "does not exist"
    elif (path / "report.json").is_file() and _has_folds(path / "report.json"):
        found = "holds a cross-validation, which keeps no model"
        remedy = "Train one model on the same ratings with --split=random"
    elif (path / "checkpoints").is_dir() or (path / "run.lock").exists():
        found = "holds a run that did not end, and no model yet"
        remedy = "Wait for it, or continue it with `daskals train --resume`"
    return ModelError(found, where=str(path), expected=FORMS, remedy=remedy)


def _has_folds(report: Path) -> bool:
    try:
        return "folds" in json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
