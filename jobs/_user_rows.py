"""Users named on the command line or in a file, as rows of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskals.errors import ConfigError, DataError
from jobs._terminal import say

if TYPE_CHECKING:
    from daskals.model.fitted import Model
    from daskals.types import Int64


def user_rows(model: Model, path: Path | None, named: tuple[str, ...]) -> Int64 | None:
    """Return the rows of the users of a file or of the command line, None for all users.

    Raises
    ------
    ConfigError
        If both are given.
    DataError
        If the file cannot be read, or none of the users is known; some unknown ones are told and left out.
    """
    import numpy as np

    if path is None and not named:
        return None
    if path is not None and named:
        raise ConfigError("found together with --user", where="--users", expected="one of the two")
    ids: list[Any] = list(named) if path is None else _read_users(path)
    if not ids:
        raise DataError("names no users", where=str(path), expected="at least one")
    rows = model.rows_of("user", ids)
    if (rows < 0).any():
        more = ", …" if (rows < 0).sum() > 3 else ""
        unknown = [str(ids[place]) for place in np.flatnonzero(rows < 0)]
        found = (
            f"{len(unknown):,} {'user is' if len(unknown) == 1 else 'users are'} not in the model: "
            f"{', '.join(unknown[:3])}{more}"
        )
        where = "--user" if path is None else str(path)
        if len(unknown) == len(ids):
            raise DataError(found, where=where, expected=f"ids such as {model.user_ids[0].as_py()}")
        say(f"{where}: {found}; the others are listed", err=True)
    return np.unique(rows[rows >= 0])


def _read_users(path: Path) -> list[Any]:
    from daskals.ratings.columns import KNOWN_NAMES, find_column
    from daskals.ratings.text_table import read_text_table

    expected = f"a CSV or Parquet file with a column {', '.join(KNOWN_NAMES['user'][:2])} or the like"
    table = read_text_table(path, expected)
    name = find_column(table.column_names, "user")
    if name is None:
        raise DataError(
            f"has the columns {', '.join(table.column_names)}", where=str(path), expected=expected
        )
    return list(table[name].to_pylist())
