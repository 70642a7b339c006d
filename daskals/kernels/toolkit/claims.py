"""Claims: where several processes need a kernel at the same time, one compiles it and the others wait for it.

A claim is the lock of one byte of a file that lies beside the compiled kernels, the byte numbered by the
kernel's name: the system frees it with its process, however that ends. Kernels within kernels are claimed one
inside the other, and none calls itself, so that no two processes wait for one another.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

WAIT_SECONDS = 30.0
"""What a kernel is waited for at most: whoever claimed it may have been stopped."""

FILE = "claims.lock"
_PAUSE_SECONDS = 0.005
_BYTES = 1 << 62
"""What a file's bytes are numbered below."""


class TakenError(Exception):
    """Another process compiles what this one would only have compiled for it."""


class Claim(NamedTuple):
    """A claim that is held: the file's descriptor, and the byte."""

    descriptor: int
    byte: int

    def release(self) -> None:
        """Let others have it; the system does so too where the process ends."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, self.byte)


@dataclass
class Claims:
    """The claims of this process.

    `is_patient` tells whether it waits for what others have claimed. It always does within a kernel that it
    has claimed itself.
    """

    is_patient: bool = True
    _files: dict[Path, int] = field(default_factory=dict)
    _n_held: int = 0

    def take(self, folder: Path, name: str) -> Claim | None:
        """Claim the kernel whose compiled form has a name in a folder, once nobody else does.

        None where it was waited for too long, or the folder takes no locks: then it is compiled anyway.
        Raises TakenError where somebody else compiles it and this process is not patient.
        """
        try:
            claim = Claim(self._file_in(folder), int(name, 16) % _BYTES)
            ends = time.monotonic() + WAIT_SECONDS
            while not _is_free(claim):
                if not (self.is_patient or self._n_held):
                    raise TakenError(name)
                if time.monotonic() > ends:
                    return None
                time.sleep(_PAUSE_SECONDS)
        except OSError:
            return None
        self._n_held += 1
        return claim

    def release(self, claim: Claim) -> None:
        """Give a claim back."""
        self._n_held -= 1
        claim.release()

    def _file_in(self, folder: Path) -> int:
        # opened once: a process loses all its locks of a file when it closes it
        if folder not in self._files:
            folder.mkdir(parents=True, exist_ok=True)
            self._files[folder] = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._files[folder]


def _is_free(claim: Claim) -> bool:
    """Lock the byte if nobody else has; tell whether that was so."""
    try:
        fcntl.lockf(claim.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, claim.byte)
    except BlockingIOError:
        return False
    except PermissionError:  # what some systems say of a lock that is held
        return False
    return True


CLAIMS = Claims()
"""Those of this process."""
