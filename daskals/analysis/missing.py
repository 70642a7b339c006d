"""Missing figures: one line in the place of what cannot be had."""

from __future__ import annotations

from typing import Any, TypeAlias

Numbers: TypeAlias = dict[str, Any]
"""A section of a report, ready for JSON; or `{"missing": sentence}` where the data do not have it."""


def missing(reason: str) -> Numbers:
    """Return the section that says why it is empty; `reason` is a clause without a full stop."""
    return {"missing": reason}


def is_missing(section: Numbers) -> bool:
    """Tell whether a section only says why it is empty."""
    return "missing" in section
