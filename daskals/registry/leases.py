"""Leases: who uses a version, and who is about to remove one: marks that cannot miss each other.

A user first puts its lease and then looks for removers; a remover first puts its mark and then looks for
leases. Whichever comes second sees the first, and gives way. What a dead process left counts for nothing:
of the same host that is known at once, of another when the mark is past its expiry.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from daskals.errors import RegistryError
from daskals.registry.names import check_version, version_of_mark
from daskals.registry.storage import Storage
from daskals.store.lock import describe_owner, is_held, parse_owner

LEASES = "leases"
REMOVALS = "removals"
EXPIRY_SECONDS = 600.0
RENEWAL_SECONDS = 120.0

_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.02


@contextmanager
def using(storage: Storage, version: str) -> Iterator[None]:
    """Keep a version from being removed while the block runs.

    Raises RegistryError if somebody who removes the version does not end.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with _mark(storage, LEASES, version):
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
            storage.delete(f"{kind}/{name}")
    return found


@contextmanager
def _mark(storage: Storage, kind: str, version: str) -> Iterator[None]:
    check_version(version, storage.url)
    token = uuid.uuid4().hex
    key = f"{kind}/{version}.{token}.json"
    stop = threading.Event()

    def write() -> None:
        storage.write(key, json.dumps(describe_owner(token, EXPIRY_SECONDS)).encode())

    def renew() -> None:
        while not stop.wait(RENEWAL_SECONDS):
            write()

    write()
    renewal = threading.Thread(target=renew, name="renew-lease", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        stop.set()
        renewal.join()
        storage.delete(key)
