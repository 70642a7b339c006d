"""Memory that processes of one machine share: a file without a name, which goes with the last that holds it.

Nothing lies in a folder and nobody cleans up: whoever is killed, the system takes the memory back once no
process holds it. Others open it below the writer's `/proc`, as the same user alone may. Elsewhere than on
Linux, and between containers, there is none.
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from daskals.types import FactorRows


class Reference(NamedTuple):
    """Where a process finds what another wrote: the writer's number, its descriptor, and the file's name.

    The name is random, so that nothing else is taken for the file: numbers are used again, and on other
    machines they are those of others.
    """

    process: int
    descriptor: int
    name: str


class SharedFile:
    """A file in memory; it is let go with this object.

    `is_complete` tells whether all that was to be written was.

    Parameters
    ----------
    descriptor, name
        Of the open file.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.is_complete = True
        self._descriptor, self._name = descriptor, name
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def create(cls) -> Self | None:
        """Make an empty one; None where the system has none to give."""
        if not hasattr(os, "memfd_create"):
            return None
        name = f"daskals-{secrets.token_hex(16)}"
        try:
            shared = cls(os.memfd_create(name), name)
            os.fchmod(shared._descriptor, 0o600)
        except OSError:
            return None
        return shared

    @classmethod
    def find(cls, reference: Reference) -> Self | None:
        """Open what another process, or this one, wrote; None where it cannot be had: it may be gone."""
        place = f"/proc/{reference.process}/fd/{reference.descriptor}"
        with suppress(OSError):
            if _is_named(place, reference.name):
                found = cls(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), reference.name)
                return found if _is_named(f"/proc/self/fd/{found._descriptor}", reference.name) else None
        return None

    @property
    def reference(self) -> Reference:
        """Where others find it, as long as this object is there."""
        return Reference(os.getpid(), self._descriptor, self._name)

    def write(self, rows: FactorRows, offset: int) -> None:
        """Write rows, shape (rows, stride), from a byte on; without memory the file is incomplete."""
        rest = rows.reshape(-1).view(np.uint8).data
        try:
            while rest:
                done = os.pwrite(self._descriptor, rest, offset)
                rest, offset = rest[done:], offset + done
        except OSError:
            self.is_complete = False

    def read(self, rows: FactorRows, offset: int) -> None:
        """Fill rows, contiguous, shape (rows, stride), with what was written from a byte on."""
        rest = rows.reshape(-1).view(np.uint8).data
        while rest:
            done = os.preadv(self._descriptor, [rest], offset)
            assert done, "rows that are read were written"
            rest, offset = rest[done:], offset + done


class Sharing:
    """Which workers share memory; `everywhere` is `Cluster.everywhere`."""

    def __init__(self, everywhere: Callable[..., Mapping[str, Any]]) -> None:
        self._everywhere = everywhere
        self._found: tuple[Sequence[str], bool] = ((), False)

    def among(self, workers: Sequence[str]) -> bool:
        """Tell whether each of several workers reads what another wrote; asked once, until `ask_again`."""
        asked, answer = self._found
        if asked != workers:
            answer = self._ask(workers)
            self._found = workers, answer
        return answer

    def ask_again(self) -> None:
        """Take no answer for granted any more: rows were not there for whoever was told where they lie."""
        self._found = (), False

    def _ask(self, workers: Sequence[str]) -> bool:
        if any(worker.startswith("inproc://") for worker in workers):
            return False  # in one process they have no need to
        offered = self._everywhere(offer, workers=workers)
        references = [reference for reference in offered.values() if reference is not None]
        if len(references) < len(workers):
            return False
        found = self._everywhere(reaches, references, workers=workers)
        return len(found) == len(workers) and all(found.values())


def offer() -> Reference | None:
    """Return where other workers find a file of this one, None where it can make none."""
    shared = _own_file()
    return None if shared is None else shared.reference


def reaches(references: Sequence[Reference]) -> bool:
    """Tell whether this worker finds all files."""
    return all(SharedFile.find(reference) is not None for reference in references)


@cache
def _own_file() -> SharedFile | None:
    return SharedFile.create()


def _is_named(path: str, name: str) -> bool:
    return str(Path(path).readlink()).startswith(f"/memfd:{name}")
