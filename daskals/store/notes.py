"""What was said of an input when a store was made of it: kept beside the store, and said again, shorter.

Whoever finds the store of a file in the cache would not hear of it otherwise: that a rating may be none, that
there are titles, as which text it was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daskals.errors import OutputError
from daskals.ratings.notes import kept_notes, take_note
from daskals.store.atomic_file import write_text_whole

_told: set[str] = set()
"""Stores of whose input this process has heard."""


@contextmanager
def keeping_notes(store: Path) -> Iterator[None]:
    """Keep what is noted of an input while a store is made of it; without the store nothing is kept.

    Parameters
    ----------
    store
        The store's folder, there when the block ends.
    """
    with kept_notes() as notes:
        yield
    _told.add(str(store))
    if notes:
        with suppress(OutputError):  # they have been said
            write_text_whole(_file_of(store), json.dumps(list(dict.fromkeys(notes))))


def tell_again(store: Path) -> None:
    """Say again what was said of a store's input, without the remedies, once a process.

    Of what an older version kept, a text and whether it is a doubt, remedies are part of the text.
    """
    if str(store) in _told:
        return
    _told.add(str(store))
    try:
        notes = json.loads(_file_of(store).read_bytes())
    except (OSError, ValueError):  # nothing was said
        return
    for note in notes if isinstance(notes, list) else []:
        if isinstance(note, list) and len(note) in (2, 3):
            take_note("%s", str(note[0]), doubt=bool(note[1]))


def _file_of(store: Path) -> Path:
    return store.with_name(f"{store.name}.notes.json")
