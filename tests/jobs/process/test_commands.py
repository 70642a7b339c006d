"""Commands as processes: quick help, and Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT


def test_help_is_quick() -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-m", "jobs.train", "--help"], cwd=ROOT, capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - started)
    assert result.returncode == 0
    assert "--test-fraction" in result.stdout
    # what makes help slow is importing the heavy libraries: that is what is checked, not the clock
    heavy = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jobs.train", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stderr
    for library in ("numba", "distributed", "zarr", "pyarrow", "pandas", "scipy", "rich", "numpy"):
        assert f" {library}\n" not in heavy, f"--help imports {library}"


def test_interrupted_run_leaves_what_it_goes_on_from(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jobs.train",
            "--data",
            ratings,
            "--epochs",
            "100000",
            "--out",
            out,
            "--dashboard-address",
            "none",
            "--checkpoint-every",
            "100000",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert {entry.name for entry in out.iterdir()} == {"checkpoints", "log.jsonl"}
    assert len(list((out / "checkpoints").iterdir())) == 1
    assert {entry.name for entry in tmp_path.iterdir()} == {"ratings.csv", "run"}
