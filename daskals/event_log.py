"""What happens, a line of JSON an event: for machines, and for who comes late."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daskals.errors import OutputError
from daskals.training.events import EpochFinished, Event, PhaseStarted

LOG = "log.jsonl"


class EventLog:
    """Appends events to a file, each written whole by one call.

    A callback of training; what else happens goes through `phase` and `add`.

    Parameters
    ----------
    path
        The file; its folder must exist. A log that is there is continued.
    listeners
        Also told every event of training.
    """

    def __init__(self, path: Path, listeners: Sequence[Callable[[Event], None]] = ()) -> None:
        self.path = path
        self._listeners = tuple(listeners)
        self._training = ""

    def __call__(self, event: Event) -> None:
        """Take an event of training."""
        for listener in self._listeners:
            listener(event)
        if isinstance(event, PhaseStarted):
            self.add("phase", phase=event.phase, training=self._training)
        elif isinstance(event, EpochFinished):
            self.add("epoch", training=self._training, **asdict(event))
        else:
            self.add("notice", text=str(getattr(event, "text", event)))

    def training(self, name: str) -> None:
        """Say which training the next events belong to."""
        self._training = name

    def phase(self, name: str) -> None:
        """Say that something else begins."""
        self._training = ""
        for listener in self._listeners:
            listener(PhaseStarted(name))
        self.add("phase", phase=name, training="")

    def add(self, event: str, **values: Any) -> None:
        """Write one line."""
        line = {"time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), "event": event}
        text = json.dumps(
            {**line, "host": socket.gethostname(), "pid": os.getpid(), **values}, allow_nan=False
        )
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot be written ({error.strerror or error})",
                where=str(self.path),
                expected="a file that can be written, with room on its disk",
                remedy="Check permissions and free space",
            ) from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log; a line that a kill cut short is left out."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            events.append(event)
    return events
