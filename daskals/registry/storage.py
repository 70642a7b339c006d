"""Storage of a registry: small objects made once, and trees of files. One primitive decides all races.

`create` makes an object only if there is none, in one step: the first of several processes wins and the
others are told. On a file system that is a hard link, on S3 a conditional put.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from daskals.errors import ConfigError, OutputError, RegistryError
from daskals.store.atomic_folder import staged_directory, sync_path

REMOTE = "s3://"


class Storage(Protocol):
    """Objects by key, with `/` between the parts of a key."""

    url: str

    def read(self, key: str) -> bytes | None:
        """Return an object, None where there is none; raise RegistryError if it cannot be read."""

    def create(self, key: str, content: bytes) -> bool:
        """Make an object that is there whole or not at all; return False where there is one already."""

    def write(self, key: str, content: bytes) -> None:
        """Make an object or replace it, in one step."""

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted; raise RegistryError if they cannot be read."""

    def put_tree(self, key: str, folder: Path) -> None:
        """Copy a folder with all it holds to a key that nobody else writes."""

    def get_tree(self, key: str, folder: Path) -> None:
        """Copy a tree to an empty folder."""

    def folder(self, key: str) -> Path | None:
        """Return where a tree lies, or None where it has to be copied first."""

    def delete_tree(self, key: str) -> None:
        """Remove a tree, if it is there."""

    def sweep(self, prefix: str) -> None:
        """Remove what killed processes left half-removed below a prefix."""


class FolderStorage:
    """A registry in a folder."""

    def __init__(self, path: Path) -> None:
        self.root = path.absolute()
        self.url = str(self.root)

    def read(self, key: str) -> bytes | None:
        """Return an object, None where there is none; raise RegistryError if it cannot be read."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RegistryError.unreadable(self.root / key, error) from error

    def create(self, key: str, content: bytes) -> bool:
        """Make an object that is there whole or not at all; return False where there is one already."""
        with self._prepared(key, content) as temporary:
            try:
                # a link fails where the name is taken; a rename would take it away
                os.link(temporary, self.root / key)
            except FileExistsError:
                return False
            sync_path((self.root / key).parent)
        return True

    def write(self, key: str, content: bytes) -> None:
        """Make an object or replace it, in one step."""
        with self._prepared(key, content) as temporary:
            temporary.replace(self.root / key)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._writing(key), suppress(FileNotFoundError):
            (self.root / key).unlink()

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted; raise RegistryError if they cannot be read."""
        try:
            found = os.listdir(self.root / prefix)  # noqa: PTH208  names alone, no paths
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RegistryError.unreadable(self.root / prefix, error) from error
        return sorted(name for name in found if not name.startswith("."))

    def put_tree(self, key: str, folder: Path) -> None:
        """Copy a folder with all it holds to a key that nobody else writes."""
        with staged_directory(self.root / key, existing="refuse") as staged:
            shutil.copytree(folder, staged, dirs_exist_ok=True)
            for path in staged.rglob("*"):
                if path.is_file():
                    path.chmod(0o444)  # a version never changes

    def get_tree(self, key: str, folder: Path) -> None:
        """Copy a tree to an empty folder."""
        shutil.copytree(self.root / key, folder, dirs_exist_ok=True)

    def folder(self, key: str) -> Path | None:
        """Return where a tree lies."""
        return self.root / key

    def delete_tree(self, key: str) -> None:
        """Remove a tree, if it is there."""
        tree = self.root / key
        doomed = tree.with_name(f".{tree.name}.{uuid.uuid4().hex[:8]}.doomed")
        with self._writing(key):
            try:
                tree.rename(doomed)  # out of sight first: nobody sees half of it
            except FileNotFoundError:
                return
            shutil.rmtree(doomed, onerror=_unless_gone)  # another collector may sweep it at the same time

    def sweep(self, prefix: str) -> None:
        """Remove what killed processes left half-removed below a prefix."""
        for path in (self.root / prefix).glob(".*.doomed"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _prepared(self, key: str, content: bytes) -> Iterator[Path]:
        target = self.root / key
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.partial")
        with self._writing(key):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary
            finally:
                with suppress(OSError):
                    temporary.unlink()

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError.unwritable("registry", self.root / key, error) from error


def _unless_gone(
    _function: object, _path: str, error: tuple[type[BaseException], BaseException, object]
) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


def open_storage(url: str | Path) -> Storage:
    """Return the storage of a folder or of `s3://BUCKET/PREFIX`.

    Raises ConfigError for another scheme, or where S3 is asked for without its library.
    """
    text = str(url)
    if text.startswith(REMOTE):
        from daskals.registry.s3 import S3Storage

        return S3Storage(text)
    if "://" in text:
        raise ConfigError(
            f"a registry at {text!r}", where="--registry", expected="a folder, or s3://BUCKET/PREFIX"
        )
    return FolderStorage(Path(text))
