"""What the runs of all tests of clusters must equal."""

from __future__ import annotations

import pytest

from daskals.cluster.workers import Cluster
from tests.cases.outcomes import MODELS, outcome, train


@pytest.fixture(scope="session")
def reference(cluster: Cluster) -> dict[str, tuple[object, ...]]:
    return {name: outcome(train(cluster, name)) for name in MODELS}
