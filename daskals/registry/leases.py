"""Leases: who uses a version, and who is about to remove one: marks that cannot miss each other.

A user first puts its lease and then looks for removers; a remover first puts its mark and then looks for
leases. Whichever comes second sees the first, and gives way. What a dead process left counts for nothing:
of the same host that is known at once, of another when the mark is past its expiry.
"""

from __future__ import annotations

import errno
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from daskals.errors import OutputError, RegistryError
from daskals.registry.names import check_version, version_of_mark
from daskals.registry.storage import Storage
from daskals.store.lock import describe_owner, is_held, parse_owner

LOGGER = logging.getLogger(__name__)

LEASES = "leases"
REMOVALS = "removals"
EXPIRY_SECONDS = 600.0
RENEWAL_SECONDS = 120.0

_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.02
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


@contextmanager
def using(storage: Storage, version: str, *, only_reads: bool = False) -> Iterator[None]:
    """Keep a version from being removed while the block runs.

    Who `only_reads` goes without a lease where the registry cannot be written, and it is said once. Raises
    RegistryError if somebody who removes the version does not end; OutputError if a lease cannot be written.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with _mark(storage, LEASES, version, needed=not only_reads):
            if not marked(storage, REMOVALS, version):
                yield
                return
        if time.monotonic() > deadline:
            raise RegistryError(
                f"version {version} is being removed",
                where=storage.url,
                expected="a removal that ends",
                remedy="Look after the process that collects, or choose another version",
            )
        time.sleep(_POLL_SECONDS)


@contextmanager
def removing(storage: Storage, version: str) -> Iterator[bool]:
    """Say that a version is about to be removed; gives whether nobody uses it, now or from now on."""
    with _mark(storage, REMOVALS, version):
        yield not marked(storage, LEASES, version)


def marked(storage: Storage, kind: str, version: str) -> bool:
    """Tell whether a live process has a mark of a kind on a version; remove those of the dead."""
    found = False
    for name in storage.names(kind):
        if version_of_mark(name) != version:
            continue
        content = storage.read(f"{kind}/{name}")
        owner = None if content is None else parse_owner(content)
        if owner is not None and is_held(owner):
            found = True
        elif content is not None:
            with suppress(OutputError, RegistryError):  # left to who may write
                storage.delete(f"{kind}/{name}")
    return found


@contextmanager
def _mark(storage: Storage, kind: str, version: str, *, needed: bool = True) -> Iterator[None]:
    check_version(version, storage.url)
    token = uuid.uuid4().hex
    key = f"{kind}/{version}.{token}.json"
    stop = threading.Event()

    def write() -> None:
        storage.write(key, json.dumps(describe_owner(token, EXPIRY_SECONDS)).encode())

    def renew() -> None:
        while not stop.wait(RENEWAL_SECONDS):
            with suppress(OutputError, RegistryError):  # tried again in time, before the mark expires
                write()

    try:
        write()
    except (OutputError, RegistryError) as error:
        if needed or not _is_unwritable(error):
            raise
        _say_once(storage.url, error.found)
        yield
        return
    renewal = threading.Thread(target=renew, name="renew-lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        with suppress(OutputError, RegistryError):  # it expires
            storage.delete(key)


def _is_unwritable(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, PermissionError) or (isinstance(cause, OSError) and cause.errno in _UNWRITABLE)


@lru_cache
def _say_once(url: str, error: str) -> None:
    LOGGER.warning(
        "%s: is read without a lease (%s): who collects versions elsewhere does not see that one is in use",
        url,
        error,
    )
