"""A night's outcome as tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from daskals.retrain.night import Outcome
from daskals.retrain.report import headline, is_number, tables
from jobs._terminal import cell


def print_night(console: Console, outcome: Outcome) -> None:
    """Print how a night ended: in one line, why, and the tables of its report."""
    console.print(cell(headline(outcome)), style="bold red" if outcome.code else "bold")
    console.print(cell(outcome.summary), soft_wrap=True)
    for title, header, rows in tables(outcome):
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        for place, name in enumerate(header):
            right = any(is_number(row[place]) for row in rows)
            table.add_column(name, justify="right" if right else "left")
        for row in rows:
            table.add_row(*map(cell, row), style="red" if "NO" in row else None)
        console.print(table)
