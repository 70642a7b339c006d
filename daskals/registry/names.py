"""Names in a registry, checked in one place as they are read: plain, relative, of the form they have here.

Who can write to a registry, or hands one over, can put any name into it. One that leads elsewhere is refused
before anything is read, written or removed by it. What merely lies in a registry's folders under a name of
another form is nobody's: it is neither read nor removed.
"""

from __future__ import annotations

import re

from daskals.errors import RegistryError

VERSIONS = "versions"
FILES = "files"

ALIASES = ("champion", "challenger")

MOST_PARTS = 64
MOST_BYTES = 255
"""Of one part of a name, as file systems have it."""

_VERSION = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}-[0-9a-f]{12}"
_RANDOM = r"[A-Za-z0-9]{1,64}"
_ID = re.compile(_VERSION)
_PARENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_TREE = re.compile(rf"({_VERSION})\.{_RANDOM}")
_OBJECT = re.compile(rf"({_VERSION})\.json")
_MARK = re.compile(rf"({_VERSION})\.{_RANDOM}\.json")
_ENTRY = re.compile(r"([0-9]{9,18})\.json")
_PART = re.compile(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]+")


def check_version(text: str, where: str) -> None:
    """Raise RegistryError unless a text is the id of a version."""
    if not _ID.fullmatch(text):
        raise _refused(text, where, "the id of a version: a name, a dash and 12 digits of a hash")


def check_parent(text: str, where: str) -> None:
    """Raise RegistryError unless a text can be what a version was trained from."""
    if not _PARENT.fullmatch(text):
        raise _refused(text, where, "the id of a version")


def check_alias(text: str, where: str) -> None:
    """Raise RegistryError unless a text is an alias."""
    if text not in ALIASES:
        raise _refused(text, where, " or ".join(ALIASES))


def check_tree(text: str, version: str, where: str) -> None:
    """Raise RegistryError unless a text is the key of a version's files."""
    folder, _, name = text.partition("/")
    if folder != FILES or version_of_tree(name) != version:
        raise _refused(text, where, f"{FILES}/{version}.TOKEN")


def check_file(text: str, where: str) -> None:
    """Raise RegistryError unless a text is a relative path that leads nowhere else."""
    if not _is_plain(text):
        raise _refused(text, where, "the relative path of a file, without . and ..")


def check_key(text: str, where: str) -> None:
    """Raise RegistryError unless a text is the key of an object or of a folder of them."""
    if not _is_plain(text):
        raise _refused(text, where, "a key below the registry")


def version_of_tree(name: str) -> str | None:
    """Return the version whose files a name in `files/` is for; None where it is of another form."""
    return _first(_TREE, name)


def version_of_object(name: str) -> str | None:
    """Return the version whose manifest a name in `versions/` is for; None where it is of another form."""
    return _first(_OBJECT, name)


def version_of_mark(name: str) -> str | None:
    """Return the version that a lease or a removal is about; None where its name is of another form."""
    return _first(_MARK, name)


def number_of_entry(name: str) -> int | None:
    """Return the number of an entry of the history; None where its name is of another form."""
    number = _first(_ENTRY, name)
    return None if number is None else int(number)


def _first(form: re.Pattern[str], name: str) -> str | None:
    found = form.fullmatch(name)
    return None if found is None else found[1]


def _is_plain(text: str) -> bool:
    parts = text.split("/")
    return len(parts) <= MOST_PARTS and all(
        _PART.fullmatch(part) and part not in {".", ".."} and len(part.encode()) <= MOST_BYTES
        for part in parts
    )


def _refused(text: str, where: str, expected: str) -> RegistryError:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return RegistryError(
        f"names {shown!a}",
        where=where,
        expected=expected,
        remedy="Somebody else wrote this: use a registry that you trust, or restore it from a copy",
    )
