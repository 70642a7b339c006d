"""Lists of items on a terminal and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs._terminal import cell, make_console

if TYPE_CHECKING:
    import pandas as pd


def print_items(frame: pd.DataFrame, figure: str, counted_as: str) -> None:
    """Print a list with rank, title, year, genres, figure and count; wide enough that no title is cut.

    A column of which nothing is known is left out.
    """
    table = Table(box=None, header_style="bold")
    told = [name for name in ("genre", "title", "year", "genres") if name in frame.columns]
    columns = [name for name in told if name != "year" or frame[name].notna().any()]
    columns = columns if "title" in columns else ["item", *columns]
    table.add_column("", justify="right")
    figures = [name for name in (figure, "stars") if name in frame.columns]
    right = {"year", *figures, counted_as}
    for name in (*columns, *figures, counted_as):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for rank, row in enumerate(records(frame), 1):
        cells = [", ".join(row[name] or ()) if name == "genres" else _text(row[name]) for name in columns]
        values = [_figure(row, name) for name in figures]
        table.add_row(str(rank), *map(cell, cells), *values, f"{row['n_ratings']:,}")
    make_console(plain_width=400).print(table)


def _figure(row: dict[str, Any], name: str) -> str:
    if name != "stars":
        return f"{row[name]:.3f}"
    deviation = row.get("stars_deviation")
    return f"{row[name]:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


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
