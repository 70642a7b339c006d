"""What a run prints where there is no terminal."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from daskals.training.events import EpochFinished, Notice, PhaseStarted
from jobs import _run_display
from jobs._plain_text import survive_any_terminal
from jobs._run_display import MOST_EPOCH_LINES, LineDisplay, LiveDisplay


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


def test_a_phase_that_goes_on_is_said_once(capsys):
    display = LineDisplay()
    for event in (
        PhaseStarted("read"),
        *[PhaseStarted("compile")] * 4,
        Notice("so"),
        PhaseStarted("compile"),
    ):
        display(event)
    assert capsys.readouterr().out.splitlines() == ["read …", "compile …", "so", "compile …"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_ascii_terminal_gets_other_signs(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
    survive_any_terminal()
    with LiveDisplay(Console(force_terminal=True, width=80)) as display:
        display(PhaseStarted("read"))
        display(EpochFinished(1, 2, 10.0, 0.9, None, None, 0.1, 1e6))
        display.say("α of 1 → 2 … ★ 日")
    shown = written.getvalue().decode(encoding)
    assert "alpha of 1 -> 2 ... * ?" in shown
    assert "===============---------------" in shown.replace("\x1b[0m", "")
    assert "read ..." in line_displayed(encoding, monkeypatch)


def line_displayed(encoding: str, monkeypatch) -> str:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
    survive_any_terminal()
    LineDisplay()(PhaseStarted("read"))
    return written.getvalue().decode(encoding)
