"""Stores at an address that fsspec reaches, such as `s3://BUCKET/NAME`: read in place, made once by a copy.

There is no rename there. A store, or a split of one, counts as made once its own `zarr.json` is there, which
comes last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec import url_to_fs
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from daskals.errors import ConfigError, OutputError, StoreError

HEAD = "zarr.json"
"""The file that makes a folder a store, a version of one, or a split."""

VERSIONS = "versions"
"""The folder of a store's later versions."""

_FILE = "file://"
_CLIENTS = ("aiobotocore", "aiohttp", "botocore")


def is_url(place: str | Path) -> bool:
    """Tell whether a place is an address; `file://` names a folder."""
    return "://" in str(place) and not str(place).startswith(_FILE)


def place_of(place: str | Path) -> str:
    """Return a folder's absolute path, or an address without its closing slash."""
    text = str(place)
    return text.rstrip("/") if is_url(text) else str(Path(text.removeprefix(_FILE)).absolute())


def holds(place: str) -> bool:
    """Tell whether a store, or a split, is in a folder or at an address; StoreError if out of reach."""
    if not is_url(place):
        return (Path(place) / HEAD).exists()
    files, root = _files(place)
    with _reached(place):
        return bool(files.exists(f"{root}/{HEAD}"))


def read_file(place: str, name: str) -> bytes:
    """Return a file of an address; raise StoreError or FileNotFoundError where there is none."""
    files, root = _files(place)
    with _reached(place):
        return bytes(files.cat_file(f"{root}/{name}"))


def open_remote(url: str) -> Store:
    """Return the byte store of an address, for reading."""
    with _known(url):
        return _ReachedStore(FsspecStore.from_url(url, storage_options=_options(url), read_only=True))


def put_folder(folder: Path, url: str) -> None:
    """Copy a store or a split to an address, its own `zarr.json` last, and read everything back.

    Hidden files and later versions stay behind. Raises OutputError if the address cannot be written, or gives
    back something else than was put there.
    """
    files, root = _files(url)
    names = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    ordered = [name.as_posix() for name in names if name.parts[0] not in (HEAD, VERSIONS)]
    for name in [*ordered, HEAD]:
        content = (folder / name).read_bytes()
        try:
            files.pipe_file(f"{root}/{name}", content)
            found = files.cat_file(f"{root}/{name}")
        except Exception as error:
            if not is_client_failure(error):
                raise
            raise OutputError(
                f"{name} cannot be written ({error})",
                where=url,
                expected="an address that these credentials may write",
                remedy="Check the address, the credentials and the network",
            ) from error
        if found != content:
            raise OutputError(
                f"{name} reads as {len(found)} bytes unlike the {len(content)} that were put there",
                where=url,
                expected="an address that gives back what it was given",
                remedy="Put the store there again",
            )


def is_client_failure(error: BaseException) -> bool:
    """Tell whether an error is a client's word about its server: their own kinds are not all OSError."""
    return isinstance(error, OSError) or type(error).__module__.startswith(_CLIENTS)


class _ReachedStore(WrapperStore[FsspecStore]):
    """A byte store whose server may be out of reach; a missing chunk is for `CompleteStore` to refuse."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a key, None where there is none."""
        with _reached(str(self)):
            return await self._store.get(key, prototype, byte_range)

    def __str__(self) -> str:
        protocol = self._store.fs.protocol
        return f"{protocol if isinstance(protocol, str) else protocol[0]}://{self._store.path}"


def _options(url: str) -> dict[str, Any]:
    # a listing kept from before would hide what others put there since
    options: dict[str, Any] = {"use_listings_cache": False}
    if url.startswith("s3"):
        # clients are kept by their options: one of another endpoint must not answer for this one
        options["endpoint_url"] = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return options


def _files(url: str) -> tuple[Any, str]:
    with _known(url):
        return url_to_fs(url, **_options(url))  # type: ignore[no-any-return]


@contextmanager
def _known(url: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"this address needs a library that is not installed ({error})",
            where=url,
            remedy="Install it; for s3:// with pip install 'daskals[cloud]'",
        ) from None
    except ValueError as error:
        raise ConfigError(
            f"is no address that fsspec knows ({error})",
            where=url,
            expected="s3://BUCKET/NAME, file:///FOLDER, or another that fsspec reaches",
        ) from None


@contextmanager
def _reached(url: str) -> Iterator[None]:
    """Turn what a client raises into an error that names the address; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        if not is_client_failure(error):
            raise
        raise StoreError(
            f"cannot be reached ({error})",
            where=url,
            expected="an address that these credentials may read",
            remedy="Check the address, the credentials and the network",
        ) from error
