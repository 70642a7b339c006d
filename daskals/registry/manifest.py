"""Manifest of a version: what it was made from, with what, how good it is, and its checksums."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field
from typing_extensions import TypedDict  # typing's own is none that pydantic reads before Python 3.12

from daskals.errors import ConfigError, RegistryError
from daskals.registry.names import check_file, check_parent, check_tree, check_version
from daskals.store.checked import checked
from daskals.store.layout import is_as_written, sealed

FORMAT = "daskals-registry"
FORMAT_VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DIGITS = 12
_RESTORE = "Restore it from a copy"


class FileEntry(TypedDict):
    """Size and SHA-256 of a file."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A version of a model. It never changes.

    Attributes
    ----------
    id
        `<name>-<12 digits of identity>`: the same content has the same id, however often it is published.
    created, parent
        UTC time of publication, ISO 8601; id of the version that training started from, or None.
    data, config
        The ratings: content hash, counts, date; every option of the training, by its public name.
    figures, software
        What was measured; versions of the packages.
    files, tree
        `bytes` and `sha256` of every file, by its path in the version; key of the files in the registry.
    """

    id: str
    created: str
    parent: str | None
    data: dict[str, Any]
    config: dict[str, Any]
    figures: dict[str, Any]
    software: dict[str, str]
    files: dict[str, FileEntry]
    tree: str

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry["bytes"] for entry in self.files.values())

    def to_json(self) -> bytes:
        """Return the manifest as it is stored."""
        return write_object(asdict(self))

    @property
    def content_digits(self) -> str:
        """Digits that tell the content of its files from any other."""
        text = json.dumps(self.files, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @classmethod
    def from_json(cls, content: bytes, version: str, where: str) -> Self:
        """Read the stored manifest of a version.

        Raises RegistryError where it is damaged or newer than this code, or a name in it is not plain.
        """
        values = read_object(content, where)
        names = {field.name for field in fields(cls)}
        missing = sorted(names - values.keys())
        if missing:
            raise RegistryError(f"lacks {', '.join(missing)}", where=where, expected="a version's manifest")
        found = checked(cls, values, where, RegistryError, expected="a version's manifest", remedy=_RESTORE)
        found._check_names(version, where)
        return found

    def _check_names(self, version: str, where: str) -> None:
        check_version(self.id, where)
        if self.id != version:
            raise RegistryError(f"is about {self.id}", where=where, expected=version, remedy=_RESTORE)
        if self.parent is not None:
            check_parent(self.parent, where)
        check_tree(self.tree, version, where)
        for name in self.files:
            check_file(name, where)
        try:
            has_zone = dt.datetime.fromisoformat(self.created).tzinfo is not None
        except ValueError:
            has_zone = False
        if not has_zone:
            raise RegistryError(
                f"was created {self.created[:40]!r}",
                where=where,
                expected="a time, ISO 8601",
                remedy=_RESTORE,
            )


def write_object(values: Mapping[str, Any]) -> bytes:
    """Return one of the registry's objects as it is stored, with its format and its checksum."""
    content = sealed({"format": FORMAT, "format_version": FORMAT_VERSION, **values})
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def read_object(content: bytes, where: str) -> dict[str, Any]:
    """Parse one of the registry's objects; raise RegistryError if it is damaged or of another format."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"is damaged ({error})", where=where, expected="JSON", remedy=_RESTORE) from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise RegistryError(
            "belongs to something else",
            where=where,
            expected=f"an object of format {FORMAT!r}",
            remedy="Name the folder or the address of a registry",
        )
    version = values.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise RegistryError(
            f"format version {version!r}",
            where=where,
            expected=f"a version up to {FORMAT_VERSION}",
            remedy="Update daskals",
        )
    if not is_as_written(values):
        raise RegistryError(
            "is not as it was written", where=where, expected="the content of its checksum", remedy=_RESTORE
        )
    return values


def version_id(name: str, identity: Mapping[str, Any]) -> str:
    """Return the id of a version: its name, and the hash of what makes it what it is.

    Raises ConfigError if the name could not be part of a path.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"version name {name!r}", expected="at most 64 letters, digits, dashes and underscores"
        )
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


def list_files(folder: Path) -> dict[str, int]:
    """Return the bytes of every file below a folder, by relative path.

    Raises RegistryError where there is a link or a device among them: what these hold lies elsewhere.
    """
    sizes = {}
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            sizes[path.relative_to(folder).as_posix()] = found.st_size
        elif not stat.S_ISDIR(found.st_mode):
            kind = "a link" if stat.S_ISLNK(found.st_mode) else "neither a file nor a folder"
            raise RegistryError(
                f"is {kind}",
                where=str(path),
                expected="files and folders alone",
                remedy="Put what it stands for in its place, or leave it out",
            )
    return sizes


def describe_files(folder: Path) -> dict[str, FileEntry]:
    """Return size and SHA-256 of every file below a folder, by relative path; see `list_files`."""
    described: dict[str, FileEntry] = {}
    for name, size in list_files(folder).items():
        with (folder / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        described[name] = {"bytes": size, "sha256": digest}
    return described


def check_files(manifest: Manifest, folder: Path, where: str) -> None:
    """Compare a version's files with its checksums.

    Raises RegistryError naming the first file that is missing, damaged, or not the version's.
    """
    try:
        found = describe_files(folder)
    except OSError as error:
        remedy = "Check permissions, or roll back to another version"
        raise RegistryError.unreadable(error.filename or where, error, remedy=remedy) from error
    _refuse_difference(manifest.files, found, where)


def check_sizes(manifest: Manifest, found: Mapping[str, int], where: str) -> None:
    """Compare names and bytes of files, before they are read, with a version's; see `check_files`."""
    _refuse_difference({name: entry["bytes"] for name, entry in manifest.files.items()}, found, where)


def _refuse_difference(expected: Mapping[str, object], found: Mapping[str, object], where: str) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) == expected.get(name):
            continue
        state = "is missing" if name not in found else "is damaged"
        shown = name if name.isprintable() else ascii(name)
        raise RegistryError(
            f"{shown} {state if name in expected else 'is not part of it'}",
            where=where,
            expected="the files of its manifest, with their checksums",
            remedy="Restore it from a copy, or roll back to another version",
        )
