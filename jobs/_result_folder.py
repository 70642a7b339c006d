"""Folders of results that appear whole or not at all, and replace only what such a command made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daskals.errors import ConfigError, OutputError


def report_folder(model: str, out: Path | None, name: str) -> Path:
    """Return the folder of a report on MODEL: `out`, or one called `name` in the model's own.

    Raises ConfigError if MODEL is a registry, whose folder is no place for reports, and `out` is None.
    """
    from daskals.registry.open_model import is_registry

    if out is None and is_registry(model):
        raise ConfigError(
            f"found none, and MODEL {model} is a registry",
            where="--out",
            expected="a folder for the report",
            remedy="Name one with --out",
        )
    return Path(model) / name if out is None else out


@contextmanager
def result_folder(out: Path, marker: str, *, overwrite: bool) -> Iterator[Path]:
    """Make a folder to fill, published as `out` when the block ends well.

    Raises OutputError before any work, if `out` holds something that may not be replaced.
    """
    from daskals.store.atomic_folder import staged_directory

    taken = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if taken and not overwrite:
        raise OutputError(
            "already holds something",
            where=f"--out {out}",
            expected="a folder that is not there yet, or is empty",
            remedy="Choose another, or add --overwrite to replace the results it holds",
        )
    if taken and not (out / marker).is_file():
        raise OutputError(
            f"holds no {marker}",
            where=f"--out {out}",
            expected="a folder of earlier results, which --overwrite replaces",
            remedy="Choose another folder",
        )
    with staged_directory(out.absolute(), existing="replace" if overwrite else "refuse") as folder:
        yield folder
