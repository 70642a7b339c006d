"""What the runs of all tests of clusters must equal."""

from __future__ import annotations

from collections import UserDict

import pytest

from daskals.cluster.workers import Cluster
from tests.cases.outcomes import outcome, train


@pytest.fixture(scope="module", autouse=True)
def _alone(no_baseline) -> None:
    """Train no bias model beside: it moves and dies as the model does."""


class Outcomes(UserDict[str, tuple[object, ...]]):
    """Outcomes of models by name, each trained once it is asked for."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    def __missing__(self, name: str) -> tuple[object, ...]:
        self[name] = outcome(train(self.cluster, name))
        return self[name]


@pytest.fixture(scope="session")
def reference(cluster: Cluster) -> Outcomes:
    return Outcomes(cluster)
