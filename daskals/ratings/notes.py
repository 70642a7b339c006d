"""Notes: what is told of an input that is read all the same, in arguments or in options as it came."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from daskals.errors import DataError

FRAME = "frame"
"""What a table in memory is called: whoever hands one over reads of Python's arguments, not of options."""

_log = logging.getLogger("daskals.ratings")

_kept: ContextVar[list[Note] | None] = ContextVar("_kept", default=None)


class Note(NamedTuple):
    """What was said of an input.

    Attributes
    ----------
    found
        What it is, or how it was read.
    doubt
        Whether it is that its ratings may be something else than ratings.
    remedy
        What was said behind it of what can be done, from its semicolon or full stop on; "" if nothing was.
    """

    found: str
    doubt: bool = False
    remedy: str = ""

    @property
    def text(self) -> str:
        """All that was said."""
        return self.found + self.remedy


def take_note(text: str, *values: object, remedy: str = "", doubt: bool = False) -> None:
    """Log a text as a warning, its values put in as `logging` does, and keep it where notes are kept.

    `remedy` is said behind it, and not again where the note is (`store.notes`).
    """
    if not _log.isEnabledFor(logging.WARNING):
        return
    note = Note(text % values if values else text, doubt, remedy)
    _log.warning("%s", note.text, stacklevel=2)
    kept = _kept.get()
    if kept is not None:
        kept.append(note)


def tell(error: DataError, input_name: str, *, doubt: bool = False) -> None:
    """Note a message: of Python's arguments where the input is `FRAME`, else of options."""

    def said(of: DataError) -> str:
        return str(of) if input_name == FRAME else of.for_command()

    whole = found = said(error)
    if error.remedy:
        found = said(DataError(error.found, where=error.where, expected=error.expected)).removesuffix(".")
    take_note("%s", found, remedy=whole.removeprefix(found), doubt=doubt)


@contextmanager
def kept_notes() -> Iterator[list[Note]]:
    """Give the list of what is noted in a block, in this thread; a block around it has it in the end."""
    kept: list[Note] = []
    before = _kept.get()
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)
        if before is not None:
            before.extend(kept)
