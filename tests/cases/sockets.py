"""Sockets at which processes wait for somebody."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.cases.external import kill_group
from tests.conftest import ROOT

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def listening(pid: int | None = None) -> Counter[tuple[str, int]]:
    """Count the addresses at which a process and those that it started wait for somebody."""
    own = psutil.Process(pid)
    found: Counter[tuple[str, int]] = Counter()
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    found[one.laddr.ip, one.laddr.port] += 1
    return found


@contextlib.contextmanager
def listening_command(command: list[str], port: int, folder: Path) -> Iterator[int]:
    """Run a command until the block ends; give its process once somebody answers at the port."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as run:  # fmt: skip
        try:
            until = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=5):
                    break
                assert run.poll() is None, f"{command} ended with {run.returncode}"
                assert time.monotonic() < until, f"{command} never listened at {port}"
                time.sleep(0.2)
            yield run.pid
        finally:
            kill_group(run)
