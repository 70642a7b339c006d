"""The small set of ratings that all benchmarks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from daskals.bench.data import BenchData
from tests.cases.bench_cases import load_small, write_ratings


@pytest.fixture(scope="session")
def small_file(tmp_path_factory) -> Path:
    """Ratings as CSV."""
    return write_ratings(tmp_path_factory.mktemp("bench") / "ratings.csv")


@pytest.fixture(scope="session")
def small_data(small_file: Path) -> BenchData:
    """Their split, in memory."""
    return load_small(small_file)
