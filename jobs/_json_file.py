"""Small files that appear whole or not at all."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from daskals.errors import ANOTHER_NAME, OutputError


def write_json(path: Path, content: Any) -> None:
    """Write JSON by rename; raise OutputError where the place cannot be written."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError.unwritable("place", path, error, remedy=ANOTHER_NAME) from error
    finally:
        temporary.unlink(missing_ok=True)
