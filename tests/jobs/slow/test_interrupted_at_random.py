"""Ctrl-C and SIGTERM at random moments: every command ends, and what was begun can be gone on with."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from daskals.store.checkpoint_files import list_states
from tests.cases.interrupted import COMMANDS, start
from tests.cases.night_cases import command, deliver
from tests.cases.watch_cases import arguments

MOMENTS = 50
LONGEST_SECONDS = 120.0


def invoke(name: str, given: list[str], log: Path, after: tuple[float, signal.Signals] | None) -> int:
    """Run a command, interrupted after some seconds if asked; return its exit code."""
    ready = Path(f"{log}.ready")
    ready.unlink(missing_ok=True)
    process = start(name, given, log)
    try:
        deadline = time.monotonic() + LONGEST_SECONDS
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        if after is not None:
            seconds, number = after
            process.join(seconds)
            if process.is_alive():
                os.kill(process.pid, number)
        process.join(LONGEST_SECONDS)
        assert not process.is_alive(), f"it goes on: {log.read_text()}"
        assert process.exitcode is not None
        return process.exitcode
    finally:
        process.kill()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    assert invoke("train", arguments(folder), folder / "log", None) == 0
    return folder / "run"


def arguments_of(name: str, folder: Path, model: Path) -> list[str]:
    if name == "train":
        return arguments(folder, "--epochs", 60, "--order", "rating")
    if name == "tune":
        arguments(folder)  # writes the ratings
        return [
            "--data", str(folder / "ratings.csv"), "--out", str(folder / "tune"), "--model", "als",
            "--rank", "2", "--epochs", "10", "--grid", "tau=0.1,0.2,0.4,0.8", "--dashboard-address", "none",
        ]  # fmt: skip
    if name == "retrain":
        deliver(folder / "incoming", 1)
        return command(folder / "home", 1)
    if name == "recommend":
        return [str(model), "--out", str(folder / "lists"), "--overwrite"]
    return [str(model), "--port", "0"]


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_a_random_moment_ends_it(tmp_path: Path, model: Path, name: str, moment: int) -> None:
    rng = random.Random(f"{name} {moment}")
    given, log = arguments_of(name, tmp_path, model), tmp_path / "log"
    after = (rng.uniform(0.0, 2.5), rng.choice([signal.SIGINT, signal.SIGTERM]))
    code = invoke(name, given, log, after)
    assert code in (0, 130), log.read_text()
    assert "Traceback" not in log.read_text()
    if name == "serve":
        return
    if name == "train":
        assert not (tmp_path / "run" / "run.lock").exists()
        if list_states(tmp_path / "run" / "checkpoints"):
            given = [*given, "--resume"]
    if code == 130 or name != "train":
        assert invoke(name, given, log, None) == 0, log.read_text()
