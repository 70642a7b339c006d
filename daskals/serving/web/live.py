"""The answers of the model in use, taken anew in the background when another is published."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from daskals.errors import DaskalsError, ModelError
from daskals.registry.open_model import load_model
from daskals.serving.live_model import POLL_SECONDS, ModelServer
from daskals.serving.web.answers import Answers

LOGGER = logging.getLogger("daskals.serve")


class State(NamedTuple):
    """What there is to answer with.

    Attributes
    ----------
    answers
        Of the model in use.
    notice
        Why a newer model is not used; empty if nothing is wrong.
    """

    answers: Answers
    notice: str


class Live:
    """Follows a run's folder, a model's folder or a registry's champion.

    A newer model is loaded and made ready beside the one in use, which answers until then; one that cannot
    be used is told in `state.notice` and in the log.

    Parameters
    ----------
    place
        Where the model is.
    taken_up
        Called whenever a model has been taken up.

    Raises
    ------
    ModelError, RegistryError
        If there is none that can be used.
    """

    def __init__(self, place: str | Path, taken_up: Callable[[], None] = lambda: None) -> None:
        self._taken_up = taken_up
        self._server = ModelServer(place)
        first = self._server.current()
        if first.model is None:
            load_model(place)  # tells what is wrong
            raise ModelError(first.notice, where=str(place), remedy="Try again")
        self.state = State(Answers(first.model, first.name, first.generation), "")
        taken_up()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Take up what was published meanwhile."""
        served = self._server.current()
        answers = self.state.answers
        if served.model is not None and served.generation != answers.generation:
            answers = Answers(served.model, served.name, served.generation)
            LOGGER.info("model", extra={"model": served.name})
        if served.notice and served.notice != self.state.notice:
            LOGGER.warning("model_not_used", extra={"why": served.notice})
        is_new = answers is not self.state.answers
        self.state = State(answers, served.notice)
        if is_new:
            self._taken_up()

    def start(self) -> None:
        """Look again and again from now on."""
        self._thread = threading.Thread(target=self._run, name="daskals-live-model", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            try:
                self.look()
            except (DaskalsError, OSError, ValueError) as error:
                # the model in use goes on answering; the next look may find another
                self.state = State(self.state.answers, str(error))
                LOGGER.warning("model_not_used", extra={"why": str(error)})


def spare_what_lasts() -> None:
    """Keep Python's collections of garbage from what is there now, once its garbage is collected.

    The libraries and a model are a million objects, and looking through them takes some tenths of a second,
    in which nobody is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
