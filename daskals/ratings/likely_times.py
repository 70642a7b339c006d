"""Whether a column's first values are times, by what they are and what it is called."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from daskals.errors import DataError
from daskals.ratings.numbers import plain_column
from daskals.ratings.times import LIKELY_FIRST, LIKELY_LAST, convert_timestamps

_ID = re.compile(r"(?i)id$|id_|number|phone|isbn|asin")

_log = logging.getLogger("daskals.ratings")


def looks_like_times(name: str, values: pa.Array) -> bool:
    """Tell whether the first values of a column, and what it is called, are those of times.

    Parameters
    ----------
    name
        Of the column: ids are no times, whatever they look like.
    values
        Its first values, of any type and shape (rows,).
    """
    column = plain_column(pa.chunked_array([values]).drop_null())
    if not len(column) or _ID.search(name):
        return False
    try:
        times = _converted(column)
    except (DataError, pa.ArrowException):
        return False
    return times is not None and bool(np.all((times >= LIKELY_FIRST) & (times < LIKELY_LAST)))


def can_be_times(texts: Sequence[str]) -> bool:
    """Tell whether texts are read as times, likely ones or not; without any there is no telling."""
    column = plain_column(pa.chunked_array([pa.array(texts, pa.string())]))
    try:
        return not len(column) or _converted(column) is not None
    except (DataError, pa.ArrowException):
        return False


def _converted(column: pa.ChunkedArray) -> np.ndarray | None:
    quiet, _log.disabled = _log.disabled, True  # nothing of it is read yet
    try:
        times = convert_timestamps(column, where="", name="")
    finally:
        _log.disabled = quiet
    return None if times.faults else times.values
