"""Peak memory of this process, wherever it runs, since a run began."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path


def begin_peak() -> None:
    """Let this process's peak start anew from what is resident now, where the system allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process since `begin_peak`, in bytes.

    Since it started, where the system tells nothing else.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
