"""`daskals train …`, or `python -m daskals train …`: the commands, wherever daskals is installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the command that the arguments name.

    The commands are the package `jobs`: beside this one in a clone, below it in a wheel, where a package of
    so common a name is not put in everybody's way. Its folder joins the search path of this process alone.
    """
    installed = HERE / "commands"
    sys.path.insert(0, str(installed if installed.is_dir() else HERE.parent))
    importlib.import_module("jobs.__main__").main(prog_name="daskals")


if __name__ == "__main__":
    main()
