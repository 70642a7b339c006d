"""How many epochs train on all of train: as many as were best on a validation part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.fitting.report import history_section
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.events import Callback, Notice, teller
from daskals.training.outcome import TrainedFactors
from daskals.training.run import RunOptions
from daskals.training.stopping import best_epoch, check_validation
from daskals.training.trainer import Trainer


class ChosenEpochs(NamedTuple):
    """The configuration that trains on all of train, the report's section, and what was trained before."""

    config: TrainConfig
    section: dict[str, Any]
    trained: TrainedFactors


def choose_epochs(
    cluster: Cluster,
    store: RatingsStore,
    split: Split,
    config: TrainConfig,
    callbacks: Sequence[Callback],
    run: RunOptions,
) -> ChosenEpochs:
    """Train until validation no longer improves.

    Parameters
    ----------
    cluster, store, split
        Where the tasks run; the ratings, and which of them train and validate.
    config, callbacks, run
        As in `fit`; the configuration is resolved, and has a patience.
    """
    check_validation(store, split)
    trained = Trainer(cluster, store, split, config, callbacks, run).train()
    history = trained.history
    best = best_epoch(history)
    section = {
        "epochs": best,
        "validation_rmse": history[best - 1].validation_rmse,
        "validation_fraction": config.validation_fraction,
        "patience": config.patience,
        "history": history_section(history),
    }
    found = f"validation is best after {best} epochs: training on all of train for as many"
    teller(callbacks)(Notice(found))
    refit = {"epochs": best, "patience": None, "validation_fraction": 0.0, "tol": 0.0}
    return ChosenEpochs(config.model_copy(update=refit), section, trained)
