"""What happens, a line of JSON an event: for machines, and for who comes late."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daskals.cluster import interruption
from daskals.errors import DaskalsError, OutputError, without_secrets
from daskals.store.lock import process_start
from daskals.training.events import EpochFinished, Event, PhaseStarted

LOG = "log.jsonl"


class EventLog:
    """Appends events to a file, each written whole by one call; a log that is there is continued.

    A callback of training; what else happens goes through `phase` and `add`. Listeners are told too.
    """

    def __init__(self, path: Path, listeners: Sequence[Callable[[Event], None]] = ()) -> None:
        self.path = path
        self._listeners = tuple(listeners)
        self._training = ""

    def __call__(self, event: Event) -> None:
        """Take an event of training; raise KeyboardInterrupt where a signal came and nobody else will."""
        if not interruption.is_deferred():
            interruption.check()
        for listener in self._listeners:
            listener(event)
        if isinstance(event, PhaseStarted):
            self.add("phase", phase=event.phase, training=self._training)
        elif isinstance(event, EpochFinished):
            self.add("epoch", training=self._training, **asdict(event))
        else:
            self.add("notice", text=str(getattr(event, "text", event)))

    @contextmanager
    def run(self, name: str, *, again: str, failure: int = 1) -> Iterator[None]:
        """Log that a run begins and, should the block fail, that it ended and why.

        The block itself says how a run ended that did not fail, by `ended`. `again` is what a person does to
        take it up again where it failed or was killed, a clause.
        """
        self.add("begin", run=name, again=again, process_started=process_start(os.getpid()))
        try:
            yield
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            with suppress(OutputError):  # the failure itself is what is told
                self.add(
                    "end",
                    failed=True,
                    code=interruption.INTERRUPTED if interrupted else failure,
                    summary="interrupted" if interrupted else _told(error),
                )
            raise

    def ended(self, code: int, summary: str) -> None:
        """Say how the run ended."""
        self.add("end", failed=False, code=code, summary=summary)

    def training(self, name: str) -> None:
        """Say which training the next events belong to."""
        self._training = name

    def phase(self, name: str) -> None:
        """Say that something else begins; raise KeyboardInterrupt where a signal came before."""
        interruption.check()
        self._training = ""
        for listener in self._listeners:
            listener(PhaseStarted(name))
        self.add("phase", phase=name, training="")

    def add(self, event: str, **values: Any) -> None:
        """Write one line, or raise OutputError where that fails."""
        line = {"time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), "event": event}
        text = json.dumps(
            {**line, "host": socket.gethostname(), "pid": os.getpid(), **values}, allow_nan=False
        )
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(without_secrets(text) + "\n")
        except OSError as error:
            raise OutputError.unwritable("file", self.path, error) from error


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


def _told(error: BaseException) -> str:
    text = error.for_command() if isinstance(error, DaskalsError) else str(error)
    return text or type(error).__name__
