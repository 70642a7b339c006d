"""A baseline beside every figure: the bias model on the same parts, and what a model adds to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.kernels.toolkit.dense import product
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.run import RunOptions
from daskals.training.scoring import error_figures
from daskals.training.trainer import Trainer
from daskals.types import Float32, Float64, Int64

RIDGE = 4.0
"""Of the biases, relative to λ: a bias of four ratings is half of what they say."""

EPOCHS, TOLERANCE = 12, 1e-3
"""Biases settle within some epochs; they end where the objective hardly falls."""

DUST = 1e-4
"""Share of the ratings' variance below which what the factors add is rounding, and nothing else."""

FAR_ABOVE = 15.0
"""Deviations above the mean that no scale of stars or points reaches, but counts over decades do."""

PARTS = ("train", "validation", "test")


def baseline_section(
    cluster: Cluster, store: RatingsStore, spec: SplitSpec, config: TrainConfig, run: RunOptions
) -> dict[str, Any]:
    """Train the bias model on a split; return its RMSE on every part, None where one is empty.

    Parameters
    ----------
    cluster, store, spec
        Where, on which ratings, and which of them train.
    config, run
        Those of the model that it stands beside.
    """
    update = {
        "model": "bias",
        "units": "deviations",
        "gamma": config.lambda_ * RIDGE,
        "reg_exponent": 0.0,
        "item_features": (),
        "user_features": (),
        "solver": "joint",
        "damping": 1.0,
        "likelihood": "gaussian",
        "no_global_mean": False,
        "epochs": EPOCHS,
        "tol": TOLERANCE,
        "patience": None,
        "monitor_test": False,
    }
    biases = config.model_copy(update=update)
    split = ensure_split(store, spec)
    trained = Trainer(cluster, store, split, biases, (), replace(run, checkpoints=None)).train()
    figures = {part: error_figures(getattr(trained, part)) for part in PARTS}
    return {f"{part}_rmse": None if found is None else found.rmse for part, found in figures.items()}


def baseline_notes(model: Model) -> list[str]:
    """Say where factors add nothing to the biases, a model is worse, or ratings are counts over decades."""
    report, notes = model.report, []
    standard, highest = report["standard"], model.limits[1]
    above = (highest - standard["centre"]) / standard["deviation"]
    if above > FAR_ABOVE and report["config"]["model"] != "ials" and model.curve is None:
        remedy = "--transform log1p or rank" if model.limits[0] >= 0 else "--transform rank"
        notes.append(
            f"the ratings reach {highest:g}, {above:,.0f} deviations above their mean, as counts over "
            f"decades do: squared errors see little but the largest; train with {remedy}, or with "
            "--model ials, which takes counts for confidence"
        )
    baseline = report["baseline"]
    own, theirs = report["test_rmse"], baseline["test_rmse"]
    if own is not None and theirs and own > theirs:
        notes.append(
            f"the test RMSE, {own:.4f}, is above that of biases alone, {theirs:.4f}: "
            + _remedy(report, "raise --tau, or train with --model auto")
        )
    if not model.predicts_ratings:
        if taste_variance(model) < DUST:
            notes.append(
                "the factors say nothing of these clicks: lists go by what is chosen together; lower --tau"
            )
        return notes
    if model.limits[0] == model.limits[1]:
        notes.append(
            f"all ratings are {highest:g}, so nothing tells what is liked: where rows are clicks or plays, "
            "train with --model ials"
        )
        return notes
    share = taste_variance(model) / standard["deviation"] ** 2
    if model.rank and share < DUST:
        notes.append(
            f"the factors add nothing: what they say of a rating has {share:.1g} of the ratings' variance; "
            + _remedy(report, "lower --tau, or train with --model auto")
        )
    return notes


def _remedy(report: dict[str, Any], of_options: str) -> str:
    """Return what to do about options that turned out badly, or where to see why `auto` chose them."""
    if "taken" in (report.get("selection") or {}):
        return "auto found nothing better on its validation part; see selection in report.json"
    return of_options


def taste_variance(model: Model) -> float:
    """Return the variance of p·q over users and items, each as often as they have training ratings."""
    users = _second_moment(model.user_factors, model.user_counts)
    items = _second_moment(model.item_factors, model.item_counts)
    return float(np.sum(users * items))


def better_than_biases(report: dict[str, Any]) -> str | None:
    """Return how a model's test error compares with that of biases, for the screen; None without a test."""
    own, theirs = report.get("test_rmse"), (report.get("baseline") or {}).get("test_rmse")
    if own is None or not theirs:
        return None
    share = 100 * (1 - own / theirs)
    if abs(share) < 0.05:  # what would be shown as nothing
        return f"as good as biases alone ({theirs:.5f})"
    return f"{'better' if share >= 0 else 'worse'} than biases ({theirs:.5f}) by {abs(share):.1f} %"


def _second_moment(factors: Float32, counts: Int64) -> Float64:
    weighted = factors.astype(np.float64) * np.sqrt(counts / max(int(counts.sum()), 1))[:, None]
    return product(np.ascontiguousarray(weighted.T), weighted)
