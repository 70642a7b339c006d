"""`python -m daskals.bench.child RESULT`: run one measurement in a process of its own.

What to run comes as JSON on the standard input, the answer goes to the file RESULT as JSON: what a system
prints does not get in the way.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

from daskals.bench.contract import NotApplicableError
from daskals.errors import DaskalsError


def main() -> None:
    """Read {"function": "module:name", "arguments": {…}}, call it, write {"value": …} or what kept it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops clusters and sessions as Ctrl-C does
    request = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        module, _, name = request["function"].partition(":")
        answer = {"value": getattr(importlib.import_module(module), name)(**request["arguments"])}
    except NotApplicableError as error:
        answer = {"not_applicable": str(error)}
    except DaskalsError as error:
        answer = {"error": str(error)}
    Path(sys.argv[1]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
