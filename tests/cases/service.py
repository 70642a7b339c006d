"""The service in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.conftest import ROOT


class Service(NamedTuple):
    """A service that runs.

    Attributes
    ----------
    process
        Its process.
    version, address
        What it serves, and where.
    log
        File of what it writes on standard error: nobody reads a pipe while it is asked, and a full one
        stops it.
    """

    process: subprocess.Popen[str]
    version: str
    address: str
    log: Path

    def ended(self, seconds: float) -> tuple[int, str, str]:
        """Wait for its end; return its code, and what else it wrote on standard output and error."""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, self.log.read_text()


@contextmanager
def serving(model: Path, *options: object) -> Iterator[Service]:
    """Run the service until the block ends."""
    with TemporaryDirectory(prefix="daskals-tests-") as folder, (Path(folder) / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.serve", str(model), "--port", "0", *map(str, options)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            assert told.startswith("serving "), Path(log.name).read_text()
            yield Service(process, told.split()[1], told.split()[3].rstrip(","), Path(log.name))
        finally:
            process.kill()
            process.communicate()
