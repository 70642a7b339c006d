"""Whatever the training loop drives comes through workers that die, again and again, to the same result."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from daskals.cluster.connect import connect
from daskals.cluster.failures import LostTasksError
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, ReadConfig, TrainConfig
from daskals.experiments.search_space import Grid
from daskals.experiments.tuning import Search
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split
from daskals.training import loop
from daskals.training.affinity import AffinitySpec, AffinityStep, train_affinity
from daskals.training.als import AlsStep
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import EpochFinished, Event
from daskals.training.gibbs.step import GibbsStep
from daskals.training.run import RunOptions
from tests.cases.external import ExternalCluster
from tests.cases.vanishing import vanishing

DATA = "synthetic-100k"
CHAIN = {"model": "bayes", "rank": 3, "seed": 1, "test_fraction": 0.2, "warm_start": 2, "burn_in": 4,
         "order": "rating"}  # fmt: skip


def chain_of(sweeps: int) -> TrainConfig:
    return TrainConfig.parse({**CHAIN, "sweeps": sweeps, "keep_samples": 4})


@pytest.fixture(scope="module")
def nannied(tmp_path_factory) -> Iterator[Cluster]:
    """Two workers that come back when they are killed."""
    folder = tmp_path_factory.mktemp("cluster")
    with (
        ExternalCluster(folder, nanny=True) as external,
        connect(ClusterConfig(scheduler=external.address)) as cluster,
    ):
        yield cluster


def kill_one(cluster: Cluster, turn: int) -> None:
    pids = sorted(cluster.everywhere(os.getpid).values())
    if pids:
        os.kill(pids[turn % len(pids)], signal.SIGKILL)


def killing_at(cluster: Cluster, epochs: set[int]) -> Callable[[Event], None]:
    """Return a callback that kills a worker once after each of these epochs, the two in turn."""
    left, turns = set(epochs), itertools.count()

    def callback(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch in left:
            left.discard(event.epoch)
            kill_one(cluster, next(turns))

    return callback


def outcome(model: Model) -> tuple[object, ...]:
    history = [(record["objective"], record["noise_precision"]) for record in model.report["history"]]
    return model.report["factors_sha256"], model.report["test_rmse_chain"], history


def kill_in_chain(cluster: Cluster, nannied: Cluster, sweeps: int, kills: set[int]) -> Model:
    reference = outcome(fit(DATA, chain_of(sweeps), cluster.client))
    model = fit(DATA, chain_of(sweeps), nannied.client, [killing_at(nannied, kills)])
    assert outcome(model) == reference
    assert len(model.report["workers_lost"]) == len(kills)
    return model


def test_workers_are_killed_in_a_chain(cluster, nannied) -> None:
    kill_in_chain(cluster, nannied, 10, {7})


@pytest.mark.slow
def test_workers_are_killed_eleven_times_in_a_chain(cluster, nannied) -> None:
    kill_in_chain(cluster, nannied, 60, set(range(3, 58, 5)))


def losing_results(step: type, monkeypatch: pytest.MonkeyPatch, times: Callable[[int], int]) -> list[int]:
    """Make awaiting an epoch fail `times(epoch)` times as if its results had died; return those epochs."""
    finish, lost = step.finish, []

    def fail_first(self, position, state, epoch, started):
        if lost.count(epoch.number) < times(epoch.number):
            lost.append(epoch.number)
            raise LostTasksError("results were lost", where="a test")
        return finish(self, position, state, epoch, started)

    monkeypatch.setattr(step, "finish", fail_first)
    return lost


def test_a_chain_gives_up_only_after_returns_to_the_same_state(cluster, monkeypatch) -> None:
    monkeypatch.setattr(GibbsStep, "state_every", 3)
    monkeypatch.setattr(loop, "MOST_RETURNS", 2)
    reference = outcome(fit(DATA, chain_of(12), cluster.client))
    with monkeypatch.context() as patch:
        # twice after each of four states
        lost = losing_results(GibbsStep, patch, lambda epoch: 2 if epoch in (2, 4, 8, 11) else 0)
        assert outcome(fit(DATA, chain_of(12), cluster.client)) == reference
        assert len(lost) == 8
    lost = losing_results(GibbsStep, monkeypatch, lambda epoch: 99 if epoch == 5 else 0)
    with pytest.raises(LostTasksError):
        fit(DATA, chain_of(12), cluster.client)
    assert lost == [5, 5, 5]


def test_a_resumed_chain_trains_no_als_epoch_again(cluster, tmp_path: Path, monkeypatch) -> None:
    class Stopped(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 6:
            raise Stopped

    monkeypatch.setattr("daskals.training.gibbs.step.CHECKPOINT_SWEEPS", 1)
    reference = fit(DATA, chain_of(12), cluster.client)
    with pytest.raises(Stopped):
        fit(DATA, chain_of(12), cluster.client, [stop], RunOptions(Checkpoints(tmp_path, 3)))
    submitted: list[str] = []
    submit = Cluster.submit

    def record(self, function, *arguments, key, **options):
        submitted.append(key)
        return submit(self, function, *arguments, key=key, **options)

    monkeypatch.setattr(Cluster, "submit", record)
    resumed = fit(DATA, chain_of(12), cluster.client, run=RunOptions(Checkpoints(tmp_path, 3, resume=True)))
    assert outcome(resumed) == outcome(reference)
    assert resumed.report["resumed_from"] == 6
    assert [key for key in submitted if "half-step" in key or "initialise" in key] == []
    assert len([key for key in submitted if key.startswith("draw-users")]) == 6


def test_a_chain_reports_the_whole_run() -> None:
    """Its bytes are those of all sweeps: users' and items' rows go to the other worker each time."""
    with vanishing(2) as two:
        reports = [fit(DATA, chain_of(sweeps), two.client).report for sweeps in (8, 24)]
    assert reports[0]["compile_seconds"] > 0
    more = reports[1]["bytes_moved"] - reports[0]["bytes_moved"]
    data = reports[0]["data"]
    # half of the rows cross each way, 8 floats a row; gathering, features and priors come on top
    assert more > 16 * (data["n_users"] + data["n_items"]) * 8 * 4 * 0.5


def search(cluster: Cluster, store, folder: Path) -> Search:
    base = TrainConfig.parse(
        {"model": "als", "rank": 3, "epochs": 8, "patience": 8, "validation_fraction": 0.1, "seed": 1}
    )
    folder.mkdir()
    return Search(cluster, store, base, folder)


GRID = Grid({"rank": (2, 3, 4), "tau": (0.05, 0.1)})


@pytest.fixture
def store() -> Iterator[object]:
    with open_ratings(DATA, ReadConfig()) as opened:
        yield opened


@pytest.mark.slow
def test_workers_are_killed_in_a_search(cluster, nannied, store, tmp_path: Path, monkeypatch) -> None:
    undisturbed = search(cluster, store, tmp_path / "one").run_grid(GRID)
    turns = itertools.count()
    finish = AlsStep.finish

    def kill_now_and_then(self, position, state, epoch, started):
        turn = next(turns)
        if turn == 17:
            kill_one(nannied, turn)
        return finish(self, position, state, epoch, started)

    monkeypatch.setattr(AlsStep, "finish", kill_now_and_then)
    assert search(nannied, store, tmp_path / "two").run_grid(GRID) == undisturbed
    assert next(turns) >= 6 * 8


def test_a_search_comes_through_lost_results(cluster, store, tmp_path: Path, monkeypatch) -> None:
    grid = Grid({"tau": (0.05, 0.1)})
    undisturbed = search(cluster, store, tmp_path / "one").run_grid(grid)
    lost = losing_results(AlsStep, monkeypatch, lambda epoch: epoch == 5)
    assert search(cluster, store, tmp_path / "two").run_grid(grid) == undisturbed
    assert lost == [5]


AFFINITY = AffinitySpec(rank=3, epochs=9)


def test_affinity_comes_through_lost_results(cluster, store, monkeypatch) -> None:
    split = ensure_split(store, SplitSpec("random", test_fraction=0.2))
    undisturbed = train_affinity(cluster, store, split, AFFINITY)
    lost = losing_results(AffinityStep, monkeypatch, lambda epoch: 2 * (epoch in (3, 8)))
    found = train_affinity(cluster, store, split, AFFINITY)
    np.testing.assert_array_equal(found.users, undisturbed.users)
    np.testing.assert_array_equal(found.items, undisturbed.items)
    assert lost == [3, 3, 8, 8]


@pytest.mark.slow
def test_workers_are_killed_while_affinity_is_learnt(cluster, nannied, store, monkeypatch) -> None:
    split = ensure_split(store, SplitSpec("random", test_fraction=0.2))
    undisturbed = train_affinity(cluster, store, split, AFFINITY)
    finish = AffinityStep.finish
    killed: set[int] = set()

    def kill(self, position, state, epoch, started):
        if epoch.number in {6} - killed:
            killed.add(epoch.number)
            kill_one(nannied, 0)
        return finish(self, position, state, epoch, started)

    monkeypatch.setattr(AffinityStep, "finish", kill)
    found = train_affinity(nannied, store, split, AFFINITY)
    assert killed == {6}
    np.testing.assert_array_equal(found.users, undisturbed.users)
    np.testing.assert_array_equal(found.items, undisturbed.items)
