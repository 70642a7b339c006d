"""A home after two nights, for the tests that disturb the third."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases.night_cases import two_nights


@pytest.fixture(scope="session")
def month(tmp_path_factory) -> Path:
    """A home after two good nights."""
    return two_nights(tmp_path_factory.mktemp("month"))
