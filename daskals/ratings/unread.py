"""What ratings are read without, though the input may have it: said once, for missing it is silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from daskals.errors import DataError
from daskals.ratings.columns import LIKELY_COUNTS, LIKELY_KINDS, ColumnNames, first_known
from daskals.ratings.guessing import are_kinds, are_numbers
from daskals.ratings.missing_columns import columns_option
from daskals.ratings.notes import tell
from daskals.ratings.time_columns import note_unread_times

_WEIGHTS = ("weight", "weights")
"""Names of a column beside ratings that says what each counts: told, never taken unasked."""

N_SHOWN = 3
"""Kinds of events that are named."""


def note_unread(
    names: ColumnNames, found: Sequence[str], sample: Callable[[str], pa.Array], *, where: str
) -> None:
    """Say which column looks like times, weights, counts or kinds of events, where they are not read.

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
    others = [name for name in found if name not in names.by_role().values()]
    _note_counts(names, others, sample, where=where)
    if names.rating is not None:
        return
    known = first_known(others, LIKELY_KINDS)
    kind = _unnamed_kinds(others, sample) if known is None or names.weight is not None else known
    kinds = [] if kind is None else pc.unique(sample(kind).drop_null()).to_pylist()
    if len(kinds) < 2:
        return
    counts = "once" if names.weight is None else f"what '{names.weight}' says"
    listed = ", ".join(f"'{one}'" for one in kinds[:N_SHOWN]) + (", …" if len(kinds) > N_SHOWN else "")
    said = columns_option({**names.by_role(), "weight": "…"})
    note = DataError(
        f"column '{kind}' is not read: each row counts {counts}, whatever it says ({listed}), and the rows "
        "of a pair add up",
        where=where,
        remedy=f"To tell them apart, write a column of numbers and name it with {said}",
    )
    tell(note, where)


def _note_counts(
    names: ColumnNames, others: Sequence[str], sample: Callable[[str], pa.Array], *, where: str
) -> None:
    """Say which column may tell how often, or what a rating counts, where each row counts once."""
    likely = LIKELY_COUNTS if names.rating is None else _WEIGHTS
    count = first_known(others, likely) if names.weight is None else None
    if count is None or not are_numbers([str(one) for one in sample(count).drop_null().to_pylist()]):
        return
    said = columns_option({**names.by_role(), "weight": count})
    note = DataError(
        f"column '{count}' is not read: each row counts once",
        where=where,
        remedy=f"Where it says {'how often' if names.rating is None else 'what a rating counts'}, name it "
        f"with {said}",
    )
    tell(note, where)


def _unnamed_kinds(found: Sequence[str], sample: Callable[[str], pa.Array]) -> str | None:
    """Return the first column that holds kinds of events, of those that are numbered and have no names."""
    unnamed = [name for name in found if name.isdecimal()]
    texts = {name: [str(one) for one in sample(name).drop_null().to_pylist()] for name in unnamed}
    return next((name for name in unnamed if are_kinds(texts[name])), None)
