"""What of a run must be the same wherever and however often it ran."""

from __future__ import annotations

import pytest

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.model.fitted import Model
from daskals.training.run import NO_OPTIONS, RunOptions

EPOCHS = 12
"""More than a state is kept for: the run is handed home and out again on the way."""

MODELS = {
    "als": {"model": "als", "rank": 3},
    "coordinate": {"model": "als", "rank": 3, "solver": "coordinate"},
    "blocks": {"model": "als", "rank": 33, "solver": "blocks"},
    "gradients": {"model": "als", "rank": 3, "solver": "gradients"},
    "hierarchical": {"model": "hierarchical", "rank": 3},
    "dated": {"model": "hierarchical", "rank": 3, "time_bins": "week"},
    "ials": {"model": "ials", "rank": 3, "item_features": "genres"},
}


def some_of_them(*ordinary: str) -> list[object]:
    """Return the models' names as parameters; each that is not named here is slow."""
    return [name if name in ordinary else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]


def train(cluster: Cluster, model: str = "als", run: RunOptions = NO_OPTIONS) -> Model:
    config = TrainConfig.parse(
        {"seed": 1, "epochs": EPOCHS, "validation_fraction": 0.1, "order": "rating", **MODELS[model]}
    )
    return fit("synthetic-100k", config, cluster.client, run=run)


def outcome(model: Model) -> tuple[object, ...]:
    """Everything of a run that must not depend on where it ran."""
    report = model.report
    history = [
        (record["objective"], record["train_rmse"], record["validation_rmse"]) for record in report["history"]
    ]
    return report["factors_sha256"], report["train_rmse"], report["test_rmse"], report["test_mae"], history
