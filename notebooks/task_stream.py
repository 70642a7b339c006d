"""Take the picture of Dask's dashboard in docker/README.md: a run of two processes, seen in Chromium.

    python notebooks/task_stream.py        # extra [test], and Debian's chromium

writes notebooks/images/task-stream.png. The run waits until the page is there, goes on, and is stopped once
the picture is taken.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "notebooks" / "images" / "task-stream.png"
CHROMIUM = os.environ.get("DASKALS_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
RUN = [
    sys.executable, "-m", "jobs.train", "--dataset", "synthetic-1m", "--model", "als", "--rank", "64",
    "--validation-fraction", "0.1", "--epochs", "400", "--seed", "1",
    "--workers", "2", "--threads-per-worker", "2", "--dashboard-address", "127.0.0.1:0",
]  # fmt: skip
WAIT_EPOCH, PICTURE_EPOCH = 2, 14
SIZE = {"width": 1400, "height": 800}


@contextmanager
def running(out: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the run, which waits after `WAIT_EPOCH`, and stop it at the end."""
    environment = {**os.environ, "DASKALS_PAUSE_AT_EPOCH": str(WAIT_EPOCH)}
    command = [*RUN, "--out", str(out)]
    with subprocess.Popen(  # noqa: S603  a constant command
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        try:
            yield run
        finally:
            run.terminate()


def line_of(run: subprocess.Popen[str], start: str) -> str:
    """Return the next line that a run prints with this start."""
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith(start):
            return line
    raise RuntimeError(f"the run ended before {start!r}")


def main() -> None:
    """Run, look, and take the picture."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "run") as run:
        address = line_of(run, "dashboard ").split()[1]
        line_of(run, f"paused at epoch {WAIT_EPOCH}")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport=SIZE)
            page.goto(address)
            page.locator("canvas").first.wait_for()
            page.wait_for_timeout(2000)
            (Path(folder) / "run" / "continue").touch()
            line_of(run, f"epoch {PICTURE_EPOCH}/")
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGE)
            browser.close()


if __name__ == "__main__":
    main()
