"""Files beside ratings that may tell what the items are: said, never read unasked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from daskals.errors import DataError
from daskals.ratings.columns import find_column, first_known
from daskals.ratings.folders import data_files
from daskals.ratings.guessing import LEAST_ROWS
from daskals.ratings.heads import names_of
from daskals.ratings.item_catalogue import NAMES
from daskals.ratings.notes import tell
from daskals.ratings.packing import STREAM_ERRORS
from daskals.ratings.sniff import first_rows

N_OTHERS = 50
"""Files beside the ratings that are looked at."""

_YEAR = re.compile(r"(18|19|20)[0-9]{2}|NULL|")


def note_catalogue(path: Path, rated: Sequence[Path]) -> None:
    """Say which file of a folder may tell what the items are, where nothing else does.

    Parameters
    ----------
    path
        The folder.
    rated
        Its files of ratings.
    """
    others = [file for file in data_files(path) if file not in rated][:N_OTHERS]
    told = [file for file in others if _names_titles(file)]
    unnamed = [] if told else [file for file in others if _are_titles(file)]
    if not told and not unnamed:
        return
    columns = " --catalogue-columns=item=1,year=2,title=3" if unnamed else ""
    names = ", ".join(file.name for file in told or unnamed)
    note = DataError(
        f"ratings without titles, though {names} may have them",
        where=str(path),
        remedy=f"Name it with --catalogue={(told or unnamed)[0]}{columns}",
    )
    tell(note, str(path))


def _names_titles(path: Path) -> bool:
    """Tell whether a file has columns of items and their titles, and none of users."""
    found = names_of(path)
    named = all(first_known(found, NAMES[role]) is not None for role in ("item", "title"))
    return named and find_column(found, "user") is None


def _are_titles(path: Path) -> bool:
    """Tell whether a text without names has items, years and titles, as the Netflix Prize's."""
    try:
        rows = first_rows(path)
    except (DataError, *STREAM_ERRORS):
        return False
    return len(rows) >= LEAST_ROWS and all(
        len(row) > 2 and row[0].isdecimal() and _YEAR.fullmatch(row[1]) and re.search(r"\w", row[2])
        for row in rows
    )
