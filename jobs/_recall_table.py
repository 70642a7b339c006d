"""What indexes of vectors find of the exact lists, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from daskals.serving.index_recall import Recall
from jobs._terminal import cell, make_console

PLAIN_WIDTH = 120


def print_recalls(found: Sequence[Recall], n: int) -> None:
    """Print a line for each index and order of adding."""
    table = Table(box=None, header_style="bold")
    for name in ("library", "index", "items added"):
        table.add_column(name)
    for name in (f"recall@{n}", "s to build", "ms a list"):
        table.add_column(name, justify="right")
    for one in found:
        library = one.library.partition(".")[0]
        figures = (f"{one.recall:.4f}", f"{one.build_seconds:.2f}", f"{one.ms:.3f}")
        table.add_row(*map(cell, (library, one.kind, one.order)), *figures)
    make_console(plain_width=PLAIN_WIDTH).print(table)
