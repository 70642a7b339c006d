"""Requirements of an extra, asked before any work."""

from __future__ import annotations

import importlib.util

from daskals.errors import ConfigError


def require(library: str, extra: str) -> None:
    """Raise ConfigError where a library that only an extra installs is not there."""
    if importlib.util.find_spec(library) is None:
        raise ConfigError(
            f"{library} is not installed",
            where=f"extra [{extra}]",
            remedy=f"Install it with: pip install 'daskals[{extra}]'",
        )
