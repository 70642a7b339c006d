"""Alias history of a registry: numbered entries, each made once, the last of which is the truth.

An entry holds the aliases as they are after it, so that reading them takes one listing and one object. Two
who append at once want the same number: `Storage.create` lets one of them win, the other looks anew.

A last entry that somebody removed would leave a whole history, of a time ago. So the number of the newest
one is written beside them, after it: it may lag behind where two append at once, and never runs ahead.
"""

from __future__ import annotations

import datetime as dt
import getpass
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from daskals.errors import RegistryError
from daskals.registry.manifest import read_object, write_object
from daskals.registry.names import check_alias, check_version, number_of_entry
from daskals.registry.storage import Storage
from daskals.store.checked import checked

Action: TypeAlias = Literal["publish", "promote", "rollback"]

LOG = "log"
NEWEST = f"{LOG}/newest"
_RESTORE = "Restore it from a copy"
REMEMBERED = 50
"""Former versions of an alias that an entry lists; all are in the entries before."""


@dataclass(frozen=True)
class Entry:
    """One change of an alias, and all aliases after it.

    Attributes
    ----------
    number
        Place in the history, from 1.
    action, alias, version, previous
        What was done: `alias` went from `previous` (None: there was none) to `version`.
    aliases
        Version of every alias, afterwards.
    former
        Earlier versions of every alias, the latest first: what a rollback goes back to.
    time, by, note
        UTC time, user and host, and the reason given.
    """

    number: int = 0
    action: Action = "publish"
    alias: str = ""
    version: str = ""
    previous: str | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    former: dict[str, list[str]] = field(default_factory=dict)
    time: str = ""
    by: str = ""
    note: str = ""

    def wanted(self, keep: int = REMEMBERED) -> set[str]:
        """Return the versions that aliases name, and the `keep` latest that each named before."""
        former = {one for versions in self.former.values() for one in versions[:keep]}
        return {*self.aliases.values(), *former}

    def moved(self, alias: str, version: str, action: Action, note: str) -> Entry:
        """Return the entry that follows this one when an alias moves."""
        previous = self.aliases.get(alias)
        former = list(self.former.get(alias, []))
        if action == "rollback" and version in former:
            # back where it was: what came after is no way to go back to
            former = former[former.index(version) + 1 :]
        elif previous is not None:
            former = [previous, *(one for one in former if one != previous)][:REMEMBERED]
        return Entry(
            number=self.number + 1,
            action=action,
            alias=alias,
            version=version,
            previous=previous,
            aliases={**self.aliases, alias: version},
            former={**self.former, alias: former},
            time=now(),
            by=f"{_user()}@{socket.gethostname()}",
            note=note,
        )


@dataclass(frozen=True)
class _Newest:
    """What stands beside the entries."""

    number: Annotated[int, Field(ge=1)]


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def latest(storage: Storage) -> Entry:
    """Return the last entry; entry 0, without aliases, where there is none."""
    names = _names(storage)
    return read_entry(storage, names[-1]) if names else Entry()


def all_entries(storage: Storage) -> list[Entry]:
    """Return the whole history, oldest first."""
    return [read_entry(storage, name) for name in _names(storage)]


def _names(storage: Storage) -> list[str]:
    """Return the names of all entries, oldest first; what bears another name is none.

    Raises RegistryError where one is missing.
    """
    newest = _newest(storage)  # before the listing, which then has that entry at least
    numbered = {number: name for name in storage.names(LOG) if (number := number_of_entry(name))}
    numbers = sorted(numbered)
    # the first place whose number is not its own; the numbers may be anything, and as large as names allow
    absent = next((place for place, number in enumerate(numbers, 1) if place != number), len(numbers) + 1)
    if absent <= max(newest, len(numbers)):
        raise RegistryError(
            f"lacks entry {absent} of its history",
            where=f"{storage.url}/{LOG}",
            expected="every entry, which nobody ever removes",
            remedy=_RESTORE,
        )
    return [numbered[number] for number in numbers]


def _newest(storage: Storage) -> int:
    """Return the number below which no history ends; 0 in a registry made before it was written."""
    content = storage.read(NEWEST)
    if content is None:
        return 0
    where = f"{storage.url}/{NEWEST}"
    told = checked(
        _Newest, read_object(content, where), where, RegistryError, expected="a number", remedy=_RESTORE
    )
    return told.number


def read_entry(storage: Storage, name: str) -> Entry:
    """Read one entry by its object's name.

    Raises RegistryError if it is gone or damaged, or a name in it is none that an entry can have.
    """
    where = f"{storage.url}/{LOG}/{name}"
    content = storage.read(f"{LOG}/{name}")
    if content is None:
        raise RegistryError("is gone", where=where, expected="an entry, which nobody ever removes")
    values = read_object(content, where)
    missing = sorted(Entry.__dataclass_fields__.keys() - values.keys())
    if missing:
        raise RegistryError(
            f"lacks {', '.join(missing)}", where=where, expected="an entry of the history", remedy=_RESTORE
        )
    entry = checked(Entry, values, where, RegistryError, expected="an entry of the history", remedy=_RESTORE)
    if entry.number != number_of_entry(name):
        raise RegistryError(
            f"is numbered {entry.number}", where=where, expected="the number of its name", remedy=_RESTORE
        )
    for alias in {entry.alias, *entry.aliases, *entry.former}:
        check_alias(alias, where)
    former = [version for versions in entry.former.values() for version in versions]
    previous = [] if entry.previous is None else [entry.previous]
    for version in {entry.version, *previous, *entry.aliases.values(), *former}:
        check_version(version, where)
    return entry


def append(storage: Storage, change: Callable[[Entry], Entry | None]) -> Entry:
    """Add an entry to the history; return the last one, new or not.

    `change` makes the new entry from the last one, or None where nothing is to be done. It is called again
    when somebody else was faster, so that it decides on what is true at the moment it takes effect.
    """
    while True:
        last = latest(storage)
        entry = change(last)
        if entry is None:
            return last
        content = write_object({**asdict(entry), "token": uuid.uuid4().hex})
        if storage.create(f"{LOG}/{entry.number:09d}.json", content):
            storage.write(NEWEST, write_object(asdict(_Newest(entry.number))))
            return entry


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid())
