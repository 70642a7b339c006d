"""Workers that do not fit, certificates that do not match, and what moves between processes."""

from __future__ import annotations

import os
from pathlib import Path

import click.testing
import pytest

import daskals.cluster.connect
from daskals.cluster.connect import connect
from daskals.cluster.cost import Machine, estimate
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import ClusterError
from daskals.fitting.fit import fit
from daskals.ingest import resolve_store
from daskals.kernels.toolkit.layout import row_stride
from jobs import doctor
from tests.cases.certificates import make_certificates
from tests.cases.external import ExternalCluster


def test_a_mixed_cluster_trains_nothing(tmp_path: Path) -> None:
    with ExternalCluster(tmp_path, workers=1) as external:
        external.add_worker(env={"DASKALS_CPU": "generic"})
        config = TrainConfig.parse({"epochs": 2, "rank": 3, "model": "als"})
        with (
            connect(ClusterConfig(scheduler=external.address)) as cluster,
            pytest.raises(ClusterError, match=r"worker tcp://.*: cpu target .*; expected cpu target"),
        ):
            fit("synthetic-100k", config, cluster.client)
        result = click.testing.CliRunner().invoke(doctor.main, ["--scheduler", external.address])
        assert result.exit_code == 1
        assert "does not fit" in result.output
        assert result.output.count("error: ") == 1
        assert "cpu target generic" in result.output


def test_a_wrong_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daskals.cluster.connect, "CONNECT_SECONDS", 3.0)
    good, bad = make_certificates(tmp_path, "good"), make_certificates(tmp_path, "bad")
    with ExternalCluster(tmp_path / "cluster", workers=0, options=good.dask_options()) as external:
        config = ClusterConfig(scheduler=external.address, tls_ca=bad.ca, tls_cert=bad.cert, tls_key=bad.key)
        with (
            pytest.raises(ClusterError, match=r"tls://127.0.0.1:\d+: no scheduler answered"),
            connect(config),
        ):
            raise AssertionError("it connected")


def test_a_worker_in_this_process_may_be_silent(cluster: Cluster) -> None:
    # Ctrl-Z stops scheduler and worker alike; five minutes later the scheduler would have given it up
    local = cluster.client.cluster
    assert local.scheduler.worker_ttl is None
    with connect(ClusterConfig(workers=2, threads_per_worker=1, dashboard_address=None)) as processes:
        assert processes.client.cluster.scheduler.worker_ttl > 0


def test_bytes_moved_agree_with_the_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where workers share no memory, as on several machines."""
    monkeypatch.setattr(Cluster, "shares_memory", False)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "12345678")  # as a cluster before leaves it in its process
    store = resolve_store("synthetic-100k")
    epochs, rank = 10, 3
    config = TrainConfig.parse({"epochs": epochs, "rank": rank, "model": "als", "seed": 1})
    local = ClusterConfig(workers=2, threads_per_worker=1, dashboard_address=None, ratings_memory=10_000_000)
    with connect(local) as cluster:
        assert set(cluster.everywhere(os.getenv, "MALLOC_ARENA_MAX").values()) == {"2"}
        assert set(cluster.everywhere(os.getenv, "MALLOC_MMAP_THRESHOLD_").values()) == {str(1 << 20)}
        report = fit("synthetic-100k", config, cluster.client).report
    expected = estimate(store.n_users, store.n_items, report["data"]["n_train"], rank, Machine(workers=2))
    assert expected.epoch_bytes == (store.n_users + store.n_items) * row_stride(rank) * 4
    # the epochs, and the closing half-step of the users
    moved = epochs * expected.epoch_bytes + expected.user_half_step_bytes
    assert report["bytes_moved"] == pytest.approx(moved, rel=0.2)
