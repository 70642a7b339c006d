"""What all tests share: reference data, a cache of their own, and a loud word about what could not run."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# a cache of the tests' own, set before anything of daskals reads it and inherited by child processes
os.environ.setdefault("DASKALS_CACHE", tempfile.mkdtemp(prefix="daskals-tests-"))

import pytest

from daskals.cluster import Cluster, connect
from daskals.config import ClusterConfig

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("DASKALS_TEST_DATA", ROOT.parent / "shared" / "data"))

_missing: set[str] = set()


@pytest.fixture(scope="session")
def latest_small() -> Path:
    """Folder of ml-latest-small."""
    folder = DATA / "ml-latest-small"
    if not (folder / "ratings.csv").is_file():
        _missing.add(str(folder))
        pytest.skip(f"reference data {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def cluster():
    """Threads of this process."""
    with connect(ClusterConfig(dashboard_address=None, threads_per_worker=2)) as made:
        yield made


@pytest.fixture(scope="session")
def client(cluster: Cluster):
    """Dask client of `cluster`."""
    return cluster.client


def pytest_terminal_summary(terminalreporter) -> None:
    """Say loudly which reference data were not there."""
    for folder in sorted(_missing):
        terminalreporter.write_line(
            f"REFERENCE DATA ABSENT: {folder}: the tests on real ratings DID NOT RUN; "
            "set DASKALS_TEST_DATA to the folder that holds ml-latest-small",
            red=True,
            bold=True,
        )
