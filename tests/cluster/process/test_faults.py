"""Workers and drivers that die at random moments cost time, never a bit of the result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daskals.cluster import liveness
from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, TrainConfig
from daskals.errors import ClusterError, StoreError
from daskals.fitting.fit import fit
from daskals.ingest import resolve_store
from daskals.model.fitted import Model
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import EpochFinished, Event, Notice
from daskals.training.run import NO_OPTIONS, RunOptions
from jobs import train as train_job
from tests.cases.commands import run
from tests.cases.external import ExternalCluster, kill_group, wait_for_line
from tests.cases.outcomes import outcome
from tests.conftest import ROOT

EPOCHS = 30
CONFIG = TrainConfig.parse({"seed": 1, "epochs": EPOCHS, "model": "als", "rank": 3, "order": "rating"})


def train(cluster: Cluster, at: dict[int, Callable[[], object]], options: RunOptions = NO_OPTIONS) -> Model:
    """Train, and do something once after given epochs: a run that goes back tells them again."""
    left = dict(at)

    def callback(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch in left:
            left.pop(event.epoch)()

    return fit("synthetic-100k", CONFIG, cluster.client, [callback], options)


@pytest.fixture(scope="module")
def reference(cluster: Cluster) -> tuple[object, ...]:
    return outcome(train(cluster, {}))


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    with ExternalCluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def connected(external: ExternalCluster):
    while len([process for process in external.workers if process.poll() is None]) < 2:
        external.add_worker()
    with connect(ClusterConfig(scheduler=external.address)) as cluster:
        yield cluster


def kill_some_worker(external: ExternalCluster, rng: random.Random) -> None:
    alive = [process for process in external.workers if process.poll() is None]
    time.sleep(rng.uniform(0, 0.05))  # the next epoch is under way
    kill_group(rng.choice(alive))


def kill_workers(external: ExternalCluster, connected: Cluster, reference: object, seed: int) -> None:
    rng = random.Random(seed)
    epoch, comes_back = rng.randrange(1, EPOCHS - 2), rng.random() < 0.5
    actions = {epoch: lambda: kill_some_worker(external, rng)}
    if comes_back:
        actions[epoch + 1] = external.add_worker
    model = train(connected, actions)
    assert outcome(model) == reference
    losses = model.report["workers_lost"]
    assert len(losses) == 1
    assert losses[0]["how"] == "lost"
    assert epoch < losses[0]["epoch"] <= epoch + 2


@pytest.mark.parametrize("seed", [2])  # one that comes back
def test_a_worker_is_killed(external, connected, reference, seed: int) -> None:
    kill_workers(external, connected, reference, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 23))
def test_a_worker_is_killed_twenty_times(external, connected, reference, seed: int) -> None:
    kill_workers(external, connected, reference, seed)


@pytest.mark.slow
def test_both_workers_are_killed_and_others_come(external, connected, reference) -> None:
    def kill_all() -> None:
        for process in external.workers:
            kill_group(process)
        external.add_worker()

    model = train(connected, {13: kill_all})
    assert outcome(model) == reference
    assert len(model.report["workers_lost"]) == 2


def test_a_late_worker_is_used_another_retired_and_one_stopped(external, connected, reference) -> None:
    """One run meets all that happens by intent: each would cost a start of workers of its own."""
    seen: list[set[str]] = []
    before = set(connected.workers)

    def holders() -> None:
        held = connected.client.has_what()
        seen.append({worker for worker, keys in held.items() if any("load-users" in key for key in keys)})

    def stop() -> None:
        late = external.workers[-1]
        late.send_signal(signal.SIGTERM)
        late.wait(timeout=30)

    model = train(
        connected,
        {
            4: holders,
            5: external.add_worker,
            22: holders,
            23: lambda: connected.client.retire_workers([sorted(before)[0]]),
            27: stop,
        },
    )
    (late,) = set(seen[1]) - before
    assert late not in seen[0]
    assert outcome(model) == reference
    losses = [(loss["how"], loss["epoch"]) for loss in model.report["workers_lost"]]
    assert losses == [("retired", 24), ("lost", 28)]


@pytest.mark.slow
def test_a_nanny_restarts_a_killed_worker(tmp_path: Path, reference) -> None:
    with (
        ExternalCluster(tmp_path, workers=1, nanny=True) as external,
        connect(ClusterConfig(scheduler=external.address)) as cluster,
    ):

        def kill() -> None:
            (pid,) = cluster.everywhere(os.getpid).values()
            os.kill(pid, signal.SIGKILL)

        model = train(cluster, {3: kill, 20: kill})
        assert outcome(model) == reference
        assert len(model.report["workers_lost"]) == 2


@pytest.mark.slow
def test_no_worker_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "WORKERLESS_SECONDS", 1.0)
    monkeypatch.setattr(liveness, "POLL_SECONDS", 0.2)
    with ExternalCluster(tmp_path, workers=1) as external:
        with connect(ClusterConfig(scheduler=external.address)) as cluster:
            run = RunOptions(Checkpoints(tmp_path / "c", 2))
            with pytest.raises(ClusterError) as caught:
                train(cluster, {3: lambda: kill_group(external.workers[0])}, run)
            assert "no worker is there, and none came within 1 s" in str(caught.value)
            assert "--resume" in caught.value.for_command()
        with (
            pytest.raises(ClusterError, match="no worker is there, and none came within 1 s"),
            connect(ClusterConfig(scheduler=external.address)),
        ):
            raise AssertionError("it connected")


def test_the_scheduler_goes_away_and_the_run_goes_on_elsewhere(tmp_path: Path, cluster, reference) -> None:
    checkpoints = tmp_path / "c"
    with ExternalCluster(tmp_path, workers=1) as external:
        run = RunOptions(Checkpoints(checkpoints, 4))
        with (
            pytest.raises(ClusterError) as caught,
            connect(ClusterConfig(scheduler=external.address)) as gone,
        ):
            train(gone, {8: lambda: kill_group(external.scheduler)}, run)
        assert str(caught.value).startswith(f"{external.address}: the scheduler went away")
        assert "--resume" in caught.value.for_command()
    resumed = train(cluster, {}, RunOptions(Checkpoints(checkpoints, 4, resume=True)))
    assert outcome(resumed) == reference
    assert resumed.report["resumed_from"] == 8


@pytest.fixture
def chunk(tmp_path: Path, monkeypatch) -> Path:
    """A chunk of the store that is trained on."""
    monkeypatch.setenv("DASKALS_CACHE", str(tmp_path / "cache"))
    return Path(resolve_store("synthetic-100k").path) / "items" / "indices" / "c" / "0"


def test_a_store_that_loses_a_chunk_is_no_harm_once_it_was_read(
    reference, cluster: Cluster, chunk: Path
) -> None:
    run = RunOptions(ratings_memory=460_000)
    assert outcome(train(cluster, {4: chunk.unlink}, run)) == reference


def test_a_store_that_loses_a_chunk_in_mid_run(cluster: Cluster, chunk: Path, monkeypatch) -> None:
    monkeypatch.setattr("daskals.store.blocks.lay_aside", lambda *_: None)  # blocks are read each time
    run = RunOptions(ratings_memory=460_000)
    with pytest.raises(StoreError, match=r"chunk items/indices/c/0 is missing"):
        train(cluster, {4: chunk.unlink}, run)


OPTIONS = [
    "--dataset", "synthetic-100k", "--model", "als", "--rank", "3",
    "--seed", "1", "--epochs", str(EPOCHS), "--order", "rating", "--checkpoint-every", "4",
    "--dashboard-address", "none",
]  # fmt: skip
COMMAND = [sys.executable, "-m", "jobs.train", *OPTIONS]


def paused_at(epoch: int) -> dict[str, str]:
    return {**os.environ, "DASKALS_PAUSE_AT_EPOCH": str(epoch)}


def kill_driver(folder: Path, reference: tuple[object, ...], seed: int) -> None:
    rng = random.Random(seed)
    out, epoch = folder / "run", rng.randrange(1, EPOCHS)
    with subprocess.Popen(
        [*COMMAND, "--out", str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as driver:
        try:
            wait_for_line(driver, f"epoch {epoch}/")
            time.sleep(rng.uniform(0, 0.2))
        finally:
            kill_group(driver)
    assert not (out / "report.json").exists() or epoch > EPOCHS - 5
    again = run(train_job, *OPTIONS, "--out", out, "--resume")
    assert again.exit_code == 0, again.output
    report = json.loads((out / "report.json").read_text())
    history = [
        (record["objective"], record["train_rmse"], record["validation_rmse"]) for record in report["history"]
    ]
    assert (report["factors_sha256"], history) == (reference[0], reference[4])
    assert {path.name for path in out.iterdir()} == {"checkpoints", "log.jsonl", "model", "report.json"}
    if epoch >= 4:
        assert report["resumed_from"] >= epoch - 4


@pytest.mark.parametrize("seed", [0])
def test_the_driver_is_killed(tmp_path: Path, reference, seed: int) -> None:
    kill_driver(tmp_path, reference, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_the_driver_is_killed_twenty_times(tmp_path: Path, reference, seed: int) -> None:
    kill_driver(tmp_path, reference, seed)


@pytest.mark.slow
def test_interrupted_while_paused_and_resumed(tmp_path: Path, reference) -> None:
    out = tmp_path / "run"
    command = [*COMMAND, "--out", str(out)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=paused_at(6)
    ) as driver:
        wait_for_line(driver, "paused at epoch 6")
        assert {path.name for path in out.iterdir()} == {"checkpoints", "log.jsonl", "run.lock"}
        driver.send_signal(signal.SIGINT)
        output, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130, errors
    assert f"the run can be continued: --resume --out {out}" in output
    assert "Traceback" not in errors
    assert {path.name for path in out.iterdir()} == {"checkpoints", "log.jsonl"}
    with subprocess.Popen(
        [*command, "--resume"], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=paused_at(10)
    ) as driver:
        wait_for_line(driver, "paused at epoch 10")
        (out / "continue").touch()
        driver.communicate(timeout=60)
    assert driver.returncode == 0
    report = json.loads((out / "report.json").read_text())
    assert report["factors_sha256"] == reference[0]
    assert report["resumed_from"] == 6  # no checkpoint was due there: it was written on the way out
    assert not (out / "continue").exists()


def test_a_notice_tells_of_what_was_lost(external, connected, reference) -> None:
    notices: list[str] = []

    def callback(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)
        if isinstance(event, EpochFinished) and event.epoch == 9 and not notices:
            kill_some_worker(external, random.Random(0))

    fit("synthetic-100k", CONFIG, connected.client, [callback])
    assert any(" lost in epoch 1" in text for text in notices)


def test_scheduler_memory_is_constant(cluster: Cluster) -> None:
    """No task of an epoch is remembered once the state after it was taken home."""
    counts: list[int] = []

    def count() -> None:
        counts.append(cluster.client.run_on_scheduler(count_tasks))

    train(cluster, dict.fromkeys(range(5, EPOCHS, 5), count))
    assert max(counts) <= min(counts) + 10 * 40  # at most the epochs between two states
    assert counts[-1] <= max(counts[:2])


def count_tasks(dask_scheduler: object) -> int:
    return len(dask_scheduler.tasks)  # type: ignore[attr-defined]
