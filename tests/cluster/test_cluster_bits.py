"""The same bits wherever the work runs: threads, processes, clusters, in memory and out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import ClusterError
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.store.scratch import OnDisk
from daskals.training.run import NO_OPTIONS, RunOptions
from tests.cases.certificates import make_certificates
from tests.cases.external import ExternalCluster
from tests.cases.outcomes import outcome

EPOCHS = 12
"""More than a state is kept for: the run is handed home and out again on the way."""

MODELS = {
    "als": {"model": "als", "rank": 8},
    "coordinate": {"model": "als", "rank": 4, "solver": "coordinate"},
    "hierarchical": {"model": "hierarchical", "rank": 4},
}


def train(cluster: Cluster, model: str = "als", run: RunOptions = NO_OPTIONS) -> Model:
    config = TrainConfig.parse({"seed": 1, "epochs": EPOCHS, "validation_fraction": 0.1, **MODELS[model]})
    return fit("synthetic-100k", config, cluster.client, run=run)


@pytest.fixture(scope="module")
def reference(cluster: Cluster) -> dict[str, tuple[object, ...]]:
    return {name: outcome(train(cluster, name)) for name in MODELS}


@pytest.mark.parametrize("threads", [1, 4])
def test_threads(reference, threads: int) -> None:
    with connect(ClusterConfig(threads_per_worker=threads, dashboard_address=None)) as cluster:
        assert cluster.workers.popitem()[1] == threads
        assert outcome(train(cluster)) == reference["als"]


def test_numba_threads(reference) -> None:
    config = ClusterConfig(numba_threads=2, dashboard_address=None)
    with connect(config) as cluster:
        assert list(cluster.workers.values()) == [1]
        for name in ("als", "coordinate"):
            assert outcome(train(cluster, name, RunOptions(numba_threads=2))) == reference[name]


def test_numba_threads_want_one_dask_thread(cluster: Cluster) -> None:
    with pytest.raises(
        ClusterError, match=r"2 Dask threads; expected one, for --numba-threads\. Start workers"
    ):
        train(cluster, "als", RunOptions(numba_threads=2))


@pytest.fixture(scope="module")
def processes():
    with connect(ClusterConfig(workers=2, threads_per_worker=1, dashboard_address=None)) as cluster:
        yield cluster


@pytest.mark.parametrize("model", MODELS)
def test_two_processes(reference, processes: Cluster, model: str) -> None:
    found = train(processes, model)
    assert outcome(found) == reference[model]
    assert found.report["workers_lost"] == []
    assert len(found.report["peak_memory_bytes"]["workers"]) == 2


def test_three_processes(reference) -> None:
    with connect(ClusterConfig(workers=3, threads_per_worker=1, dashboard_address=None)) as cluster:
        assert outcome(train(cluster)) == reference["als"]


def test_worker_processes_pin_their_threads(processes: Cluster) -> None:
    for settings in processes.everywhere(thread_settings).values():
        assert settings == ["1", "1", "1", "1"]


def thread_settings() -> list[str]:
    return [os.environ[f"{name}_NUM_THREADS"] for name in ("NUMBA", "OMP", "MKL", "OPENBLAS")]


def test_an_external_cluster(reference, tmp_path: Path) -> None:
    with (
        ExternalCluster(tmp_path) as external,
        connect(ClusterConfig(scheduler=external.address)) as cluster,
    ):
        assert len(cluster.workers) == 2
        for name in MODELS:
            assert outcome(train(cluster, name)) == reference[name], name


def test_an_external_cluster_over_tls(reference, tmp_path: Path) -> None:
    files = make_certificates(tmp_path, "good")
    with ExternalCluster(tmp_path / "cluster", options=files.dask_options()) as external:
        assert external.address.startswith("tls://")
        config = ClusterConfig(
            scheduler=external.address, tls_ca=files.ca, tls_cert=files.cert, tls_key=files.key
        )
        with connect(config) as cluster:
            assert outcome(train(cluster)) == reference["als"]


@pytest.mark.parametrize("model", MODELS)
def test_out_of_core(reference, cluster: Cluster, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = OnDisk.read
    monkeypatch.setattr(OnDisk, "read", lambda kept: reads.append(kept) or read(kept))
    found = train(cluster, model, RunOptions(ratings_memory=450_000))
    assert outcome(found) == reference[model]
    # 8 blocks of about 50 kB each a side, read once a half-step but for the few that stayed
    assert len(reads) > 2 * EPOCHS


def test_out_of_core_without_room_on_the_disk(reference, cluster: Cluster, monkeypatch) -> None:
    monkeypatch.setattr("daskals.store.blocks.lay_aside", lambda *_: None)
    for model in MODELS:
        found = train(cluster, model, RunOptions(ratings_memory=450_000))
        assert outcome(found) == reference[model]


def test_out_of_core_in_processes(reference, processes: Cluster) -> None:
    assert outcome(train(processes, run=RunOptions(ratings_memory=300_000))) == reference["als"]
