"""All workers may go at once, at any moment: others are waited for, and the result is the same to the bit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from daskals.cluster import liveness
from daskals.cluster.workers import Cluster
from daskals.config import ReadConfig, TrainConfig
from daskals.errors import ClusterError
from daskals.experiments.search_space import Grid
from daskals.experiments.tuning import Search
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split
from daskals.training.affinity import AffinitySpec, AffinityStep, train_affinity
from daskals.training.als import AlsStep
from daskals.training.events import EpochFinished, Event, PhaseStarted
from tests.cases.vanishing import VanishingCluster, vanishing

# a busy machine is no network file system
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")

DATA = "synthetic-100k"
STATIC = {
    "als": {"model": "als", "rank": 3, "epochs": 3},
    "bayes": {"model": "bayes", "rank": 2, "sweeps": 4, "burn_in": 1, "warm_start": 1, "keep_samples": 1},
}
STATIC["chains"] = {**STATIC["bayes"], "keep_samples": 2, "chains": 2}


def config_of(model: str) -> TrainConfig:
    return TrainConfig.parse({"seed": 1, "order": "rating", **STATIC[model]})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "POLL_SECONDS", 0.2)


@pytest.fixture(scope="module")
def reference(cluster: Cluster) -> Callable[[str], str]:
    found: dict[str, str] = {}

    def of(model: str) -> str:
        if model not in found:
            found[model] = fit(DATA, config_of(model), cluster.client).report["factors_sha256"]
        return found[model]

    return of


def test_nobody_is_taken_for_dead_by_what_the_client_asks_for_itself(monkeypatch) -> None:
    """Every other second it asks for no workers: that may come before the thread that waits for an answer."""
    with vanishing(1) as made:
        client, answer = made.client, made.client.sync

        def late(*arguments: Any, **options: Any) -> Any:
            answered = answer(*arguments, **options)
            answer(client._update_scheduler_info, n_workers=0)
            return answered

        known = liveness.Liveness(client, "here")
        monkeypatch.setattr(client, "sync", late)
        assert client.scheduler_info()["workers"] == {}  # else this test is of no use any more
        assert len(known.check()) == len(known.workers()) == 1
        assert known.roster.desertions == 0


def at(event: Event, place: str | int) -> bool:
    """Tell whether an event is the start of a phase of that name, or the end of the epoch of that number."""
    if isinstance(place, str):
        return isinstance(event, PhaseStarted) and event.phase == place
    return isinstance(event, EpochFinished) and event.epoch == place


def train_deserted(made: VanishingCluster, model: str, place: str | int) -> Model:
    left = {place}

    def desert(event: Event) -> None:
        if left and at(event, place):
            left.clear()
            made.vanish()
            made.come_later(0.5)

    return fit(DATA, config_of(model), made.client, [desert])


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("als", 1),
        ("als", "load"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("als", "compile"), ("als", "evaluate"))),
        *(pytest.param(model, 2, marks=pytest.mark.slow) for model in ("bayes", "chains")),
    ],
)
def test_all_workers_vanish_and_others_come(reference, model: str, place: str | int) -> None:
    with vanishing() as made:
        trained = train_deserted(made, model, place)
    assert trained.report["factors_sha256"] == reference(model)
    if isinstance(place, int):
        assert [loss["how"] for loss in trained.report["workers_lost"]] == ["lost", "lost"]


def vanish_once(monkeypatch: pytest.MonkeyPatch, made: VanishingCluster, step: type, epoch: int) -> None:
    """Let all workers go as an epoch is awaited for the first time, and one come a little later."""
    finish, gone = step.finish, threading.Event()

    def desert(self, position, state, number, started):
        if number.number == epoch and not gone.is_set():
            gone.set()
            made.vanish()
            made.come_later(0.5)
        return finish(self, position, state, number, started)

    monkeypatch.setattr(step, "finish", desert)


@pytest.mark.long
def test_all_workers_vanish_in_a_search(cluster, tmp_path: Path, monkeypatch) -> None:
    base = TrainConfig.parse(
        {"model": "als", "rank": 3, "epochs": 3, "patience": 3, "validation_fraction": 0.1, "seed": 1}
    )
    grid = Grid({"tau": (0.05, 0.1, 0.2)})
    found = []
    with open_ratings(DATA, ReadConfig()) as store, vanishing() as made:
        for name, place in (("one", cluster), ("two", made.cluster)):
            (tmp_path / name).mkdir()
            found.append(Search(place, store, base, tmp_path / name).run_grid(grid))
            vanish_once(monkeypatch, made, AlsStep, 2)
    assert found[0] == found[1]


@pytest.mark.slow
def test_all_workers_vanish_while_affinity_is_learnt(cluster, monkeypatch) -> None:
    with open_ratings(DATA, ReadConfig()) as store, vanishing() as made:
        split = ensure_split(store, SplitSpec("random", test_fraction=0.2))
        spec = AffinitySpec(rank=4, epochs=3)
        undisturbed = train_affinity(cluster, store, split, spec)
        vanish_once(monkeypatch, made, AffinityStep, 2)
        found = train_affinity(made.cluster, store, split, spec)
    np.testing.assert_array_equal(found.users, undisturbed.users)
    np.testing.assert_array_equal(found.items, undisturbed.items)


@pytest.mark.long
def test_tasks_that_are_tied_to_a_dead_worker_are_given_up_for_others(reference, monkeypatch) -> None:
    """One dies while the other pauses, which then goes on: Dask lets the dead one's tasks stand for ever."""
    with vanishing() as made:
        left = {1}

        def strand(event: Event) -> None:
            if left and at(event, 1):
                left.clear()
                made.pause(1, paused=True)
                made.vanish(1)
                made.pause(1, paused=False)

        trained = fit(DATA, config_of("als"), made.client, [strand])
    assert trained.report["factors_sha256"] == reference("als")


def test_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "WORKERLESS_SECONDS", 1.0)
    with vanishing() as made:

        def desert(event: Event) -> None:
            if at(event, 1):
                made.vanish()

        with pytest.raises(ClusterError, match="no worker is there, and none came within 1 s") as caught:
            fit(DATA, config_of("als"), made.client, [desert])
        assert "--resume" in caught.value.for_command()
        with pytest.raises(ClusterError, match="no worker is there, and none came within 1 s"):
            Cluster(made.client)


def test_workers_that_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "WORKERLESS_SECONDS", 1.5)
    with vanishing(1) as made:

        def pause(event: Event) -> None:
            if at(event, 1):
                made.pause(0, paused=True)

        with pytest.raises(ClusterError, match=r"no task ran for 2 s though 1 workers are there \(paused\)"):
            fit(DATA, config_of("als"), made.client, [pause])
        made.pause(0, paused=False)


@pytest.mark.slow
def test_only_workers_that_do_not_fit_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "WORKERLESS_SECONDS", 1.0)
    with vanishing() as made:

        def desert(event: Event) -> None:
            if at(event, 1):
                monkeypatch.setattr("daskals.cluster.workers.check", refuse)
                made.vanish()
                made.come(2)

        def refuse(worker: str, *_: object) -> None:
            raise ClusterError("numpy 0.1", where=f"worker {worker}")

        with pytest.raises(ClusterError, match=r"no worker that fits is there, .* numpy 0\.1"):
            fit(DATA, config_of("als"), made.client, [desert])


@pytest.mark.slow
def test_late_workers_are_waited_for(reference) -> None:
    with vanishing(0) as made:
        made.come_later(0.5)
        trained = fit(DATA, config_of("als"), made.client)
    assert trained.report["factors_sha256"] == reference("als")


def test_a_cluster_that_grows_by_need(reference) -> None:
    with vanishing(0) as made:
        made.local.adapt(minimum=0, maximum=2, interval="50 ms")
        trained = fit(DATA, config_of("als"), made.client)
    assert trained.report["factors_sha256"] == reference("als")


@pytest.mark.long
def test_an_asynchronous_client() -> None:
    async def train() -> None:
        async with Client(
            processes=False, n_workers=1, dashboard_address="127.0.0.1:0", asynchronous=True
        ) as client:
            with pytest.raises(ClusterError, match="an asynchronous client; expected one that waits"):
                fit(DATA, config_of("als"), client)

    asyncio.run(train())
