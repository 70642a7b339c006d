"""Addresses that the user named: a model, or another file that somebody else wrote, leads to no others."""

from __future__ import annotations

import os

from daskals.errors import without_secrets
from daskals.store.remote import is_url

VARIABLE = "DASKALS_STORES"
"""Addresses of stores that models may name, with spaces between."""

_NAMED: dict[str, str] = {}


def remember_named(place: str) -> None:
    """Remember an address, with the secrets it needs, for the rest of this process."""
    if is_url(place):
        _NAMED[without_secrets(place)] = place


def find_named(place: str) -> str | None:
    """Return a named address by what a report tells of it, with its secrets; None where nobody named it."""
    listed = {without_secrets(one.rstrip("/")): one for one in os.environ.get(VARIABLE, "").split()}
    return {**listed, **_NAMED}.get(without_secrets(place.rstrip("/")))
