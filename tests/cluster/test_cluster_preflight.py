"""What does not fit is refused with one message that names worker, found and expected; and the cost model."""

from __future__ import annotations

import platform
import re
import shutil
import socket
from pathlib import Path

import click.testing
import pytest

from daskals.cluster import allocator
from daskals.cluster.connect import connect
from daskals.cluster.cost import Machine, estimate
from daskals.cluster.placement import SLOTS, place_slots
from daskals.cluster.preflight import MIN_FREE_BYTES, PACKAGES, check, describe
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import ClusterError, ConfigError
from daskals.fitting.fit import fit
from daskals.ingest import resolve_store
from daskals.training.data.residency import Demand, choose_resident
from daskals.training.run import RunOptions
from jobs import doctor


@pytest.mark.parametrize("name", [*PACKAGES, "python", "store format", "cpu target"])
def test_a_worker_that_differs(name: str) -> None:
    driver = describe()
    with pytest.raises(ClusterError) as caught:
        check("tcp://10.0.0.7:4000", {**driver, name: "0.0.1"}, driver)
    text = str(caught.value)
    assert text.startswith(
        f"worker tcp://10.0.0.7:4000: {name} 0.0.1; expected {name} {driver[name]}, as here"
    )
    assert ("DASKALS_CPU=" in text) == (name == "cpu target")


def test_several_differences_are_one_message() -> None:
    driver = describe()
    with pytest.raises(ClusterError, match=r"numpy 1, zarr 2; expected numpy .*, zarr .*, as here"):
        check("w", {**driver, "numpy": "1", "zarr": "2"}, driver)


def test_the_smaller_cpu_target_is_proposed() -> None:
    driver = {**describe(), "cpu target": "avx512"}
    with pytest.raises(ClusterError, match="DASKALS_CPU=avx2 on every machine"):
        check("w", {**driver, "cpu target": "avx2"}, driver)


def test_a_store_out_of_reach_and_a_newer_one(tmp_path: Path, cluster: Cluster) -> None:
    with pytest.raises(
        ClusterError, match=r"worker .* on .*: cannot read the store: .*nowhere: does not exist"
    ):
        cluster.preflight(str(tmp_path / "nowhere"))
    store = shutil.copytree(resolve_store("synthetic-100k").path, tmp_path / "store")
    cluster.preflight(str(store))
    manifest = store / "zarr.json"
    manifest.write_text(re.sub('"format_version": [0-9]', '"format_version": 9', manifest.read_text()))
    with pytest.raises(ClusterError, match=r"cannot read the store: .*format version 9"):
        cluster.preflight(str(store))


def test_a_folder_without_room(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3 << 20))
    with pytest.raises(
        ClusterError, match=r"has 3 MB free; expected a folder that can be written, with 64 MB free"
    ):
        cluster.preflight()
    assert MIN_FREE_BYTES == 64 << 20


def test_a_folder_that_cannot_be_written() -> None:
    driver = describe()
    state = "folder /gone cannot be written (No such file or directory)"
    with pytest.raises(
        ClusterError, match=r"folder /gone cannot be written .*Give workers a `--local-directory`"
    ):
        check("w", {**driver, "folder state": state}, driver)


def test_doctor_of_this_machine(tmp_path: Path) -> None:
    store = resolve_store("synthetic-100k").path
    result = click.testing.CliRunner().invoke(doctor.main, ["--store", store])
    assert result.exit_code == 0, result.output
    assert "1 worker: all fit" in result.output
    for name in ("numba", "cpu target", "thread settings", "folder state"):
        assert name in result.output


def test_tls_files_come_together(tmp_path: Path) -> None:
    for values in (
        {"scheduler": "tls://127.0.0.1:1"},
        {"scheduler": "tcp://127.0.0.1:1", "tls_ca": "x"},
        {"tls_key": "x"},
    ):
        with pytest.raises(ConfigError, match="expected all three with a tls:// address, and none without"):
            ClusterConfig.parse(values)
    files = dict.fromkeys(("tls_ca", "tls_cert", "tls_key"), str(tmp_path / "absent.pem"))
    with pytest.raises(
        ConfigError, match=r"tls_ca: found '.*absent.pem', which is no file; expected a PEM file"
    ):
        ClusterConfig.parse({"scheduler": "tls://127.0.0.1:1", **files})


def test_no_message_waits_for_others() -> None:
    with connect(ClusterConfig(workers=1, threads_per_worker=1)) as cluster:
        local = cluster.client.cluster
        (worker,) = local.workers.values()
        (to_worker,) = local.scheduler.stream_comms.values()
        (to_client,) = local.scheduler.client_comms.values()
        streams = (to_worker, to_client, worker.batched_stream, cluster.client.scheduler_comm)
        assert [stream.interval for stream in streams] == [0.0] * 4


def test_a_taken_dashboard_port_is_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with connect(ClusterConfig(dashboard_address=f"127.0.0.1:{port}")) as cluster:
            assert cluster.dashboard_link is not None
            assert cluster.dashboard_link.startswith("http://127.0.0.1:")
            assert f":{port}/" not in cluster.dashboard_link


def test_loops_without_work_hardly_wake(cluster: Cluster) -> None:
    (found,) = cluster.client.run(lambda dask_worker: dask_worker.periodic_callbacks).values()
    assert found["tick"].callback_time == 1000
    assert "profile" not in found  # the dashboard's, and nobody asked for one


def test_slots_are_balanced_and_moved_as_little_as_possible() -> None:
    two = place_slots({"a": 1, "b": 1})
    assert len(two) == SLOTS
    assert two[:4] == ("a", "b", "a", "b")
    three = place_slots({"a": 1, "b": 1, "c": 2}, two)
    for run in (8, 64, SLOTS):
        assert [three[:run].count(worker) for worker in "abc"] == [run // 4, run // 4, run // 2]
    assert all(after in (before, "c") for before, after in zip(two, three, strict=True))
    alone = place_slots({"b": 1}, two)
    assert set(alone) == {"b"}


def test_a_budget_too_small_names_the_smallest_that_works(cluster: Cluster) -> None:
    config = TrainConfig.parse({"epochs": 1, "rank": 3, "model": "als"})
    with pytest.raises(ConfigError) as caught:
        fit("synthetic-100k", config, cluster.client, run=RunOptions(ratings_memory=1000))
    assert "1000 bytes do not hold a block for each of 2 threads and one more" in str(caught.value)
    smallest = int(str(caught.value).partition("at least ")[2].split()[0])
    fit("synthetic-100k", config, cluster.client, run=RunOptions(ratings_memory=smallest))
    with pytest.raises(ConfigError, match=f"at least {smallest} "):
        fit("synthetic-100k", config, cluster.client, run=RunOptions(ratings_memory=smallest - 1))


def test_blocks_that_fit_stay_and_the_rest_do_not() -> None:
    demands = [Demand("a", 10), Demand("b", 10), Demand("a", 10), Demand("b", 10), Demand("a", 10)]
    threads = {"a": 1, "b": 1}
    assert choose_resident(demands, {"a": 30, "b": 20}, threads) == [True] * 5
    # one in use and one more leave room for none, or for one
    assert choose_resident(demands, {"a": 29, "b": 20}, threads) == [False, True, False, True, False]
    demands.append(Demand("a", 10))
    assert choose_resident(demands, {"a": 30, "b": 20}, threads) == [True, True, False, True, False, False]


def test_the_estimate_scales() -> None:
    one = estimate(200_000, 87_000, 28_800_000, 20, Machine(workers=1, threads=2))
    four = estimate(200_000, 87_000, 28_800_000, 20, Machine(workers=4, threads=2))
    assert one.epoch_bytes == 0
    assert one.epoch_seconds == one.compute_seconds == pytest.approx(4 * four.compute_seconds)
    assert four.user_half_step_bytes == 3 * 87_000 * 32 * 4
    assert one.ratings_bytes == 288_000_000
    assert four.worker_bytes == four.ratings_bytes + four.factors_bytes


def test_heaps_are_shared_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allocator.share_heaps() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert not allocator.share_heaps()
    assert not allocator.map_large_arrays()


@pytest.mark.parametrize("memory", [None, "100MB"])
def test_workers_share_heaps_and_give_large_arrays_back_where_ratings_may_not_stay(
    memory: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for name in ("share_heaps", "map_large_arrays"):
        monkeypatch.setattr(allocator, name, lambda name=name: told.append(name))
    with connect(ClusterConfig(workers=1, dashboard_address=None, ratings_memory=memory)):
        assert told == ["share_heaps", *(["map_large_arrays"] if memory else [])]
    variables = allocator.environment(maps_large=memory is not None)
    assert variables["MALLOC_MMAP_THRESHOLD_"] == (1 << 20 if memory else 32 << 20)
    assert variables["MALLOC_TRIM_THRESHOLD_"] == (1 << 16 if memory else 64 << 20)
