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
    """What was said of an input; `doubt`: that its ratings may be something else than ratings."""

    text: str
    doubt: bool = False


def take_note(text: str, *values: object, doubt: bool = False) -> None:
    """Log a text as a warning, its values put in as `logging` does, and keep it where notes are kept."""
    if not _log.isEnabledFor(logging.WARNING):
        return
    _log.warning(text, *values, stacklevel=2)
    kept = _kept.get()
    if kept is not None:
        kept.append(Note(text % values if values else text, doubt))


def tell(error: DataError, input_name: str, *, doubt: bool = False) -> None:
    """Note a message: of Python's arguments where the input is `FRAME`, else of options."""
    take_note("%s", str(error) if input_name == FRAME else error.for_command(), doubt=doubt)


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
