"""Columns that look like times and are not read: said once, for missing them is silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from daskals.errors import DataError
from daskals.ratings.columns import ColumnNames, find_column
from daskals.ratings.likely_times import looks_like_times
from daskals.ratings.missing_columns import columns_option
from daskals.ratings.notes import tell
from daskals.ratings.times import A_TIME

N_ROWS = 20
"""Rows that are looked at."""


def note_unread_times(
    names: ColumnNames, found: Sequence[str], sample: Callable[[str], pa.Array], *, where: str
) -> None:
    """Say which column looks like times, where the ratings are read without any.

    Parameters
    ----------
    names
        The columns that are read.
    found
        All columns.
    sample
        Returns a column's first values.
    where
        File or frame, for the note.
    """
    if names.timestamp is not None:
        return
    read = names.by_role()
    usual = find_column(found, "timestamp")
    for name in found if usual is None else [usual, *found]:
        if name in read.values() or not looks_like_times(name, sample(name)):
            continue
        said = columns_option({**read, "timestamp": name})
        _note(f"though column '{name}' looks like them", where, remedy=f"Name it with {said}")
        return


def note_no_times(names: ColumnNames, found: str, *, where: str) -> None:
    """Say that a column which is called like times holds something else, so that the ratings have none.

    Parameters
    ----------
    names
        The columns, with that one.
    found
        What it holds.
    where
        File or frame.
    """
    remedy = "Write such times, or name another column with --columns=user=…,item=…,rating=…,timestamp=…"
    _note(f"for column '{names.timestamp}' holds {found}", where, expected=A_TIME, remedy=remedy)


def _note(why: str, where: str, *, expected: str = "", remedy: str) -> None:
    note = DataError(f"read without times, {why}", where=where, expected=expected, remedy=remedy)
    tell(note, where)


def sample_of(columns: Mapping[str, Sequence[object]]) -> Callable[[str], pa.Array]:
    """Return what gives the first values of a column, as texts where Arrow has no type for all of them.

    Parameters
    ----------
    columns
        First values by name.
    """

    def sample(name: str) -> pa.Array:
        values = columns.get(name, ())[:N_ROWS]
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            return pa.array([None if value is None else str(value) for value in values], pa.string())

    return sample
