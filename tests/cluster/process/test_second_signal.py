"""A second signal ends a process at once, whatever it is at."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

TWICE = """
import os, signal
from daskals.cluster.interruption import deferring, handling_signals
with handling_signals(), deferring():
    os.kill(os.getpid(), signal.SIGTERM)
    print("it goes on", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("it still goes on", flush=True)
"""


def test_a_second_signal_ends_it_at_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TWICE], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (130, "it goes on\n")
    assert ended.stderr.splitlines() == [
        "interrupted: ending after this step; once more ends it at once",
        "interrupted again: ended at once",
    ]
