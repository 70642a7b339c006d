"""All of two or three workers go at a random moment of whatever runs: twenty of twenty end the same."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from daskals.cluster import liveness
from daskals.cluster.connect import connect
from daskals.cluster.workers import Cluster
from daskals.config import ClusterConfig, ReadConfig, TrainConfig
from daskals.evaluation.ranking_scores import Lists
from daskals.experiments.search_space import Grid
from daskals.experiments.tuning import Search
from daskals.fitting.evaluate import evaluate_ranking
from daskals.fitting.fit import fit
from daskals.ingest import open_ratings
from daskals.retrain.run import run_night
from tests.cases.external import ExternalCluster, kill_group
from tests.cases.night_cases import config_of, deliver
from tests.cases.vanishing import vanishing

# a busy machine is no network file system
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories")

DATA = "synthetic-100k"
MODELS = {
    "als": {"model": "als", "rank": 4, "epochs": 12},
    "hierarchical": {"model": "hierarchical", "rank": 4, "epochs": 12},
    "bayes": {"model": "bayes", "rank": 4, "sweeps": 24, "burn_in": 4, "warm_start": 2, "keep_samples": 4},
    "ials": {"model": "ials", "rank": 4, "epochs": 12},
}


def train(model: str) -> Callable[[Cluster, Path], object]:
    config = TrainConfig.parse({"seed": 1, "order": "rating", **MODELS[model]})
    return lambda cluster, _: fit(DATA, config, cluster.client).report["factors_sha256"]


def tune(cluster: Cluster, folder: Path) -> object:
    base = TrainConfig.parse(
        {"model": "als", "rank": 4, "epochs": 6, "patience": 6, "validation_fraction": 0.1, "seed": 1}
    )
    folder.mkdir()
    with open_ratings(DATA, ReadConfig()) as store:
        return Search(cluster, store, base, folder).run_grid(Grid({"tau": (0.05, 0.1, 0.2, 0.4)}))


def rank(cluster: Cluster, _: Path) -> object:
    config = TrainConfig.parse({"seed": 1, "order": "rating", "model": "als", "rank": 4, "epochs": 3})
    model = fit(DATA, config)
    with open_ratings(DATA, ReadConfig()) as store:
        figures = evaluate_ranking(model, store, cluster, lists=Lists(sample=100, neighbours=False))
        return json.dumps(figures, sort_keys=True)  # equal where both are NaN, too


def night(cluster: Cluster, folder: Path) -> object:
    home = folder / "home"
    deliver(home.parent / "incoming", 1)
    outcome, _ = run_night(config_of(home, 1, scheduler=cluster.address, epochs=20))
    return outcome.version


WORKS: dict[str, Callable[[Cluster, Path], Any]] = {
    **{model: train(model) for model in MODELS},
    "tune": tune,
    "ranking": rank,
}


@pytest.fixture(scope="module")
def calm(cluster: Cluster, tmp_path_factory) -> Callable[[str], tuple[Any, float]]:
    """Return what a work gives where nobody dies, and the seconds that it takes."""
    found: dict[str, tuple[Any, float]] = {}

    def of(name: str) -> tuple[Any, float]:
        if name not in found:
            works = {**WORKS, "night": night}
            folder = tmp_path_factory.mktemp(name)
            if name != "night":
                works[name](cluster, folder / "warm")
                started = time.perf_counter()
                result = works[name](cluster, folder / "calm")
            else:
                with (
                    ExternalCluster(folder / "cluster") as external,
                    connect(ClusterConfig(scheduler=external.address)) as connected,
                ):
                    works[name](connected, folder / "warm")
                    started = time.perf_counter()
                    result = works[name](connected, folder / "calm")
            found[name] = (result, time.perf_counter() - started)
        return found[name]

    return of


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", WORKS)
def test_all_workers_vanish_at_a_random_moment(
    calm, tmp_path: Path, monkeypatch, name: str, seed: int
) -> None:
    monkeypatch.setattr(liveness, "POLL_SECONDS", 0.2)
    rng = random.Random(f"{name} {seed}")
    expected, seconds = calm(name)
    with vanishing(rng.choice((2, 3))) as made:
        cluster = made.cluster

        def desert() -> None:
            made.vanish()
            time.sleep(rng.uniform(0.0, 1.0))
            made.come(rng.choice((1, 2)))

        timer = threading.Timer(rng.uniform(0.0, seconds), desert)
        timer.start()
        found = WORKS[name](cluster, tmp_path / "deserted")
        timer.join()
    assert found == expected


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", [*WORKS, "night"])
@pytest.mark.parametrize("nanny", [False, True], ids=["bare", "nanny"])
def test_all_workers_are_killed_at_a_random_moment(
    calm, tmp_path: Path, nanny: bool, name: str, seed: int
) -> None:
    rng = random.Random(f"{name} {seed} {nanny}")
    expected, seconds = calm(name)
    with (
        ExternalCluster(tmp_path / "cluster", workers=rng.choice((2, 3)), nanny=nanny) as external,
        connect(ClusterConfig(scheduler=external.address)) as cluster,
    ):
        pids = list(cluster.everywhere(os.getpid).values())

        def desert() -> None:
            for pid in pids if nanny else ():
                os.kill(pid, signal.SIGKILL)  # each nanny starts another
            if not nanny:
                for process in external.workers:
                    kill_group(process)
                external.add_worker()

        timer = threading.Timer(rng.uniform(0.0, 1.5 * seconds), desert)
        timer.start()
        with Client(external.address, set_as_default=False) as client:
            found = {**WORKS, "night": night}[name](Cluster(client), tmp_path / "deserted")
        timer.join()
    assert found == expected
