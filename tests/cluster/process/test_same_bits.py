"""The same bits in worker processes, on external clusters and over TLS as in this process's threads."""

from __future__ import annotations

import os
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import numpy as np
import pytest

from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig
from daskals.training.run import RunOptions
from tests.cases.certificates import make_certificates
from tests.cases.external import ExternalCluster
from tests.cases.outcomes import outcome, some_of_them, train


@pytest.fixture(scope="module")
def processes():
    with connect(ClusterConfig(workers=2, threads_per_worker=1, dashboard_address=None)) as cluster:
        yield cluster


@pytest.mark.parametrize("model", some_of_them("als", "hierarchical", "dated", "blocks"))
def test_two_processes(reference, processes: Cluster, model: str) -> None:
    found = train(processes, model)
    assert outcome(found) == reference[model]
    assert found.report["workers_lost"] == []
    assert len(found.report["peak_memory_bytes"]["workers"]) == 2


@pytest.mark.slow
def test_three_processes(reference) -> None:
    with connect(ClusterConfig(workers=3, threads_per_worker=1, dashboard_address=None)) as cluster:
        assert outcome(train(cluster)) == reference["als"]


def test_worker_processes_pin_their_threads(processes: Cluster) -> None:
    for settings in processes.everywhere(thread_settings).values():
        assert settings == ["1", "1", "1", "1"]


def thread_settings() -> list[str]:
    return [os.environ[f"{name}_NUM_THREADS"] for name in ("NUMBA", "OMP", "MKL", "OPENBLAS")]


def test_what_worker_processes_have_to_tell_does_not_wait(processes: Cluster) -> None:
    assert set(processes.everywhere(stream_interval).values()) == {0.0}


def stream_interval(dask_worker) -> float:
    return float(dask_worker.batched_stream.interval)


def test_worker_processes_keep_the_memory_of_a_block_for_the_next(processes: Cluster) -> None:
    """Dask's own setting gives it back, and each block waits for new pages."""
    assert max(processes.everywhere(faults_of_blocks).values()) < 100


def faults_of_blocks() -> int:
    """Return how many pages are new to a process that makes an array of 1 MB again and again."""
    before = 0
    for turn in range(6):
        if turn == 2:  # by now the heap has grown
            before = getrusage(RUSAGE_SELF).ru_minflt
        np.ones(1 << 20, np.uint8)
    return getrusage(RUSAGE_SELF).ru_minflt - before


@pytest.mark.slow
def test_an_external_cluster(reference, tmp_path: Path) -> None:
    with (
        ExternalCluster(tmp_path) as external,
        connect(ClusterConfig(scheduler=external.address)) as cluster,
    ):
        assert len(cluster.workers) == 2
        for name in ("als", "hierarchical"):
            assert outcome(train(cluster, name)) == reference[name], name


def test_an_external_cluster_over_tls(reference, tmp_path: Path) -> None:
    files = make_certificates(tmp_path, "good")
    with ExternalCluster(tmp_path / "cluster", options=files.dask_options()) as external:
        assert external.address.startswith("tls://")
        config = ClusterConfig(
            scheduler=external.address, tls_ca=files.ca, tls_cert=files.cert, tls_key=files.key
        )
        with connect(config) as cluster:
            assert cluster.shares_memory  # what is not sent needs no cipher
            assert outcome(train(cluster)) == reference["als"]


def test_out_of_core_in_processes(reference, processes: Cluster) -> None:
    assert outcome(train(processes, run=RunOptions(ratings_memory=300_000))) == reference["als"]
