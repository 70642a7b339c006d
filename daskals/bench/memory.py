"""Resident memory at its highest, of this process and the processes it started."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from daskals.training.memory import begin_peak


def reset_peak() -> None:
    """Let this process's peak start anew from what is resident now, where the system allows it."""
    begin_peak()


def peak_memory_bytes() -> int:
    """Return the sum of the peaks of this process and of its living children.

    A system with worker processes asks before it stops them.
    """
    own = psutil.Process()
    return sum(_peak(process) for process in [own, *own.children(recursive=True)])


def _peak(process: psutil.Process) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
