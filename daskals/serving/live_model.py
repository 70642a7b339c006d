"""A live model, kept ready for many people: trained if there is none, taken anew when another comes."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from daskals.cache import cache_folder
from daskals.config import TrainConfig
from daskals.errors import DaskalsError, DataError
from daskals.fitting.fit import fit
from daskals.ingest import RatingsSource
from daskals.model.fitted import Model
from daskals.registry.open_model import Stamp, open_model, stamp_of
from daskals.training.events import EpochFinished, Event, PhaseStarted

DEFAULT_DATASET = "synthetic-1m"
POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Served:
    """What there is to serve right now.

    Attributes
    ----------
    model
        The model, None while there is none yet.
    generation
        Counts the models served so far; a page compares it to see that there is a new one.
    notice
        What people should be told: why there is no model, or why a newer one is not used. Empty if nothing.
    progress, phase
        How far training has come, 0 to 1, and at what it is; while there is no model.
    name
        What the model is called: its version's id, or its run's or folder's name.
    """

    model: Model | None
    generation: int
    notice: str
    progress: float
    phase: str
    name: str = ""


class ModelServer:
    """Holds the current model of a folder for all threads of a process.

    Parameters
    ----------
    path
        A model's folder, its run's, or a registry, whose champion it then is; None for the embedded
        default, which is trained once and kept in the user's cache.
    dataset, config
        What the default is trained on, and how.
    """

    def __init__(
        self,
        path: str | Path | None,
        dataset: RatingsSource = DEFAULT_DATASET,
        config: TrainConfig | None = None,
    ) -> None:
        self._trains = path is None
        self._path: str | Path = path or cache_folder() / "models" / Path(str(dataset)).name
        self._dataset = dataset
        self._config = config or TrainConfig()
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._looked = 0.0
        self._training: threading.Thread | None = None
        self._state = Served(None, 0, "", 0.0, "start")

    def current(self) -> Served:
        """Return what there is to serve; look for a newer model, at most every `POLL_SECONDS`."""
        with self._lock:
            now = time.monotonic()
            if self._looked == 0.0 or now - self._looked > POLL_SECONDS:
                self._looked = now
                self._look()
            return self._state

    def _look(self) -> None:
        try:
            stamp = stamp_of(self._path)
        except DaskalsError as error:
            self._state = replace(self._state, notice=error.for_command())
            return
        if stamp is None and self._trains:
            if self._training is None:
                self._training = threading.Thread(
                    target=self._train, name="daskals-default-model", daemon=True
                )
                self._training.start()
            return
        if stamp == self._stamp and (stamp is not None or self._state.notice):
            return
        self._stamp = stamp
        try:
            with open_model(self._path) as found:
                warm_up(found.model)
        except DaskalsError as error:
            self._state = replace(self._state, notice=error.for_command(), progress=0.0, phase="")
        else:
            self._state = Served(found.model, self._state.generation + 1, "", 1.0, "", found.name)

    def _train(self) -> None:
        try:
            fit(self._dataset, self._config, callbacks=[self._take]).save(self._path, existing="keep")
        except DaskalsError as error:
            self._say(Served(None, 0, error.for_command(), 0.0, ""))
        self._looked = 0.0

    def _take(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._say(Served(None, 0, "", self._state.progress, event.phase))
        elif isinstance(event, EpochFinished):
            self._say(Served(None, 0, "", event.epoch / event.epochs, "train"))

    def _say(self, state: Served) -> None:
        with self._lock:
            self._state = state


def warm_up(model: Model) -> None:
    """Answer one question of each kind, so that the first person does not wait for caches and compilers."""
    person = model.fold_in({model.item_ids[0].as_py(): model.limits[1]})
    model.recommend(person, 1, include_seen=True)
    with suppress(DataError):  # of dust nothing is near to anything
        model.similar_items(model.item_ids[0].as_py(), 1)
    if model.has_titles:
        model.titles.search("the")
