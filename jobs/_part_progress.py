"""The progress of work that is done in parts."""

from __future__ import annotations

import sys
import time

from rich.progress import Progress


class PartProgress:
    """Shows how many rows are done: a bar on a terminal, nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self.total = 0
        self.seconds = 0.0
        self._what = what
        self._visible = sys.stdout.isatty()
        self._bar = Progress(transient=True, disable=not self._visible)
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> PartProgress:
        self._started = time.perf_counter()
        if self._visible:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._visible:  # one that is disabled ends in an empty line too, of rich before 13.8
            self._bar.stop()
        self.seconds = time.perf_counter() - self._started

    def __call__(self, done: int, total: int) -> None:
        """Take note of a finished part."""
        self.total = total
        self._bar.update(self._task, completed=done, total=total)
