"""Limits of a service: what a request may ask for, and how long it may take."""

from __future__ import annotations

from pydantic import Field

from daskals.config.section import Bytes, Section


class Limits(Section):
    """What one request may ask of a service."""

    max_body: Bytes = Field(1_000_000, ge=100, description="Size of a request's body, as 500kB or 1MB.")
    max_profile: int = Field(2_000, ge=1, description="Ratings of a person in a request.")
    max_n: int = Field(200, ge=1, description="Length of a list.")
    max_pairs: int = Field(10_000, ge=1, description="Pairs or items of a request for predictions.")
    max_waiting: int = Field(512, ge=1, description="Requests that may wait at once.")
    time_limit: float = Field(10.0, gt=0, description="Seconds a request may take.")
