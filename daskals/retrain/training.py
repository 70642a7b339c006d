"""Training of a night, each done once: the challenger that is measured, and what is published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from daskals.cluster.workers import Cluster
from daskals.config import TrainConfig
from daskals.fitting.fit import train_split
from daskals.model.fitted import Model
from daskals.ratings.split import SplitSpec
from daskals.retrain.context import Context
from daskals.retrain.initial_state import Target, initial_state
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.checkpoint import Checkpoints
from daskals.training.events import Notice
from daskals.training.memory import begin_peak
from daskals.training.run import RunOptions
from daskals.training.state import TrainingState

CHALLENGER_FOLDER = "challenger"
FINAL_FOLDER = "model"


def train_challenger(
    night: Context, cluster: Cluster, target: Target, spec: SplitSpec
) -> tuple[Model, dict[str, Any]]:
    """Train on all but the held-out ratings, from the champion's factors where there are some."""
    champion = night.champion
    if champion is not None and champion.rank != target.config.effective_rank:
        night.log(Notice(f"the champion has rank {champion.rank}: starting from random factors"))
        champion = None
    epochs = night.config.epochs if champion is None else night.config.warm_epochs
    config = target.config.model_copy(update={"epochs": epochs})

    def start() -> TrainingState | None:
        return None if champion is None else initial_state(champion, target)

    return _trained(night, cluster, CHALLENGER_FOLDER, target.store, spec, config, start)


def train_final(
    night: Context, cluster: Cluster, store: RatingsStore, config: TrainConfig, challenger: Model
) -> tuple[Model, dict[str, Any]]:
    """Go on from the challenger for some epochs with all ratings, the held-out ones included.

    Parameters
    ----------
    night, cluster
        The night, and where it trains.
    store, config, challenger
        All ratings, the configuration, and the model to go on from.
    """
    epochs = night.config.final_epochs
    if epochs == 0:
        challenger.save(night.folder.path / FINAL_FOLDER, existing="replace")
        return challenger, {"epochs": 0, "seconds": 0.0}
    spec = SplitSpec(method="none")
    target = Target(store, ensure_split(store, spec), config)
    config = config.model_copy(update={"epochs": epochs})
    return _trained(
        night, cluster, FINAL_FOLDER, store, spec, config, lambda: initial_state(challenger, target)
    )


def _trained(
    night: Context,
    cluster: Cluster,
    name: str,
    store: RatingsStore,
    spec: SplitSpec,
    config: TrainConfig,
    start: Callable[[], TrainingState | None],
) -> tuple[Model, dict[str, Any]]:
    """Return the model in the night's folder `name`, trained if it is not there yet."""
    folder = night.folder.path / name
    if not folder.exists():
        night.log.training(name)
        checkpoints = Checkpoints(
            night.folder.path / "checkpoints" / name,
            night.config.checkpoint_every,
            resume=True,
            before_saving=night.check_lock,
        )
        options = RunOptions(checkpoints, night.config.ratings_memory)
        begin_peak()
        cluster.everywhere(begin_peak)
        model = train_split(cluster, store, spec, config, (night.log,), options, start=start())
        model.save(folder, existing="replace")
        shutil.rmtree(checkpoints.folder, ignore_errors=True)
    model = Model.load(folder)
    history = model.report["history"]
    return model, {"epochs": len(history), "seconds": sum(record["seconds"] for record in history)}
