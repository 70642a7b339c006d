"""Who sets the clock kills nobody: locks and leases of this host are told by what does not move."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from daskals.errors import OutputError
from daskals.registry.leases import LEASES, marked, using
from daskals.registry.storage import FolderStorage
from daskals.store.lock import FolderLock, is_running, process_start, refuse_if_owned


@pytest.fixture(params=[1.0, -3600.0])
def stepped_clock(request, monkeypatch: pytest.MonkeyPatch):
    """Return what sets the clock: all that is computed from it moves."""
    now, created = time.time, psutil.Process.create_time

    def step() -> None:
        monkeypatch.setattr(time, "time", lambda: now() + request.param)
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + request.param)

    return step


VERSION = "2024-05-01-0123456789ab"


def test_a_lock_survives_a_step_of_the_clock(tmp_path: Path, stepped_clock) -> None:
    with FolderLock(tmp_path / "run.lock") as lock:
        stepped_clock()
        with pytest.raises(OutputError, match="is in use by process"):
            refuse_if_owned(tmp_path / "run.lock")
        lock.check()


def test_a_lease_survives_a_step_of_the_clock(tmp_path: Path, stepped_clock) -> None:
    storage = FolderStorage(tmp_path)
    with using(storage, VERSION):
        stepped_clock()
        assert marked(storage, LEASES, VERSION)
    assert not marked(storage, LEASES, VERSION)


def test_a_process_is_told_from_others_of_its_number() -> None:
    own = process_start(os.getpid())
    assert is_running(os.getpid(), own)
    assert not is_running(os.getpid(), f"{own}0")
    assert not is_running(os.getpid(), None)
    # as files of older versions have it
    assert is_running(os.getpid(), psutil.Process().create_time())
    assert not is_running(os.getpid(), psutil.Process().create_time() - 60)


def test_a_process_that_ended_is_dead_though_nobody_looked_after_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = process_start(process.pid)
        assert is_running(process.pid, started)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process.pid, started)
