"""What ratings are read without, though the input may have it: said once, for missing it is silent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from daskals.errors import DataError
from daskals.ratings.columns import LIKELY_KINDS, ColumnNames, first_known
from daskals.ratings.time_columns import FRAME, note_unread_times

N_SHOWN = 3
"""Kinds of events that are named."""

_log = logging.getLogger("daskals.ratings")


def note_unread(
    names: ColumnNames, found: Sequence[str], sample: Callable[[str], pa.Array], *, where: str
) -> None:
    """Say which column looks like times, and which tells kinds of events apart, where they are not read.

    Parameters
    ----------
    names
        The columns that are read.
    found
        All columns.
    sample
        Returns a column's first values.
    where
        File or frame, for the notes.
    """
    note_unread_times(names, found, sample, where=where)
    kind = first_known(found, LIKELY_KINDS)
    if (
        names.rating is not None
        or names.weight is not None
        or kind is None
        or kind in names.by_role().values()
    ):
        return
    kinds = pc.unique(sample(kind).drop_null()).to_pylist()
    if len(kinds) < 2:
        return
    listed = ", ".join(f"'{one}'" for one in kinds[:N_SHOWN]) + (", …" if len(kinds) > N_SHOWN else "")
    said = ",".join(f"{role}={column}" for role, column in names.by_role().items())
    note = DataError(
        f"column '{kind}' is not read: each row counts once, whatever it says ({listed}), and the rows of a "
        "pair add up",
        where=where,
        remedy=f"To tell them apart, write a column of numbers and name it with --columns={said},weight=…",
    )
    _log.warning(str(note) if where == FRAME else note.for_command())
