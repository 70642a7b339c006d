"""What only long or large runs show: memory grows neither with epochs nor with ratings beyond a budget."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from daskals.cluster.connect import connect
from daskals.config import ClusterConfig, TrainConfig
from daskals.fitting.fit import fit
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import EpochFinished, Event
from daskals.training.run import RunOptions
from tests.cases.external import ExternalCluster
from tests.conftest import ROOT

SETTLED = 100
"""Epochs after which caches and pools have what they need."""

MOST_BYTES = 50 << 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_epochs_take_no_more_memory(tmp_path: Path) -> None:
    epochs = 1000
    config = TrainConfig.parse(
        {"seed": 1, "epochs": epochs, "model": "als", "rank": 8, "validation_fraction": 0.1}
    )
    with (
        ExternalCluster(tmp_path / "cluster") as external,
        connect(ClusterConfig(scheduler=external.address)) as cluster,
    ):
        processes = {
            "client": psutil.Process(),
            "scheduler": psutil.Process(external.scheduler.pid),
            **{f"worker {n}": psutil.Process(worker.pid) for n, worker in enumerate(external.workers)},
        }
        seen: dict[str, list[int]] = {name: [] for name in processes}

        def look(event: Event) -> None:
            if isinstance(event, EpochFinished) and event.epoch % 50 == 0:
                for name, process in processes.items():
                    seen[name].append(process.memory_info().rss)

        run = RunOptions(Checkpoints(tmp_path / "checkpoints", 5))
        report = fit("synthetic-100k", config, cluster.client, [look], run).report
    assert len(report["history"]) == epochs
    first = SETTLED // 50 - 1
    growth = {name: max(sizes[first:]) - sizes[first] for name, sizes in seen.items()}
    assert all(size <= MOST_BYTES for size in growth.values()), growth


def train(folder: Path, dataset: str, *options: str) -> dict[str, object]:
    """Return the report of a run of the command."""
    out = folder / f"{dataset}-{len(options)}"
    command = [
        sys.executable, "-m", "jobs.train", "--dataset", dataset, "--rank", "20", "--epochs", "5",
        "--seed", "1", "--dashboard-address", "none", "--quiet", "--out", str(out), *options,
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)
    return json.loads((out / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ratings_beyond_the_budget_take_no_memory(tmp_path: Path) -> None:
    short = ("--ratings-memory", "50MB")
    train(tmp_path, "synthetic-32m", "--overwrite")  # makes store and split
    small, large = (train(tmp_path, name, *short) for name in ("synthetic-100k", "synthetic-32m"))
    whole = train(tmp_path, "synthetic-32m")
    peaks = [report["peak_memory_bytes"]["driver"] for report in (small, large)]
    assert large["factors_sha256"] == whole["factors_sha256"]
    assert peaks[1] - peaks[0] <= 250e6, peaks
