"""Report files of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from daskals.errors import OutputError


def check_writable(path: Path | None, option: str) -> None:
    """Refuse, before any work, a file that cannot be written.

    Raises OutputError if its folder is missing, or it is a folder itself.
    """
    if path is None:
        return
    if path.is_dir():
        raise OutputError("is a folder", where=f"{option}={path}", expected="the name of a file")
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"the folder {path.parent} does not exist", where=f"{option}={path}", remedy="Make it first"
        )


def write_json(report: dict[str, Any], path: Path) -> None:
    """Write the report, whole or not at all; raise OutputError where it cannot."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot be written ({error})", where=f"--json={path}") from None
