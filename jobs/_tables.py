"""Lists of items on a terminal and as JSON, users named on the command line, and the progress of parts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from daskals.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

    from daskals.model.fitted import Model
    from daskals.types import Int64

USER_COLUMNS = ("user", "user_id", "userId")


def print_items(frame: pd.DataFrame, figure: str) -> None:
    """Print a list with rank, title, year, genres and its figure; wide enough that no title is cut."""
    table = Table(box=None, header_style="bold")
    columns = [name for name in ("genre", "title", "year", "genres") if name in frame.columns]
    columns = columns if "title" in columns else ["item", *columns]
    table.add_column("", justify="right")
    for name in (*columns, figure, "ratings"):
        table.add_column(
            name, justify="right" if name in ("year", figure, "ratings") else "left", no_wrap=True
        )
    for rank, row in enumerate(records(frame), 1):
        cells = [", ".join(row[name]) if name == "genres" else _text(row[name]) for name in columns]
        table.add_row(str(rank), *cells, f"{row[figure]:.3f}", f"{row['n_ratings']:,}")
    width = None if sys.stdout.isatty() else 400
    Console(width=width, highlight=False).print(table)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a list as JSON can hold them."""
    import pyarrow as pa

    lines: list[dict[str, Any]] = pa.Table.from_pandas(frame, preserve_index=False).to_pylist()
    for rank, line in enumerate(lines, 1):
        line["rank"] = rank
        if isinstance(line.get("year"), float):
            line["year"] = None if line["year"] != line["year"] else int(line["year"])
    return lines


def user_rows(model: Model, path: Path | None, named: tuple[str, ...]) -> Int64 | None:
    """Return the rows of the users of a file or of the command line, None for all users.

    Raises
    ------
    ConfigError
        If both are given.
    DataError
        If the file cannot be read, or a user is not known.
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
        raise DataError(
            f"{len(unknown):,} {'user is' if len(unknown) == 1 else 'users are'} not in the model: "
            f"{', '.join(unknown[:3])}{more}",
            where="--user" if path is None else str(path),
            expected=f"ids such as {model.user_ids[0].as_py()}",
        )
    return np.unique(rows)


def _read_users(path: Path) -> list[Any]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    expected = f"a CSV or Parquet file with a column {', '.join(USER_COLUMNS[:-1])} or {USER_COLUMNS[-1]}"
    if not path.is_file():
        raise DataError("does not exist", where=str(path), expected=expected)
    try:
        table = pq.read_table(path) if path.suffix in {".parquet", ".pq"} else arrow_csv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path), expected=expected) from None
    for name in USER_COLUMNS:
        if name in table.column_names:
            return list(table[name].to_pylist())
    raise DataError(f"has the columns {', '.join(table.column_names)}", where=str(path), expected=expected)


class PartProgress:
    """Shows how many rows are done: a bar on a terminal, nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self.total = 0
        self.seconds = 0.0
        self._what = what
        self._bar = Progress(transient=True, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> PartProgress:
        self._started = time.perf_counter()
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self.seconds = time.perf_counter() - self._started

    def __call__(self, done: int, total: int) -> None:
        """Take note of a finished part."""
        self.total = total
        self._bar.update(self._task, completed=done, total=total)
