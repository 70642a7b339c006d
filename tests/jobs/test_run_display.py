"""What a run prints where there is no terminal."""

from __future__ import annotations

import pytest

from daskals.training.events import EpochFinished
from jobs import _run_display
from jobs._run_display import MOST_EPOCH_LINES, LineDisplay


@pytest.mark.parametrize("epochs", [1, 3, 60, 61, 240, 400, 1_000])
def test_long_trainings_print_some_epochs_evenly_with_the_first_and_the_last(capsys, epochs):
    display = LineDisplay()
    for epoch in range(1, epochs + 1):
        display(EpochFinished(epoch, epochs, 10.0, 0.9, None, None, 0.1, 1e6))
    told = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert told[0] == f"1/{epochs}"
    assert told[-1] == f"{epochs}/{epochs}"
    assert min(epochs, MOST_EPOCH_LINES / 2) <= len(told) <= min(epochs, MOST_EPOCH_LINES + 2)


def test_epochs_that_take_their_time_are_all_printed(capsys, monkeypatch):
    monkeypatch.setattr(_run_display, "MOST_SILENT_SECONDS", -1.0)
    display = LineDisplay()
    for epoch in range(1, 241):
        display(EpochFinished(epoch, 240, 10.0, 0.9, None, None, 0.1, 1e6))
    assert len(capsys.readouterr().out.splitlines()) == 240
