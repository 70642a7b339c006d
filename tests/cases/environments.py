"""Virtual environments of tests' own: what an installation is without this one's packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

APART = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def run(*command: object, cwd: Path, seconds: float = 1800) -> str:
    """Run a command as if nothing of this environment were there; return what it printed, or fail with it."""
    environment = {name: value for name, value in os.environ.items() if name not in APART}
    ended = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}: {ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


def make_environment(folder: Path) -> Path:
    """Make a virtual environment of this Python with pip and nothing else; return its folder of programs."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin"
