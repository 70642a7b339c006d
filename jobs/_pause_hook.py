"""A hook for tests: stop after a given epoch until told to go on, so that a fault can be placed exactly."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from daskals.errors import ConfigError

if TYPE_CHECKING:
    from daskals.training.events import Event

VARIABLE = "DASKALS_PAUSE_AT_EPOCH"
CONTINUE = "continue"
POLL_SECONDS = 0.02


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
        """Wait, if this is the epoch."""
        if getattr(event, "epoch", None) != self._epoch:
            return
        print(f"paused at epoch {self._epoch}", flush=True)
        while not self._file.exists():
            time.sleep(POLL_SECONDS)
        self._file.unlink()
