"""Which files in shared memory a process holds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def held_files(name: str = "daskals-") -> int:
    """Count descriptors of this process that are of files in shared memory whose names begin so."""
    found = 0
    for place in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found += str(place.readlink()).startswith(f"/memfd:{name}")
    return found
