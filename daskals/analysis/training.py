"""Training curves of a run: error, accuracy by how much was known, and speed, as numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from daskals.analysis.dates import date_biases
from daskals.analysis.missing import Numbers, missing
from daskals.analysis.search import grid_facets, rank_curve
from daskals.errors import DataError, StoreError
from daskals.evaluation.error_by_count import error_by_count
from daskals.model.fitted import Model
from daskals.model.stored_ratings import open_history, training_data
from daskals.ratings.split import SplitSpec
from daskals.store.splits import ensure_split


def describe_run(
    report: dict[str, Any], model: Model, trials: pd.DataFrame | None, speeds: dict[str, Any] | None
) -> Numbers:
    """Return all numbers of the training report, ready for JSON.

    They are `summary`, `history`, `accuracy` (by bucket of training ratings), `rank_curve`, `grid` (from the
    trials of a search) and `speed` (from what `jobs.bench` measured); of a sampler also `mixing`, of a model
    with a third side of time `dates`, its b_t.
    """
    dates = date_biases(model)
    no_search = missing("no search was named with --search")
    return {
        "summary": _summary(report),
        "history": _history(report),
        "accuracy": accuracy_by_bucket(model),
        **({"mixing": _mixing(report)} if report.get("mixing") else {}),
        **({} if dates is None else {"dates": dates}),
        "rank_curve": no_search if trials is None else rank_curve(trials),
        "grid": no_search if trials is None else grid_facets(trials),
        "speed": missing("no measurement was named with --bench") if speeds is None else _speed(speeds),
    }


def _summary(report: dict[str, Any]) -> Numbers:
    config, data = report["config"], report["data"]
    named = ("model", "rank", "lambda", "gamma", "tau", "epochs", "seed", "split")
    figures = ("train_rmse", "validation_rmse", "test_rmse", "test_rmse_clipped", "test_mae")
    return {
        **{name: config.get(name) for name in named},
        **{name: data.get(name) for name in ("n_users", "n_rated_items", "n_train", "n_test")},
        **{name: report.get(name) for name in figures},
        "test_rmse_of_biases_alone": (report.get("baseline") or {}).get("test_rmse"),
        "epoch_seconds_median": report.get("epoch_seconds_median"),
        "ratings_per_second": report.get("ratings_per_second"),
        "cpu": report.get("environment", {}).get("cpu"),
        "cores": report.get("environment", {}).get("cores"),
    }


def _history(report: dict[str, Any]) -> Numbers:
    """Return what the epochs recorded, a list a column, and `levels` to draw across them."""
    history = report["history"]
    if not history:
        return missing("the run recorded no epochs")
    names = ("objective", "train_rmse", "validation_rmse", "test_rmse", "seconds")
    columns: Numbers = {"epoch": [record["epoch"] for record in history]}
    for name in names:
        values = [record.get(name) for record in history]
        if any(value is not None for value in values):
            columns[name] = values
    levels = {"test": report.get("test_rmse"), "biases": (report.get("baseline") or {}).get("test_rmse")}
    columns["levels"] = {name: value for name, value in levels.items() if value is not None}
    return columns


def _mixing(report: dict[str, Any]) -> Numbers:
    """Return how well a sampler has mixed, and the noise of each chain by sweep as deviation of a rating."""
    told = report["mixing"]
    chains = report.get("chains") or [{"noise_precision": [r["noise_precision"] for r in report["history"]]}]
    return {
        "burn_in": report["config"]["burn_in"],
        "noise": [[precision**-0.5 for precision in chain["noise_precision"]] for chain in chains],
        "quantities": {name: found for name, found in told.items() if isinstance(found, dict)},
        "chains": [
            {name: chain[name] for name in ("seed", "test_rmse_chain")} for chain in report.get("chains", ())
        ],
    }


def accuracy_by_bucket(model: Model) -> Numbers:
    """Return test RMSE and MAE by the training ratings of the item and of the user."""
    data = training_data(model.report)
    if not data.get("n_test"):
        return missing("the run held out no test ratings")
    try:
        store = open_history(data, "Restore it")
    except StoreError as error:
        return missing(str(error).rstrip("."))
    found = error_by_count(model, store, ensure_split(store, SplitSpec(**data["split"])))
    return {
        side: [{"training_ratings": bucket, **figures} for bucket, figures in found[side].items()]
        for side in ("item", "user")
    }


def read_speeds(path: Path) -> dict[str, Any]:
    """Read a measurement of `jobs.bench`. Raises DataError if it is none."""
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
        named = [(one["name"], one["seconds"]) for one in measured["results"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"cannot be read as a measurement ({type(error).__name__}: {error})",
            where=str(path),
            expected="the file that `daskals bench epoch --json FILE` wrote",
        ) from None
    if not named:
        raise DataError("holds no results", where=str(path), expected="at least one measured system")
    return dict(measured)


def _speed(measured: dict[str, Any]) -> Numbers:
    rows = [
        {"name": one["name"], "seconds": one["seconds"], "status": one.get("status")}
        for one in measured["results"]
        if one["seconds"] is not None
    ]
    if not rows:
        return missing("the measurement timed no system")
    slowest = max(one["seconds"] for one in rows)
    return {"systems": [{**one, "times_the_slowest": slowest / one["seconds"]} for one in rows]}
