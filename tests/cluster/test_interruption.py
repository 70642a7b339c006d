"""Ctrl-C and SIGTERM are never lost: a run ends at its next step, its state kept, to go on from it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from daskals.cluster.interruption import AGAIN_SECONDS, INTERRUPTED, check, handling_signals
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.retrain.run import run_night
from daskals.serving import lists
from daskals.store.checkpoint_files import list_states
from daskals.training.als import AlsStep
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import EpochFinished, Event
from daskals.training.run import NO_OPTIONS, RunOptions
from jobs import recommend, retrain, train, tune
from jobs._pause_hook import PauseHook
from jobs._signals import Command
from tests.cases.night_cases import command, config_of, deliver, ratings_of_day
from tests.cases.outcomes import outcome
from tests.cases.watch_cases import arguments

CONFIG = TrainConfig.parse({"model": "als", "rank": 3, "epochs": 4, "seed": 1, "order": "rating"})


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


class Finalised:
    """Whatever is raised while one goes is dropped."""

    def __del__(self) -> None:
        interrupt()
        for _ in range(100):  # where Python looks for signals
            pass


def test_a_signal_in_a_finaliser_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    with handling_signals():
        finalised = Finalised()
        del finalised
        with pytest.raises(KeyboardInterrupt):
            check()
        time.sleep(2 * AGAIN_SECONDS)  # who has seen it is not interrupted once more
    assert capsys.readouterr().err == ""


def test_a_signal_in_a_finaliser_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    def finalise() -> None:
        with handling_signals():
            finalised = Finalised()
            del finalised
            time.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        finalise()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("moment", ["parse_args", "invoke"])
def test_a_signal_outside_of_what_a_command_does_ends_it_likewise(moment: str, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        interrupt()
        time.sleep(30)

    monkeypatch.setattr(Command, moment, interrupted)
    ended = CliRunner().invoke(recommend.main, ["nowhere"])
    assert ended.exit_code == INTERRUPTED
    assert ended.output.strip() == "interrupted: nothing was left half-written"


@pytest.mark.long
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)], ids=["TERM", "INT"]
)
def test_a_training_ends_after_the_epoch_with_its_state(cluster: Cluster, tmp_path: Path, number) -> None:
    def callback(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            interrupt(number)

    run = RunOptions(Checkpoints(tmp_path, 1000))
    with pytest.raises(KeyboardInterrupt), handling_signals():
        fit("synthetic-100k", CONFIG, cluster.client, [callback], run)
    assert [path.name for path in list_states(tmp_path)] == ["epoch-000002"]
    resumed = fit(
        "synthetic-100k", CONFIG, cluster.client, run=RunOptions(Checkpoints(tmp_path, 1000, resume=True))
    )
    assert resumed.report["resumed_from"] == 2
    assert outcome(resumed) == outcome(fit("synthetic-100k", CONFIG, cluster.client, run=NO_OPTIONS))


def test_a_paused_run_ends_with_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASKALS_PAUSE_AT_EPOCH", "2")
    monkeypatch.setattr("jobs._pause_hook.print", lambda *_, **__: interrupt(), raising=False)
    result = CliRunner().invoke(train.main, arguments(tmp_path))
    assert result.exit_code == 130
    assert f"the run can be continued: --resume --out {tmp_path / 'run'}" in result.output
    assert [path.name for path in list_states(tmp_path / "run" / "checkpoints")] == ["epoch-000002"]
    assert not (tmp_path / "run" / "run.lock").exists()


def test_a_pause_is_told_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs._pause_hook.LONGEST_SECONDS", 0.1)
    told: list[Event] = []
    hook = PauseHook(1, tmp_path)
    hook.tell = told.append
    hook(EpochFinished(1, 4, 1.0, 1.0, None, None, 1.0, 1.0))
    assert "paused at epoch 1 by the variable DASKALS_PAUSE_AT_EPOCH" in told[0].text
    assert told[1].text == "went on after the pause at epoch 1"
    monkeypatch.setattr("jobs._pause_hook.LONGEST_SECONDS", 60.0)
    (tmp_path / "continue").touch()
    hook(EpochFinished(1, 4, 1.0, 1.0, None, None, 1.0, 1.0))
    assert len(told) == 4
    assert not (tmp_path / "continue").exists()


def interrupt_once(monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    """Send a signal as an epoch is awaited, in whatever thread."""
    finish, turns = AlsStep.finish, []

    def interrupted(self, *arguments):
        turns.append(1)
        if len(turns) == turn:
            interrupt(signal.SIGTERM)
        return finish(self, *arguments)

    monkeypatch.setattr(AlsStep, "finish", interrupted)


@pytest.mark.long
def test_a_search_keeps_the_trials_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ratings_of_day(1).to_csv(tmp_path / "ratings.csv", index=False)
    options = [
        "--data", tmp_path / "ratings.csv", "--out", tmp_path / "tune", "--model", "als", "--rank", 2,
        "--epochs", 3, "--grid", "tau=0.1,0.2,0.4,0.8", "--dashboard-address", "none",
        "--threads-per-worker", 1,
    ]  # fmt: skip
    arguments = list(map(str, options))
    with monkeypatch.context() as patch:
        interrupt_once(patch, 7)
        result = CliRunner().invoke(tune.main, arguments)
        assert result.exit_code == 130, result.output
    again = CliRunner().invoke(tune.main, arguments)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "tune" / "best.json").exists()


@pytest.mark.long
def test_a_night_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = []
    for name in ("calm", "interrupted"):
        home = tmp_path / name / "home"
        deliver(home.parent / "incoming", 1)
        if name == "interrupted":
            with monkeypatch.context() as patch:
                interrupt_once(patch, 2)
                assert CliRunner().invoke(retrain.main, command(home, 1)).exit_code == 130
        versions.append(run_night(config_of(home, 1))[0].version)
    assert versions[0] == versions[1] is not None


@pytest.mark.long
def test_lists_are_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(train.main, arguments(tmp_path)).exit_code == 0
    monkeypatch.setattr(lists, "ROWS_A_PART", 8)
    monkeypatch.setattr("jobs._part_progress.PartProgress.__call__", lambda *_: interrupt())
    out = tmp_path / "lists"
    result = CliRunner().invoke(recommend.main, [str(tmp_path / "run"), "--out", str(out)])
    assert result.exit_code == 130, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"ratings.csv", "run"}
