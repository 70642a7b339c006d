"""The papers' protocols as presets, and their published figures beside measured ones.

The published figures are on MovieLens 32M unless they say latest-small; on other ratings they stand beside
for orientation only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.evaluation.ranking import figures_of, make_task, score_lists
from daskals.evaluation.ranking_scores import model_scorers
from daskals.fitting.fit import fit
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split

LATEST_SMALL_RATINGS = 100_836


@dataclass(frozen=True)
class Published:
    """One figure of a paper.

    Attributes
    ----------
    name
        Of the figure, as reports have it.
    value
        As printed.
    where
        Table, figure or section of the paper.
    """

    name: str
    value: float
    where: str


@dataclass(frozen=True)
class Experiment:
    """One run of a paper.

    Attributes
    ----------
    name
        What tables call it.
    options
        The paper's configuration, as `TrainConfig.parse` takes it.
    published
        Its figures.
    """

    name: str
    options: Mapping[str, Any]
    published: tuple[Published, ...]


_NAGI = {
    "split": "random",
    "seed": 42,
    "rank": 20,
    "lambda": 0.002,
    "gamma": 0.015,
    "tau": 0.05,
    "epochs": 50,
    "solver": "coordinate",
    "model": "als",
}
_JOINT = {**_NAGI, "solver": "joint", "model": "hierarchical"}
_SALAKO = {
    "split": "per-user",
    "test_fraction": 0.2,
    "seed": 42,
    "epochs": 20,
    "init_scale": "paper2",
    "solver": "coordinate",
    "model": "als",
}

_TABLE_2 = (
    (2, 0.1, 0.05, 0.0000, 0.0000, 0.7873, 0.8157),
    (2, 0.1, 0.10, 0.0000, 0.0000, 0.7865, 0.8139),
    (2, 0.1, 0.25, 0.0082, 0.0015, 0.7884, 0.8135),
    (2, 0.5, 0.05, 0.0000, 0.0000, 0.7851, 0.8158),
    (2, 0.5, 0.10, 0.0000, 0.0000, 0.7855, 0.8154),
    (2, 0.5, 0.25, 0.0000, 0.0000, 0.7858, 0.8145),
    (10, 0.1, 0.05, 0.0028, 0.0018, 0.6959, 0.7924),
    (10, 0.1, 0.10, 0.0159, 0.0098, 0.6980, 0.7877),
    (10, 0.1, 0.25, 0.0430, 0.0257, 0.7020, 0.7828),
    (10, 0.5, 0.05, 0.0000, 0.0000, 0.6940, 0.8047),
    (10, 0.5, 0.10, 0.0000, 0.0000, 0.6948, 0.7995),
    (10, 0.5, 0.25, 0.0023, 0.0013, 0.6957, 0.7919),
    (50, 0.1, 0.05, 0.0043, 0.0085, 0.5302, 0.9041),
    (50, 0.1, 0.10, 0.0119, 0.0284, 0.5342, 0.8834),
    (50, 0.1, 0.25, 0.0258, 0.0713, 0.5446, 0.8574),
    (50, 0.5, 0.05, 0.0001, 0.0002, 0.5278, 0.9645),
    (50, 0.5, 0.10, 0.0006, 0.0009, 0.5282, 0.9360),
    (50, 0.5, 0.25, 0.0043, 0.0085, 0.5303, 0.9040),
    (100, 0.1, 0.05, 0.0043, 0.0211, 0.4176, 0.9967),
    (100, 0.1, 0.10, 0.0101, 0.0577, 0.4225, 0.9667),
    (100, 0.1, 0.25, 0.0199, 0.1149, 0.4361, 0.9304),
    (100, 0.5, 0.05, 0.0003, 0.0008, 0.4157, 1.0733),
    (100, 0.5, 0.10, 0.0009, 0.0031, 0.4157, 1.0377),
    (100, 0.5, 0.25, 0.0043, 0.0217, 0.4176, 0.9952),
)
"""Paper 2's Table 2: k, λ, τ, Precision@10, Recall@10, train and test RMSE."""


def experiments(paper: str, n_ratings: int) -> list[Experiment]:
    """Return a paper's runs for a set of this many ratings: paper 1 holds 0.1 out, of latest-small 0.2."""
    if paper == "salako":
        return [_salako(*row) for row in _TABLE_2]
    if n_ratings == LATEST_SMALL_RATINGS:
        options = {**_NAGI, "test_fraction": 0.2}
        plain = (Published("test_rmse", 0.8580, "section 5, latest-small"),)
        return [
            Experiment("plain", options, plain),
            Experiment("ours: features, rows eliminated", {**_JOINT, "test_fraction": 0.2}, ()),
        ]
    options = {**_NAGI, "test_fraction": 0.1}
    return [
        Experiment(
            "plain",
            options,
            (Published("test_rmse", 0.7661, "section 5.3"), Published("train_rmse", 0.6891, "section 5.3")),
        ),
        Experiment(
            "hierarchical",
            {**_JOINT, "test_fraction": 0.1},
            (Published("test_rmse", 0.7654, "Fig. 11"), Published("train_rmse", 0.6884, "Fig. 11")),
        ),
        *(
            Experiment(
                f"K = {rank}",
                {**options, "rank": rank, "epochs": 10},
                (Published("test_rmse", value, "Fig. 7"),),
            )
            for rank, value in (
                (0, 0.8548),
                (2, 0.8150),
                (5, 0.7929),
                (10, 0.7765),
                (20, 0.7683),
                (40, 0.7726),
                (80, 0.7861),
            )
        ),
    ]


def _salako(
    rank: int, lambda_: float, tau: float, precision: float, recall: float, train: float, test: float
) -> Experiment:
    return Experiment(
        f"k = {rank}, λ = {lambda_:g}, τ = {tau:g}",
        {**_SALAKO, "rank": rank, "lambda": lambda_, "tau": tau, "gamma": tau},
        (
            Published("test_rmse", test, "Table 2"),
            Published("train_rmse", train, "Table 2"),
            Published("precision_at_10", precision, "Table 2"),
            Published("recall_at_10", recall, "Table 2"),
        ),
    )


def run_experiment(store: RatingsStore, cluster: Cluster, experiment: Experiment) -> dict[str, Any]:
    """Train one run and measure what its paper printed; ranking by predicted rating, 3,000 users."""
    model = fit(store, TrainConfig.parse(experiment.options), cluster.client)
    report = model.report
    measured = {name: report[name] for name in ("test_rmse", "train_rmse", "test_rmse_clipped")}
    if any(figure.name == "recall_at_10" for figure in experiment.published):
        split = ensure_split(store, SplitSpec(**report["data"]["split"]))
        task = make_task(store, split)
        figures = figures_of(task, *score_lists(task, model_scorers(model)[0]))
        measured |= {"precision_at_10": figures.precision, "recall_at_10": figures.recall}
    return {
        "name": experiment.name,
        "options": dict(experiment.options),
        "published": {figure.name: figure.value for figure in experiment.published},
        "where": {figure.name: figure.where for figure in experiment.published},
        "measured": measured,
        "epoch_seconds_median": report["epoch_seconds_median"],
    }
