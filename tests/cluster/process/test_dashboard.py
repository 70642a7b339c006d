"""Dask's dashboard answers at the address that was asked for, as long as the run lasts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cases.external import kill_group, wait_for_line
from tests.conftest import ROOT

PAGES = {
    "status": "Dask Diagnostic UI",
    "individual-task-stream": "bokeh",
    "health": "ok",
}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert answer.status == 200
        return answer.read().decode()


def test_the_dashboard_answers_during_a_run(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [
        sys.executable, "-m", "jobs.train", "--dataset", "synthetic-100k", "--model", "als", "--rank", "2",
        "--epochs", "3", "--out", str(tmp_path / "run"), "--dashboard-address", address,
    ]  # fmt: skip
    environment = {**os.environ, "DASKALS_PAUSE_AT_EPOCH": "2"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        try:
            wait_for_line(run, f"dashboard http://{address}/status")
            wait_for_line(run, "paused at epoch 2")
            for name, content in PAGES.items():
                assert content in page(f"http://{address}/{name}"), name
            (tmp_path / "run" / "continue").touch()
            run.communicate(timeout=60)
            assert run.returncode == 0
        finally:
            kill_group(run)
    with pytest.raises(urllib.error.URLError):
        page(f"http://{address}/health")
