"""Atomic text files appear whole or not at all, and stay after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from daskals.errors import ANOTHER_NAME, OutputError
from daskals.store.atomic_folder import sync_path


def write_text_whole(path: Path, text: str) -> None:
    """Write a file under a temporary name, flush it, and rename it; raise OutputError where it cannot."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_path(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError.unwritable("place", path, error, remedy=ANOTHER_NAME) from error
