"""Peak memory of this process, wherever it runs."""

from __future__ import annotations

import resource
import sys


def peak_memory_bytes() -> int:
    """Return the largest resident memory this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
