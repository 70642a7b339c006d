"""Which files of a folder may hold ratings or clicks, though their columns have no usual names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daskals.errors import DataError
from daskals.ratings.columns import find_column
from daskals.ratings.foreign import refuse_foreign
from daskals.ratings.guessing import guess_columns
from daskals.ratings.heads import names_of
from daskals.ratings.json_records import field_names, is_json
from daskals.ratings.likely_names import is_id_of, likely_columns
from daskals.ratings.packing import STREAM_ERRORS, is_parquet
from daskals.ratings.sniff import first_rows


def likely_files(files: Sequence[Path]) -> list[Path]:
    """Return the files that may hold what is looked for, the largest first.

    A file with names may where it names a user or a rating as is usual, and the others by words that tell,
    or one side as is usual and the other by an id of such a word; one without names, where its first rows
    look like a user, an item and a rating, a count or a time.
    """
    likely = [file for file in files if _may_hold(file)]
    return sorted(likely, key=lambda file: -file.stat().st_size)


def foreign_among(files: Sequence[Path]) -> DataError | None:
    """Return what is wrong with the largest file where that is of a kind that is not read."""
    try:
        for file in sorted(files, key=lambda file: -file.stat().st_size)[:1]:
            refuse_foreign(file)
    except DataError as error:
        return error
    return None


def joined_files(files: Sequence[Path]) -> str | None:
    """Say how two files tell together who chose what: one names users, one items, both what was ordered.

    None where no two do, or where it is not plain which.
    """
    found = {file: list(names_of(file)) for file in files}
    sides = {
        side: {file: name for file, names in found.items() if (name := find_column(names, side)) is not None}
        for side in ("user", "item")
    }
    for whose in sides["user"]:
        for what in sorted(sides["item"], key=lambda file: -file.stat().st_size):
            shared = [name for name in found[whose] if name in found[what] and name.lower().endswith("id")]
            if (
                what != whose
                and len(shared) == 1
                and shared[0] not in (sides["user"][whose], sides["item"][what])
            ):
                return (
                    f"Where {what.name} and {whose.name} tell together who chose what, join them: `pandas."
                    f"read_csv('{what.name}').merge(pandas.read_csv('{whose.name}'), on='{shared[0]}')"
                    ".to_csv('NEW.csv', index=False)`, and train with --model=ials --data=NEW.csv"
                )
    return None


def _may_hold(path: Path) -> bool:
    try:
        refuse_foreign(path)
        if is_parquet(path):
            return False
        rows = [field_names(path)] if is_json(path) else first_rows(path)
    except (DataError, *STREAM_ERRORS):
        return False
    names = rows[0] if rows else []
    known = {role: find_column(names, role) for role in ("user", "item", "rating")}
    if any(known.values()):
        told = likely_columns(names, known)
        if {"user", "item", "rating"} <= set(told) and (known["user"] or known["rating"]):
            return True
        other = "item" if known["user"] else "user"  # of clicks, of which one side has its usual name
        return bool(known["user"] or known["item"]) and is_id_of(told.get(other, ""), other)
    return len({len(row) for row in rows}) == 1 and len(guess_columns(rows)) > 2
