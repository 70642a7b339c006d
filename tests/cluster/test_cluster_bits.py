"""The same bits wherever the work runs: threads, processes, clusters, in memory and out of it."""

from __future__ import annotations

import pytest

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig
from daskals.errors import ClusterError
from daskals.store.scratch import OnDisk
from daskals.training.run import RunOptions
from tests.cases.outcomes import EPOCHS, outcome, some_of_them, train


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 4])
def test_threads(reference, threads: int) -> None:
    with connect(ClusterConfig(threads_per_worker=threads, dashboard_address=None)) as cluster:
        assert cluster.workers.popitem()[1] == threads
        assert outcome(train(cluster)) == reference["als"]


@pytest.mark.parametrize("name", ["als", pytest.param("coordinate", marks=pytest.mark.slow)])
def test_numba_threads(reference, name: str) -> None:
    config = ClusterConfig(numba_threads=2, dashboard_address=None)
    with connect(config) as cluster:
        assert list(cluster.workers.values()) == [1]
        assert outcome(train(cluster, name, RunOptions(numba_threads=2))) == reference[name]


def test_numba_threads_want_one_dask_thread(cluster: Cluster) -> None:
    with pytest.raises(
        ClusterError, match=r"2 Dask threads; expected one, for numba_threads\. Start workers"
    ):
        train(cluster, "als", RunOptions(numba_threads=2))


LITTLE = {"blocks": 650_000, "dated": 800_000}
"""Bytes that hold some blocks and not all, where 450,000 hold too few: large ranks have fewer
blocks, and those of dated ratings are larger."""


@pytest.mark.long
@pytest.mark.parametrize("model", some_of_them("als", "coordinate", "hierarchical", "ials"))
def test_out_of_core(reference, cluster: Cluster, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = OnDisk.read
    monkeypatch.setattr(OnDisk, "read", lambda kept: reads.append(kept) or read(kept))
    found = train(cluster, model, RunOptions(ratings_memory=LITTLE.get(model, 450_000)))
    assert outcome(found) == reference[model]
    # 8 blocks of about 50 kB each a side, read once a half-step but for the few that stayed
    assert len(reads) > 2 * EPOCHS


@pytest.mark.long
def test_out_of_core_without_room_on_the_disk(reference, cluster: Cluster, monkeypatch) -> None:
    monkeypatch.setattr("daskals.store.blocks.lay_aside", lambda *_: None)
    for model in ("als", "hierarchical"):
        found = train(cluster, model, RunOptions(ratings_memory=450_000))
        assert outcome(found) == reference[model]
