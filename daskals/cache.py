"""Where downloads and stores made on the way are kept between runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "DASKALS_CACHE"


def cache_folder() -> Path:
    """Return the user's cache folder, `$DASKALS_CACHE` where that is set; it need not exist yet."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "daskals"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "daskals"
