"""A registry on S3, or on what speaks its protocol, through fsspec's `s3fs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from daskals.errors import ConfigError, RegistryError
from daskals.registry.names import check_key


class S3Storage:
    """A registry at `s3://BUCKET/PREFIX`.

    Credentials, region and endpoint come from the environment, as for every AWS tool (`AWS_PROFILE`,
    `AWS_ENDPOINT_URL`, …). Reads after writes are consistent there, and `If-None-Match: *` makes a put that
    never replaces.
    """

    def __init__(self, url: str) -> None:
        try:
            import s3fs
        except ImportError:
            raise ConfigError(
                "S3 needs the library s3fs, which is not installed",
                where=url,
                remedy="Install it with pip install 'daskals[cloud]'",
            ) from None
        self.url = url.rstrip("/")
        self._root = self.url.removeprefix("s3://")
        # a listing kept from before would hide what others did since
        # an instance of its own: fsspec's cached one may belong to an endpoint of before
        self._files: Any = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)

    def read(self, key: str) -> bytes | None:
        """Return an object, or None where there is none."""
        with self._said(key), suppress(FileNotFoundError):
            return bytes(self._files.cat_file(self._path(key)))
        return None

    def create(self, key: str, content: bytes) -> bool:
        """Make an object that is there whole or not at all; return False where there is one already."""
        with self._said(key):
            try:
                self._files.pipe_file(self._path(key), content, mode="create")
            except FileExistsError:
                # a put whose answer was lost is sent again by the client and then meets itself
                return self.read(key) == content
        return True

    def write(self, key: str, content: bytes) -> None:
        """Make an object or replace it, in one step."""
        with self._said(key):
            self._files.pipe_file(self._path(key), content)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        with self._said(key), suppress(FileNotFoundError):
            self._files.rm_file(self._path(key))

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted."""
        root = self._path(prefix)
        with self._said(prefix), suppress(FileNotFoundError):
            found = self._files.ls(root, detail=False, refresh=True)
            return sorted({path.removeprefix(root).strip("/").split("/")[0] for path in found} - {""})
        return []

    def put_tree(self, key: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a folder, by relative path, to a key that nobody else writes."""
        with self._said(key):
            for name in names:
                self._files.put_file(str(folder / name), self._path(f"{key}/{name}"))

    def sizes(self, key: str) -> dict[str, int]:
        """Return the bytes of every file of a tree, by relative path."""
        root = f"{self._path(key)}/"
        with self._said(key):
            found = self._files.find(root, refresh=True, detail=True)
        return {path.removeprefix(root): int(entry["size"]) for path, entry in found.items()}

    def get_tree(self, key: str, folder: Path, names: Iterable[str]) -> None:
        """Copy files of a tree to an empty folder."""
        with self._said(key):
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(self._path(f"{key}/{name}"), str(folder / name))

    def folder(self, key: str) -> Path | None:  # noqa: ARG002
        """Return None: a tree has to be copied first."""
        return None

    def delete_tree(self, key: str) -> None:
        """Remove a tree, if it is there."""
        with self._said(key):
            for path in self._files.find(self._path(key), refresh=True):
                with suppress(FileNotFoundError):
                    self._files.rm_file(path)

    def _path(self, key: str) -> str:
        check_key(key, self.url)
        return f"{self._root}/{key}"

    def sweep(self, prefix: str) -> None:
        """Do nothing: no object is ever half-removed here."""

    @contextmanager
    def _said(self, key: str) -> Iterator[None]:
        """Turn what the client raises into an error that names the object."""
        try:
            yield
        except Exception as error:
            if not (isinstance(error, OSError) or type(error).__module__.startswith(("botocore", "aiohttp"))):
                raise
            raise RegistryError(
                f"cannot be reached or used ({error})",
                where=f"{self.url}/{key}",
                expected="a bucket that these credentials may read and write",
                remedy="Check the address, the credentials and the network",
            ) from error
