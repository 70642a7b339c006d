"""What a person who comes late wants to know of a run: at what it is, how far, how well, how long still."""

from __future__ import annotations

import datetime as dt
import socket
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskals.errors import OutputError
from daskals.store.lock import is_running
from daskals.training.event_log import LOG, read_log


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a run stands.

    Attributes
    ----------
    run, state
        What it is; "running", "ended", "failed", or "gone": its process died.
    phase, training
        At what it is; which of several trainings, or empty.
    epoch, epochs
        Epochs done in that training, and of how many; 0 before the first.
    train_rmse, validation_rmse
        Of the last epoch.
    seconds
        Since it began.
    seconds_left
        Of this training, by the median epoch; None where nothing is known.
    code, summary
        How it ended.
    again, notices
        What to do where it failed or is gone, a clause; what else happened, the last three.
    """

    run: str
    state: str
    phase: str
    training: str
    epoch: int
    epochs: int
    train_rmse: float | None
    validation_rmse: float | None
    seconds: float
    seconds_left: float | None
    code: int | None
    summary: str
    again: str
    notices: list[str]


def find_log(path: Path) -> Path:
    """Return the log of a run's folder, of a night's, or of the last night of the nightly job's home.

    Raises OutputError if there is none.
    """
    if (path / LOG).is_file():
        return path / LOG
    logs = sorted((path / "nights").glob(f"*/{LOG}"), key=lambda log: log.stat().st_mtime)
    if not logs:
        raise OutputError(
            f"holds no {LOG}",
            where=str(path),
            expected="the folder of a run, of a night, or the home of the nightly job",
            remedy="Look where --out or --home pointed to",
        )
    return logs[-1]


def status_of(log: Path) -> Status:
    """Read how a run stands from its log; raise OutputError where the log has no event yet."""
    events = read_log(log)
    begins = [place for place, event in enumerate(events) if event["event"] == "begin"]
    if not begins:
        raise OutputError("holds no event yet", where=str(log), expected="a run that began")
    # a run that was cut off and began again continues its log
    events = events[begins[-1] :]
    end = next((event for event in events if event["event"] == "end"), None)
    phases = [event for event in events if event["event"] == "phase"]
    training = phases[-1]["training"] if phases else ""
    epochs = _epochs(events, training)
    last: dict[str, Any] = epochs[-1] if epochs else {}
    left = None
    if epochs and end is None:
        left = statistics.median(epoch["seconds"] for epoch in epochs) * (last["epochs"] - last["epoch"])
    return Status(
        run=str(events[0].get("run", log.parent.name)),
        state=_state(events[0], end),
        phase=phases[-1]["phase"] if phases else "begin",
        training=training,
        epoch=int(last.get("epoch", 0)),
        epochs=int(last.get("epochs", 0)),
        train_rmse=last.get("train_rmse"),
        validation_rmse=last.get("validation_rmse"),
        seconds=_seconds_since(events[0], end),
        seconds_left=left,
        code=None if end is None else end["code"],
        summary="" if end is None else end["summary"],
        again=events[0]["again"],
        notices=[event["text"] for event in events if event["event"] == "notice"][-3:],
    )


def _epochs(events: list[dict[str, Any]], training: str) -> list[dict[str, Any]]:
    """Return the epochs of a training since it began: one that follows another counts its own."""
    begins = [place for place, event in enumerate(events) if event.get("phase") == "train"]
    since = events[begins[-1] :] if begins else []
    return [event for event in since if event["event"] == "epoch" and event["training"] == training]


def _state(begin: dict[str, Any], end: dict[str, Any] | None) -> str:
    if end is not None:
        return "failed" if end["failed"] else "ended"
    # of a process on another host nothing is known
    elsewhere = begin["host"] != socket.gethostname()
    return "running" if elsewhere or is_running(begin["pid"], begin["process_started"]) else "gone"


def _seconds_since(begin: dict[str, Any], end: dict[str, Any] | None) -> float:
    started = dt.datetime.fromisoformat(begin["time"])
    until = dt.datetime.now(dt.UTC) if end is None else dt.datetime.fromisoformat(end["time"])
    return (until - started).total_seconds()
