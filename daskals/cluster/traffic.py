"""What workers sent to one another: also those that died, as of the last time that somebody looked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

LOOK_SECONDS = 1.0
"""How often a run looks: what a worker sent in its last second is not known to anybody."""


class Traffic:
    """Bytes that workers sent since the first look; `ask` returns what each has sent in its life."""

    def __init__(self, ask: Callable[[], Mapping[str, int]]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._before: Mapping[str, int] | None = None
        self._last: dict[str, int] = {}
        self._looked = 0.0

    def look_now_and_then(self) -> None:
        """Take note of what was sent, if nobody did for `LOOK_SECONDS`."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self.total()

    def total(self) -> int:
        """Return all bytes so far."""
        found = self._ask()
        with self._lock:
            if self._before is None:
                self._before = dict(found)
            self._last |= found
            self._looked = time.monotonic()
            return sum(n - self._before.get(worker, 0) for worker, n in self._last.items())


def sent_bytes(dask_worker: Any) -> int:
    """Return what the worker that this runs on has sent in its life."""
    return int(dask_worker.transfer_outgoing_bytes_total)
