"""Checkpoints: whole or not, continued to the same bits, refused where those would change."""

from __future__ import annotations

import copy
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import ConfigError, OutputError, StoreError
from daskals.fitting.fit import cross_validate, fit
from daskals.model.fitted import Model
from daskals.store import lock
from daskals.store.checkpoint_files import KEPT, list_states, read_state, write_state
from daskals.store.lock import FolderLock
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import EpochFinished
from daskals.training.run import NO_OPTIONS, RunFolder, RunOptions, check_target
from tests.cases.faulty_disk import FaultyDisk
from tests.cases.outcomes import outcome

pytestmark = pytest.mark.usefixtures("no_baseline")

EPOCHS = 8


def train(cluster: Cluster, run: RunOptions, epochs: int = EPOCHS, callbacks=(), **options: object) -> Model:
    config = TrainConfig.parse(
        {
            "seed": 1,
            "epochs": epochs,
            "model": "als",
            "rank": 3,
            "validation_fraction": 0.1,
            "order": "rating",
        }
        | options
    )
    return fit("synthetic-100k", config, cluster.client, callbacks, run)


def checkpoints(folder: Path, every: int = 3, *, resume: bool = False) -> RunOptions:
    return RunOptions(Checkpoints(folder, every, resume=resume))


class StopError(Exception):
    pass


def stop_at(epoch: int):
    def callback(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == epoch:
            raise StopError

    return callback


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "coordinate"},
        pytest.param({"solver": "blocks", "rank": 33, "epochs": 6}, marks=pytest.mark.slow),
        {"solver": "gradients"},
        pytest.param({"model": "bias", "damping": 0.5}, marks=pytest.mark.slow),
        {"model": "hierarchical"},
        pytest.param(
            {"model": "hierarchical", "user_features": "implicit", "item_features": "genres", "epochs": 6},
            marks=pytest.mark.slow,
        ),
        {"tol": 1e-3, "epochs": 50, "units": "ratings"},  # in deviations it settles before it is stopped
    ],
    ids=["als", "coordinate", "blocks", "gradients", "damped", "hierarchical", "implicit", "tol"],
)
def test_resume_gives_the_same_bits(cluster: Cluster, tmp_path: Path, options: dict[str, object]) -> None:
    whole = train(cluster, RunOptions(), **options)
    with pytest.raises(StopError):
        train(cluster, checkpoints(tmp_path / "c"), callbacks=[stop_at(5)], **options)
    assert [path.name for path in list_states(tmp_path / "c")] == ["epoch-000003"]
    resumed = train(cluster, checkpoints(tmp_path / "c", resume=True), **options)
    assert outcome(resumed) == outcome(whole)
    assert resumed.report["resumed_from"] == 3
    assert whole.report["resumed_from"] is None


@pytest.mark.long
def test_more_epochs_continue_a_run_that_ended(cluster: Cluster, tmp_path: Path) -> None:
    train(cluster, checkpoints(tmp_path / "c"), epochs=4)
    longer = train(cluster, checkpoints(tmp_path / "c", resume=True), epochs=EPOCHS)
    assert longer.report["resumed_from"] == 4
    assert outcome(longer) == outcome(train(cluster, RunOptions()))
    again = train(cluster, checkpoints(tmp_path / "c", resume=True))
    assert outcome(again) == outcome(longer)


def test_the_last_two_are_kept_and_the_end_makes_one(cluster: Cluster, tmp_path: Path) -> None:
    train(cluster, checkpoints(tmp_path / "c", every=2), epochs=7)
    assert [path.name for path in list_states(tmp_path / "c")] == ["epoch-000006", "epoch-000007"]
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"epoch-000006", "epoch-000007"}


def test_without_a_checkpoint_resume_begins_anew(cluster: Cluster, tmp_path: Path) -> None:
    model = train(cluster, checkpoints(tmp_path / "c", resume=True))
    assert model.report["resumed_from"] is None
    assert len(list_states(tmp_path / "c")) == KEPT


@pytest.mark.long
def test_a_new_run_replaces_old_checkpoints_only_when_it_has_one(cluster: Cluster, tmp_path: Path) -> None:
    train(cluster, checkpoints(tmp_path / "c"), epochs=20)
    with pytest.raises(StopError):
        train(cluster, checkpoints(tmp_path / "c"), callbacks=[stop_at(2)])
    assert [path.name for path in list_states(tmp_path / "c")] == ["epoch-000018", "epoch-000020"]
    train(cluster, checkpoints(tmp_path / "c"), epochs=4)
    assert [path.name for path in list_states(tmp_path / "c")] == ["epoch-000003", "epoch-000004"]


@pytest.mark.parametrize(
    ("changed", "found", "expected"),
    [
        ({"tau": 0.3}, "--tau 0.3", "--tau 0.05"),
        ({"rank": 8}, "--rank 8", "--rank 3"),
        ({"seed": 2}, "--seed 2", "--seed 1"),
        ({"lambda": 0.01}, "--lambda 0.01", "--lambda 0.002"),
        ({"test_fraction": 0.2}, "--test-fraction 0.2", "--test-fraction 0.1"),
    ],
)
def test_what_shapes_the_numbers_may_not_change(
    cluster: Cluster, tmp_path_factory, changed: dict[str, object], found: str, expected: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "begun"
    if not folder.exists():
        train(cluster, checkpoints(folder), epochs=3)
    with pytest.raises(ConfigError) as caught:
        train(cluster, checkpoints(folder, resume=True), **changed)
    message = caught.value.for_command()
    assert message.startswith(f"{folder.parent}, --resume: ")
    assert found in message
    assert expected in message
    assert "Give the options and the ratings it began with" in message


def test_other_ratings_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    train(cluster, checkpoints(tmp_path / "c"), epochs=3)
    config = TrainConfig.parse(
        {"seed": 1, "epochs": 5, "model": "als", "rank": 3, "validation_fraction": 0.1, "split": "random"}
    )
    rng = np.random.default_rng(0)
    pairs = rng.permutation(2000)[:600]
    frame = pd.DataFrame({"user": pairs // 40, "item": pairs % 40, "rating": rng.integers(1, 11, 600) / 2})
    with pytest.raises(ConfigError, match=r"ratings [0-9a-f]{64}.*; expected .*ratings [0-9a-f]{64}"):
        fit(frame, config, cluster.client, run=checkpoints(tmp_path / "c", resume=True))


def test_fewer_epochs_than_there_are(cluster: Cluster, tmp_path: Path) -> None:
    train(cluster, checkpoints(tmp_path / "c"), epochs=6)
    with pytest.raises(ConfigError, match=r"epochs: the run has 6 epochs already; expected at least 6"):
        train(cluster, checkpoints(tmp_path / "c", resume=True), epochs=5)


def test_another_cpu_target_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    train(cluster, checkpoints(tmp_path / "c"), epochs=3)
    for state in list_states(tmp_path / "c"):
        attributes = json.loads((state / "zarr.json").read_text())
        attributes["attributes"]["identity"]["cpu target"] = "abacus"
        del attributes["attributes"]["checksum"]
        (state / "zarr.json").write_text(json.dumps(attributes))
    with pytest.raises(
        ConfigError, match=r"cpu target .*; expected cpu target abacus, as its checkpoint has it"
    ):
        train(cluster, checkpoints(tmp_path / "c", resume=True))


def chunk_files(state: Path) -> list[Path]:
    return sorted(path for path in state.rglob("c/*/*") if path.is_file())


@pytest.fixture(scope="module")
def ended(cluster: Cluster, tmp_path_factory) -> Path:
    """Checkpoints of a run that ended, to be copied."""
    folder = tmp_path_factory.mktemp("ended") / "c"
    train(cluster, checkpoints(folder))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("damage", ["removed", pytest.param("truncated", marks=pytest.mark.slow), "flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    cluster: Cluster, ended: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(ended, tmp_path / "c")
    older, newer = list_states(tmp_path / "c")

    def hurt(state: Path) -> None:
        chunk = chunk_files(state)[0]
        content = bytearray(chunk.read_bytes())
        if damage == "removed":
            chunk.unlink()
        elif damage == "truncated":
            chunk.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 4
            chunk.write_bytes(content)

    hurt(newer)
    with pytest.raises(StoreError, match=r"chunk items/rows/c/0/0"):
        read_state(newer)
    resumed = train(cluster, checkpoints(tmp_path / "c", resume=True))
    assert resumed.report["resumed_from"] == 6
    for state in list_states(tmp_path / "c"):
        hurt(state)
    with pytest.raises(StoreError, match=r"chunk items/rows/c/0/0"):
        train(cluster, checkpoints(tmp_path / "c", resume=True))
    assert older.name == "epoch-000006"


def test_a_checkpoint_that_lacks_something_gives_way_to_the_one_before(
    cluster: Cluster, ended: Path, tmp_path: Path
) -> None:
    shutil.copytree(ended, tmp_path / "c")
    newer = list_states(tmp_path / "c")[-1]
    manifest = json.loads((newer / "zarr.json").read_text())

    def lacking(folder: Path, *names: str) -> None:
        part = copy.deepcopy(manifest)
        place = part["attributes"]
        for name in names[:-1]:
            place = place[name]
        del place[names[-1]]
        (folder / newer.name / "zarr.json").write_text(json.dumps(part))

    shutil.copytree(newer, tmp_path / "alone" / newer.name)
    for name in ("history", "identity", "arrays"):
        lacking(tmp_path / "alone", name)
        with pytest.raises(StoreError, match="attributes"):
            Checkpoints(tmp_path / "alone", resume=True).options_of_last()
    lacking(tmp_path / "c", "arrays", "items/rows")
    assert train(cluster, checkpoints(tmp_path / "c", resume=True)).report["resumed_from"] == 6


@pytest.mark.long
def test_a_full_disk_costs_no_checkpoint(cluster: Cluster, tmp_path: Path, monkeypatch) -> None:
    reference = outcome(train(cluster, NO_OPTIONS))
    with monkeypatch.context() as patch:
        disk = FaultyDisk(patch)

        def fill(event: object) -> None:
            if isinstance(event, EpochFinished) and event.epoch == 4:
                disk.arm(3)

        with pytest.raises(OutputError, match=r"cannot be written \(No space left on device"):
            train(cluster, checkpoints(tmp_path / "c"), callbacks=[fill])
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["epoch-000003"]
    resumed = train(cluster, checkpoints(tmp_path / "c", resume=True))
    assert (resumed.report["resumed_from"], outcome(resumed)) == (3, reference)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    write_state(tmp_path, 1, {}, {"items/rows": np.zeros((2, 16), np.float32)})
    manifest = tmp_path / "epoch-000001" / "zarr.json"
    content = json.loads(manifest.read_text())
    content["attributes"]["format_version"] = 99
    manifest.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="format version 99"):
        read_state(tmp_path / "epoch-000001")


@pytest.mark.long
def test_cross_validation_resumes_fold_by_fold(cluster: Cluster, tmp_path: Path) -> None:
    config = TrainConfig.parse(
        {"seed": 1, "epochs": 4, "model": "als", "rank": 3, "split": "kfold", "folds": 2}
    )
    whole = cross_validate("synthetic-100k", config, cluster.client)
    began: list[int] = []

    def on_fold(fold: int) -> None:
        began.append(fold)
        if fold == 1:
            raise StopError

    with pytest.raises(StopError):
        cross_validate("synthetic-100k", config, cluster.client, (), on_fold, checkpoints(tmp_path))
    resumed = cross_validate("synthetic-100k", config, cluster.client, run=checkpoints(tmp_path, resume=True))
    assert [fold["resumed_from"] for fold in resumed["folds"]] == [4, None]
    assert resumed["test_rmse_mean"] == whole["test_rmse_mean"]


def test_the_lock_names_its_owner(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "run.lock"), pytest.raises(OutputError) as caught:
        FolderLock(tmp_path / "run.lock").__enter__()
    assert f"is in use by process {os.getpid()} on " in str(caught.value)
    assert "one training at a time" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def foreign(tmp_path: Path, **changes: object) -> Path:
    """A lock as another process would leave it."""
    path = tmp_path / "run.lock"
    owner = {"host": "elsewhere", "pid": 1, "process_started": 1.0, "expires": time.time() + 60, "token": "x"}
    path.write_text(json.dumps({**owner, **changes}))
    return path


def test_a_lock_of_another_host_holds_until_it_expires(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is in use by process 1 on elsewhere"):
        FolderLock(foreign(tmp_path)).__enter__()
    with FolderLock(foreign(tmp_path, expires=time.time() - 1)) as taken:
        taken.check()


def test_a_dead_process_of_this_host_is_taken_over_at_once(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    path = foreign(tmp_path, host=socket.gethostname(), pid=int(child.stdout))
    with FolderLock(path) as taken:
        taken.check()
    # the same number may belong to another process by now
    with FolderLock(foreign(tmp_path, host=socket.gethostname(), pid=os.getpid())) as taken:
        taken.check()


def test_a_lock_is_renewed_and_its_loss_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEWAL_SECONDS", 0.02)
    with FolderLock(tmp_path / "run.lock") as owned:
        first = json.loads(owned.path.read_text())["expires"]
        deadline = time.monotonic() + 10
        while json.loads(owned.path.read_text())["expires"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        foreign(tmp_path)
        with pytest.raises(OutputError, match="its lock was taken over by process 1 on elsewhere"):
            owned.check()
        time.sleep(0.1)  # a renewal would have come by now: it must leave the other's lock alone
        assert json.loads(owned.path.read_text())["host"] == "elsewhere"
    assert (tmp_path / "run.lock").exists()
    (tmp_path / "run.lock").unlink()


def test_a_taken_over_run_does_not_write(cluster: Cluster, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        foreign(folder.path)
        with pytest.raises(OutputError, match="taken over by process 1 on elsewhere"):
            train(cluster, RunOptions(folder.checkpoints(3, resume=False)))
        assert not list_states(folder.path / "checkpoints")


def test_a_failed_run_leaves_no_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / "run.lock").is_file()
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == set()
    (tmp_path / "a" / "b").rmdir()
    (tmp_path / "a").rmdir()
    with pytest.raises(StopError), RunFolder(tmp_path / "a" / "b"):
        raise StopError
    assert list(tmp_path.iterdir()) == []
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(OutputError, match=r"file/run: cannot be written \(Not a directory\)"):
        RunFolder(blocked / "run").__enter__()


def test_targets(tmp_path: Path) -> None:
    check_target(tmp_path / "new", may_resume=False, may_replace=False)
    check_target(tmp_path, may_resume=False, may_replace=False)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match="is no run; expected the folder of a run"):
        check_target(tmp_path, may_resume=True, may_replace=False)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(
        OutputError, match=r"a run that did not end.*overwrite=True .*, or resume=True to continue it"
    ):
        check_target(tmp_path, may_resume=False, may_replace=False)
    check_target(tmp_path, may_resume=True, may_replace=False)
    foreign(tmp_path)
    with pytest.raises(OutputError, match="is in use by process 1 on elsewhere"):
        check_target(tmp_path, may_resume=True, may_replace=False)


def test_a_report_never_stands_beside_an_older_model(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.publish(lambda path: path.mkdir(), "first")

        def fail(path: Path) -> None:
            raise StopError

        with pytest.raises(StopError):
            folder.publish(fail, "second")
        assert not (folder.path / "report.json").exists()
        folder.publish(None, "folds")
        assert {path.name for path in folder.path.iterdir()} == {"report.json", "run.lock"}
    assert (tmp_path / "run" / "report.json").read_text() == "folds"
