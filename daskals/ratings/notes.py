"""Notes: what is told of an input that is read all the same, in arguments or in options as it came."""

from __future__ import annotations

import logging

from daskals.errors import DataError

FRAME = "frame"
"""What a table in memory is called: whoever hands one over reads of Python's arguments, not of options."""

_log = logging.getLogger("daskals.ratings")


def tell(note: DataError, input_name: str) -> None:
    """Log a message as a warning: of Python's arguments where the input is `FRAME`, else of options."""
    _log.warning(str(note) if input_name == FRAME else note.for_command())
