"""Manifest of a version: what it was made from, with what, how good it is, and its checksums."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from daskals.errors import ConfigError, RegistryError

FORMAT = "daskals-registry"
FORMAT_VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_DIGITS = 12


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
    files: dict[str, dict[str, Any]]
    tree: str

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

    def to_json(self) -> bytes:
        """Return the manifest as it is stored."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Read a stored manifest; raise RegistryError where it is damaged or newer than this code."""
        values = read_object(content, where)
        names = {field.name for field in fields(cls)}
        missing = sorted(names - values.keys())
        if missing:
            raise RegistryError(f"lacks {', '.join(missing)}", where=where, expected="a version's manifest")
        return cls(**{name: values[name] for name in names})


def read_object(content: bytes, where: str) -> dict[str, Any]:
    """Parse one of the registry's objects; raise RegistryError if it is damaged or of another format."""
    try:
        values = json.loads(content)
    except ValueError as error:
        raise RegistryError(
            f"is damaged ({error})", where=where, expected="JSON", remedy="Restore it from a copy"
        ) from None
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


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of every file below a folder, by relative path."""
    described = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            described[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
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
    for name in sorted(manifest.files.keys() | found.keys()):
        if found.get(name) == manifest.files.get(name):
            continue
        state = "is missing" if name not in found else "is damaged"
        raise RegistryError(
            f"{name} {state if name in manifest.files else 'is not part of it'}",
            where=where,
            expected="the files of its manifest, with their checksums",
            remedy="Restore it from a copy, or roll back to another version",
        )
