"""The run report, `report.json`: configuration, environment, data, history and figures."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from daskals.cluster.connect import available_cores
from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.errors import without_secrets
from daskals.evaluation.prediction_error import test_figures
from daskals.kernels.toolkit.target import current_target
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.timing import first_day
from daskals.training.events import EpochFinished
from daskals.training.memory import peak_memory_bytes
from daskals.training.outcome import TrainedFactors
from daskals.training.problem import Problem
from daskals.training.scoring import error_figures

PACKAGES = ("daskals", "numpy", "numba", "dask", "distributed", "zarr", "pyarrow")


def data_section(store: RatingsStore, spec: SplitSpec, split: Split) -> dict[str, Any]:
    """Count what was trained on."""
    return {
        "store": without_secrets(str(store.path)),
        "content_hash": store.content_hash,
        "sources": store.sources,
        "split": _split_options(spec),
        "n_users": store.n_users,
        "n_items": store.n_items,
        "n_rated_items": store.n_rated_items,
        "n_ratings": store.n_ratings,
        "n_train": split.n_train,
        "n_validation": split.n_validation,
        "n_test": split.n_test,
        "duplicates": store.duplicates,
        "dropped": store.dropped,
    }


def _split_options(spec: SplitSpec) -> dict[str, Any]:
    """Return a split's options; what is trained and reported is of the first draw, which needs no word."""
    return {name: value for name, value in asdict(spec).items() if name != "validation_draw"}


def standard_section(problem: Problem) -> dict[str, Any]:
    """Tell mean and deviation of the training ratings, as they weigh, and what ridges are relative to."""
    standard = problem.rated._replace(curve=None)._asdict()
    del standard["curve"]  # config.transform tells it, and the model holds it
    return {**standard, "units": problem.config.taken_units}


def time_section(problem: Problem) -> dict[str, Any] | None:
    """Tell which dates have factors of their own, and how hard these are held; None without a third side."""
    timing = problem.timing
    if timing is None:
        return None
    first, last = (first_day(int(number), timing.unit) for number in timing.bins[[0, -1]])
    calendar = timing.calendar
    known = [] if calendar is None else list(zip(calendar.columns, calendar.sizes, strict=True))
    features = [{"column": column, "n_features": size} for column, size in known]
    told = {"unit": timing.unit, "bins": len(timing.bins), "first": str(first), "last": str(last)}
    return {**told, **_time_ridge(problem), **({"features": features} if features else {})}


def _time_ridge(problem: Problem) -> dict[str, float]:
    """Return `time_tau` and `time_gamma` as they were taken; a chain has none."""
    if problem.config.model == "bayes":
        return {}
    ridge, lambda_ = problem.time_ridge, problem.config.lambda_
    return {"tau": ridge.factors * lambda_, "gamma": ridge.bias * lambda_}


def time_notes(problem: Problem) -> list[str]:
    """Say where a third side that was asked for is another one, or none."""
    note = problem.found_timing.note
    return [] if note is None else [note]


def environment_section(cluster: Cluster) -> dict[str, Any]:
    """Describe software and machine."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "cpu": cpu_model(),
        "cores": available_cores(),
        "target": current_target().name,
        "threads": cluster.workers,
    }


def history_section(history: tuple[EpochFinished, ...]) -> list[dict[str, Any]]:
    """List the epochs; test figures stand there only if they were monitored."""
    hidden = {"epochs"}
    hidden |= {name for name in ("test_rmse", "noise_precision", "eta") if getattr(history[-1], name) is None}
    return [
        {name: value for name, value in asdict(record).items() if name not in hidden} for record in history
    ]


def build_report(
    config: TrainConfig, cluster: Cluster, data: dict[str, Any], trained: TrainedFactors
) -> dict[str, Any]:
    """Assemble the report of one run, all but `factors_sha256`; `data` is its `data_section`."""
    seconds = statistics.median(record.seconds for record in trained.history)
    train, validation = error_figures(trained.train), error_figures(trained.validation)
    return {
        "config": config.as_report(),
        "environment": environment_section(cluster),
        "data": data,
        "history": history_section(trained.history),
        **({} if trained.objective is None else {"objective": trained.objective}),
        "train_rmse": None if train is None else train.rmse,
        "validation_rmse": None if validation is None else validation.rmse,
        **test_figures(error_figures(trained.test)),
        "epoch_seconds_median": seconds,
        "ratings_per_second": data["n_train"] / seconds,
        "compile_seconds": trained.compile_seconds,
        "bytes_moved": trained.bytes_moved,
        "workers_lost": [asdict(loss) for loss in trained.workers_lost],
        "resumed_from": trained.resumed_from,
        "peak_memory_bytes": {
            "driver": peak_memory_bytes(),
            "workers": cluster.everywhere(peak_memory_bytes),
        },
    }


def add_costs(
    report: dict[str, Any], selection: Mapping[str, Any] | None, before: TrainedFactors | None
) -> None:
    """Add to a report what came before the training in the same run.

    Parameters
    ----------
    report
        The report to add to.
    selection
        Its section on what was chosen; the kernels were compiled for that, the training finds them.
    before
        The training that chose the epochs, if there was one.
    """
    report["compile_seconds"] += (selection or {}).get("compile_seconds", 0.0)
    if before is None:
        return
    report["compile_seconds"] += before.compile_seconds
    report["bytes_moved"] += before.bytes_moved
    report["workers_lost"] = [*map(asdict, before.workers_lost), *report["workers_lost"]]


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the platform module knows less
    return platform.processor() or platform.machine()
