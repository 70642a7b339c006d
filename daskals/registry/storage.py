"""Storage of a registry: small objects made once, and trees of files. One primitive decides all races.

`create` makes an object only if there is none, in one step: the first of several processes wins and the
others are told. On a file system that is a hard link, on S3 a conditional put.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from daskals.errors import ConfigError, OutputError, RegistryError
from daskals.registry.manifest import list_files
from daskals.registry.names import check_key
from daskals.store.atomic_folder import staged_directory, sync_path

REMOTE = "s3://"

MOST_OBJECT_BYTES = 1 << 26
"""Of a manifest or another small object; one that is larger is none of a registry's."""


class Storage(Protocol):
    """Objects by key, with `/` between the parts of a key.

    Every method raises RegistryError for a key that is not plain, or that leads out of the registry.
    """

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

    def put_tree(self, key: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a folder, by relative path, to a key that nobody else writes."""

    def sizes(self, key: str) -> dict[str, int]:
        """Return the bytes of every file of a tree, by relative path."""

    def get_tree(self, key: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a tree to an empty folder."""

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
        path = self._place(key)
        try:
            if path.lstat().st_size > MOST_OBJECT_BYTES:
                raise RegistryError(
                    f"has {path.lstat().st_size:,} bytes",
                    where=str(path),
                    expected=f"at most {MOST_OBJECT_BYTES:,}",
                    remedy="Restore it from a copy",
                )
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RegistryError.unreadable(path, error) from error

    def create(self, key: str, content: bytes) -> bool:
        """Make an object that is there whole or not at all; return False where there is one already."""
        with self._prepared(key, content) as temporary:
            try:
                # a link fails where the name is taken; a rename would take it away
                os.link(temporary, self._place(key))
            except FileExistsError:
                return False
            sync_path(temporary.parent)
        return True

    def write(self, key: str, content: bytes) -> None:
        """Make an object or replace it, in one step."""
        with self._prepared(key, content) as temporary:
            temporary.replace(self._place(key))

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._writing(key), suppress(FileNotFoundError):
            self._place(key).unlink()

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted; raise RegistryError if they cannot be read."""
        folder = self._place(prefix)
        try:
            found = os.listdir(folder)  # noqa: PTH208  names alone, no paths
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RegistryError.unreadable(folder, error) from error
        return sorted(name for name in found if not name.startswith("."))

    def put_tree(self, key: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a folder, by relative path, to a key that nobody else writes."""
        with staged_directory(self._place(key), existing="refuse") as staged:
            _copy(folder, staged, names)
            for name in names:
                (staged / name).chmod(0o444)  # a version never changes

    def sizes(self, key: str) -> dict[str, int]:
        """Return the bytes of every file of a tree, by relative path; raise RegistryError for a link."""
        tree = self._place(key)
        try:
            return list_files(tree)
        except OSError as error:
            raise RegistryError.unreadable(error.filename or tree, error) from error

    def get_tree(self, key: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a tree to an empty folder."""
        _copy(self._place(key), folder, names)

    def folder(self, key: str) -> Path | None:
        """Return where a tree lies."""
        return self._place(key)

    def delete_tree(self, key: str) -> None:
        """Remove a tree, if it is there."""
        tree = self._place(key)
        doomed = tree.with_name(f".{tree.name}.{uuid.uuid4().hex[:8]}.doomed")
        with self._writing(key):
            try:
                tree.rename(doomed)  # out of sight first: nobody sees half of it
            except FileNotFoundError:
                return
            shutil.rmtree(doomed, onerror=_unless_gone)  # another collector may sweep it at the same time

    def sweep(self, prefix: str) -> None:
        """Remove what killed processes left half-removed below a prefix."""
        for path in self._place(prefix).glob(".*.doomed"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _prepared(self, key: str, content: bytes) -> Iterator[Path]:
        target = self._place(key)
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

    def _place(self, key: str) -> Path:
        """Return where a key lies, none of its folders being a link: such a one leads out of the registry."""
        check_key(key, self.url)
        path = self.root
        for part in key.split("/"):
            path /= part
            try:
                mode = path.lstat().st_mode
            except OSError:  # what is not there, or cannot be looked at, is told by who asks for it
                break
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise RegistryError(
                    "is a link" if stat.S_ISLNK(mode) else "is neither a file nor a folder",
                    where=str(path),
                    expected="files and folders alone",
                    remedy="Use a registry that you trust, or put what it stands for in its place",
                )
        return self.root / key


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name, follow_symlinks=False)


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
