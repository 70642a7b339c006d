"""A training that was killed, as a person who comes late sees it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cases.watch_cases import arguments, seen, train
from tests.conftest import ROOT


def test_a_killed_run_says_how_it_goes_on(tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.train", *arguments(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "DASKALS_PAUSE_AT_EPOCH": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert any(line.startswith("paused at epoch 2") for line in process.stdout)
    assert "epoch 2/4" in seen(tmp_path / "run")
    process.kill()
    process.wait()
    process.stdout.close()
    text = seen(tmp_path / "run", code=1)
    assert "gone" in text
    assert "run the same command with --resume, it goes on from the last checkpoint" in text
    train(tmp_path, "--resume")
    assert "ended" in seen(tmp_path / "run")
