"""The service in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT


@contextmanager
def serving(model: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the service until the block ends; give its process, the version it serves, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.serve", str(model), "--port", "0", *map(str, options)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith("serving "), process.communicate()[1]
        yield process, told.split()[1], told.split()[3].rstrip(",")
    finally:
        process.kill()
        process.communicate()
