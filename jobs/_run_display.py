"""What a person sees of a training run: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from daskals.errors import without_secrets
from daskals.ratings.shown_text import on_terminal
from daskals.training.events import EpochFinished, Event, Notice, PhaseStarted
from jobs._terminal import cell, make_console


class Display(AbstractContextManager["Display"], Protocol):
    """Something that is told what happens."""

    def say(self, text: str) -> None:
        """Print one line."""

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""


class SilentDisplay:
    """Prints nothing."""

    def __enter__(self) -> SilentDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def say(self, text: str) -> None:
        """Print nothing."""

    def __call__(self, event: Event) -> None:
        """Show nothing."""


MOST_EPOCH_LINES = 60
"""Lines that the epochs of one training print where they are fast; a long chain leaves some out, evenly."""

MOST_SILENT_SECONDS = 5.0
"""Where epochs take their time, none is left out that ends as long after the line before."""


class LineDisplay(SilentDisplay):
    """Prints a plain line for each event, flushed as it is printed."""

    def __init__(self) -> None:
        self._said = 0.0
        self._phase = ""

    def say(self, text: str) -> None:
        """Print one line."""
        self._said = time.monotonic()
        print(on_terminal(without_secrets(text), lines=True), flush=True)

    def __call__(self, event: Event) -> None:
        """Print an event, but for a phase that is said, and the epochs that would be too many lines."""
        phase = event.phase if isinstance(event, PhaseStarted) else ""
        if phase and phase == self._phase:
            return
        self._phase = phase
        silent = time.monotonic() - self._said
        if not isinstance(event, EpochFinished) or silent > MOST_SILENT_SECONDS or _is_shown(event):
            self.say(describe(event))


def _is_shown(event: EpochFinished) -> bool:
    """Tell whether an epoch is one of the evenly spaced ones that are printed; the last one always is."""
    every = -(-event.epochs // MOST_EPOCH_LINES)
    return event.epoch % every == 0 or event.epoch in (1, event.epochs)


class LiveDisplay:
    """Keeps one panel up to date on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._phase = ""
        self._last: EpochFinished | None = None
        self._dashboard: str | None = None

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._last is not None:
            self._console.print(describe(self._last), highlight=False)

    def say(self, text: str) -> None:
        """Print one line above the panel."""
        shown = on_terminal(without_secrets(text), lines=True)
        self._console.print(shown, markup=False, highlight=False, soft_wrap=True)

    def __call__(self, event: Event) -> None:
        """Show an event in the panel."""
        if isinstance(event, Notice):
            self.say(event.text)
        elif isinstance(event, EpochFinished):
            self._last = event
        else:
            self._phase = event.phase
        self._live.update(self._panel())

    def _panel(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row("phase", cell(self._phase))
        if self._last is not None:
            last = self._last
            done = round(30 * last.epoch / last.epochs)
            table.add_row("epoch", f"{'━' * done}{'╺' * (30 - done)} {last.epoch}/{last.epochs}")
            table.add_row("objective", f"{last.objective:,.2f}")
            figures = (last.train_rmse, last.validation_rmse, last.test_rmse)
            for name, value in zip(("train RMSE", "validation RMSE", "test RMSE"), figures, strict=True):
                if value is not None:
                    table.add_row(name, f"{value:.5f}")
            table.add_row("epoch time", f"{last.seconds:.3f} s, {_rate(last)}")
        return table


def describe(event: Event) -> str:
    """Return the line that tells an event."""
    if isinstance(event, Notice):
        return event.text
    if isinstance(event, PhaseStarted):
        return f"{event.phase} …"
    parts = [
        f"epoch {event.epoch}/{event.epochs}",
        f"objective {event.objective:,.2f}",
    ]
    if event.train_rmse is not None:
        parts.append(f"train RMSE {event.train_rmse:.5f}")
    if event.validation_rmse is not None:
        parts.append(f"validation RMSE {event.validation_rmse:.5f}")
    if event.test_rmse is not None:
        parts.append(f"test RMSE {event.test_rmse:.5f}")
    return "  ".join([*parts, f"{event.seconds:.3f} s", _rate(event)])


def _rate(event: EpochFinished) -> str:
    return f"{event.ratings_per_second / 1e6:.1f} M ratings/s"


def make_display(*, quiet: bool) -> Display:
    """Choose the display that fits the output."""
    if quiet:
        return SilentDisplay()
    if sys.stdout.isatty():
        return LiveDisplay(make_console())
    return LineDisplay()
