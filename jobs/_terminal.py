"""What commands print: every line and every table goes through here, so that text from data is only shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from daskals.errors import without_secrets
from daskals.ratings.shown_text import on_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print text, of one line or several, to standard output or error; addresses without secrets."""
    click.echo(on_terminal(without_secrets(str(text)), lines=True), err=err, nl=nl)


def cell(text: object) -> Text:
    """Return what a cell of a table shows; text of its own is read as mark-up."""
    from rich.text import Text

    return Text(on_terminal(text))


def make_console(*, plain_width: int | None = None, soft_wrap: bool = False) -> Console:
    """Return a console that reads no mark-up; where the output is no terminal, `plain_width` columns wide."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)
    if plain_width is None or console.is_terminal:
        return console
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap, width=plain_width)
