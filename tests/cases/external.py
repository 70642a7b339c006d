"""A Dask cluster of real processes on loopback, started and stopped by tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.conftest import ROOT

START_SECONDS = 60
REGISTERED = r"Registered to:\s+(\S+)"
RESTFUL = {"NUMBA_NUM_THREADS": "1", "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s"}
"""Processes that leave the machine to whoever works: one thread, and loops that sleep longer than Dask's."""


class ExternalCluster:
    """`dask scheduler` and `dask worker` as a person starts them; everything ends with the context."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        options: Sequence[str] = (),
        nanny: bool = False,
        env: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.options = list(options)
        self.env = env or {}
        self.nanny = nanny
        self.address = ""
        self.scheduler: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []
        self._n_workers = workers
        self._logs = 0

    def __enter__(self) -> ExternalCluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        protocol = "tls" if any("tls" in option for option in self.options) else "tcp"
        self.scheduler, log = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *self.options
        )
        try:
            self.address = wait_for(log, rf"Scheduler at:\s+({protocol}://127.0.0.1:\d+)", self.scheduler)
            for process, worker_log in [self._start_worker() for _ in range(self._n_workers)]:
                wait_for(worker_log, REGISTERED, process)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in [*self.workers, self.scheduler]:
            kill_group(process)

    def add_worker(self, *options: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a worker and wait until the scheduler has it."""
        process, log = self._start_worker(*options, env=env)
        wait_for(log, REGISTERED, process)
        return process

    def _start_worker(
        self, *options: str, env: dict[str, str] | None = None
    ) -> tuple[subprocess.Popen[bytes], Path]:
        extra = [*self.options, *options] + ([] if self.nanny else ["--no-nanny"])
        process, log = self._start(
            "worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard",
            "--memory-limit", "0", "--local-directory", str(self.folder), *extra, env=env,
        )  # fmt: skip
        self.workers.append(process)
        return process, log

    def _start(
        self, role: str, *options: str, env: dict[str, str] | None = None
    ) -> tuple[subprocess.Popen[bytes], Path]:
        self._logs += 1
        log = self.folder / f"{role}-{self._logs}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", role, *options], cwd=ROOT, stdout=file, stderr=file,
                start_new_session=True, env={**os.environ, **RESTFUL, **self.env, **(env or {})},
            )  # fmt: skip
        return process, log


def wait_for(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> str:
    """Return what a log says once it says it."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return found.group(1)
        assert process.poll() is None, log.read_text(errors="replace")
        time.sleep(0.02)
    raise AssertionError(f"{pattern!r} never came: {log.read_text(errors='replace')}")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its children and wait for it; the number of one that ended may be another's."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def wait_for_line(process: subprocess.Popen[str], start: str) -> None:
    """Read what a process prints up to a line that starts so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"it ended before {start!r}")
