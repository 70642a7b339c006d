"""A hook for tests: stop after a given epoch until told to go on, so that a fault can be placed exactly.

It is set by a variable of the environment, which whoever starts a run may have inherited without knowing: so
the run's log tells of it, and it ends by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from daskals.cluster import interruption
from daskals.errors import ConfigError
from daskals.training.events import Event, Notice

VARIABLE = "DASKALS_PAUSE_AT_EPOCH"
CONTINUE = "continue"
POLL_SECONDS = 0.02
LONGEST_SECONDS = 600.0
"""How long a run stands still at most."""


class PauseHook:
    """A callback that waits after one epoch until the file OUT/continue appears, and removes it.

    Parameters
    ----------
    epoch
        After which epoch.
    folder
        The run's folder, OUT.
    """

    def __init__(self, epoch: int, folder: Path) -> None:
        self._epoch = epoch
        self._file = folder / CONTINUE
        self.tell: Callable[[Event], None] = lambda _: None

    @classmethod
    def from_environment(cls, folder: Path) -> list[PauseHook]:
        """Return the hook that DASKALS_PAUSE_AT_EPOCH asks for, or none."""
        text = os.environ.get(VARIABLE)
        if not text:
            return []
        if not text.isdecimal():
            raise ConfigError(f"found {text!r}", where=VARIABLE, expected="the number of an epoch")
        return [cls(int(text), folder)]

    def __call__(self, event: Event) -> None:
        """Wait, if this is the epoch, until told to go on, interrupted, or for too long."""
        if getattr(event, "epoch", None) != self._epoch:
            return
        self.tell(
            Notice(
                f"paused at epoch {self._epoch} by the variable {VARIABLE}, "
                f"until {self._file} is there or {LONGEST_SECONDS:.0f} s are over"
            )
        )
        print(f"paused at epoch {self._epoch}", flush=True)
        ends = time.monotonic() + LONGEST_SECONDS
        while not (self._file.exists() or interruption.is_noted() or time.monotonic() > ends):
            time.sleep(POLL_SECONDS)
        self._file.unlink(missing_ok=True)
        self.tell(Notice(f"went on after the pause at epoch {self._epoch}"))
