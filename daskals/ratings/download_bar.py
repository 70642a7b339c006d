"""Progress bar for downloads, in the form pooch asks for."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class DownloadBar:
    """Shows bytes, speed and remaining time on the standard error.

    Parameters
    ----------
    label
        What is fetched.
    visible
        Whether anything is shown.
    """

    def __init__(self, label: str, *, visible: bool) -> None:
        self._visible = visible
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not visible,
        )
        self._task = self._progress.add_task(label, total=None)
        self.total = 0

    def __enter__(self) -> DownloadBar:
        if self._visible:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:  # one that is disabled ends in an empty line too, of rich before 13.8
            self._progress.stop()

    def update(self, n_bytes: int) -> None:
        """Add bytes that arrived."""
        self._progress.update(self._task, advance=n_bytes, total=self.total or None)

    def reset(self) -> None:
        """Start counting anew."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Do nothing: the bar is closed by leaving its context."""
