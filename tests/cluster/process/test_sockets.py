"""Nothing listens but what was asked for: the sockets of a cluster on this machine."""

from __future__ import annotations

from collections import Counter

from daskals.cluster.connect import connect
from daskals.config import ClusterConfig
from tests.cases.sockets import LOOPBACK, free_port, listening


def added(before: Counter[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted((listening() - before).elements())


def test_one_worker_listens_nowhere() -> None:
    before = listening()
    with connect(ClusterConfig(dashboard_address="none")) as cluster:
        assert added(before) == []
        assert cluster.dashboard_link is None
        assert cluster.client.submit(sum, [1, 2]).result() == 3
    assert added(before) == []


def test_one_worker_and_the_dashboard_that_was_asked_for() -> None:
    before, port = listening(), free_port()
    with connect(ClusterConfig(dashboard_address=f"{LOOPBACK}:{port}")) as cluster:
        assert added(before) == [(LOOPBACK, port)]
        assert cluster.dashboard_link == f"http://{LOOPBACK}:{port}/status"


def test_processes_listen_on_loopback_for_one_another_alone() -> None:
    before = listening()
    with connect(ClusterConfig(workers=2, threads_per_worker=1, dashboard_address="none")) as cluster:
        found = added(before)
        assert {host for host, _ in found} == {LOOPBACK}
        # the scheduler, and of each worker itself and its nanny
        assert len(found) == 5, found
        assert cluster.dashboard_link is None
        assert cluster.client.submit(sum, [1, 2]).result() == 3
    assert added(before) == []
