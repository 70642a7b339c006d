"""Context that all steps of a night share, and how a night ends early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskals.errors import ConfigError
from daskals.model.fitted import Model
from daskals.ratings.dates import last_moment
from daskals.registry.registry import CHAMPION, Registry
from daskals.retrain.config import RetrainConfig
from daskals.retrain.night import REFUSED_DATA, Check, NightFolder, Outcome
from daskals.store.reader import RatingsStore
from daskals.store.versions import is_store, open_latest
from daskals.training.event_log import EventLog

STORE = "store"


class EndedError(Exception):
    """The night ends here, and not by a fault."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.summary)
        self.outcome = outcome


@dataclass(frozen=True)
class Begun:
    """What the night started from.

    `champion`: version of the champion at that time, or None; `store`: folder of the store's latest version
    at that time, or None; `since`: rows of input that the champion's ratings came from: what follows is new
    to it.
    """

    champion: str | None
    store: str | None
    since: int


@dataclass(frozen=True)
class Context:
    """What all steps of a night share.

    Attributes
    ----------
    config, folder, log
        Options, folder and log of the night.
    registry, check_lock
        Where the models are; raises where this process no longer owns the job's home.
    begun, champion
        What the night started from; the champion at that time, or None.
    """

    config: RetrainConfig
    folder: NightFolder
    log: EventLog
    registry: Registry
    check_lock: Callable[[], None]
    begun: Begun
    champion: Model | None

    @property
    def store_path(self) -> Path:
        """Folder of the ratings."""
        return store_path(self.config)

    def refused(self, reason: str, checks: list[Check]) -> EndedError:
        """Return what ends the night because of its data."""
        return EndedError(refused(self.config.as_of, reason, self.begun.champion, checks))

    def outcome(
        self,
        code: int,
        summary: str,
        version: str | None = None,
        figures: dict[str, Any] | None = None,
        checks: list[Check] | None = None,
    ) -> Outcome:
        """Return how the night ended, with the champion as it is now.

        Parameters
        ----------
        code, summary, version, figures, checks
            See `Outcome`.
        """
        return Outcome(
            as_of=self.config.as_of,
            code=code,
            summary=summary,
            version=version,
            champion=current_champion(self.registry),
            figures=figures or {},
            checks=checks or [],
        )


def begin(
    config: RetrainConfig, folder: NightFolder, log: EventLog, check_lock: Callable[[], None]
) -> Context:
    """Pin what the night starts from, so that a rerun does not take its own work for yesterday's.

    Raises EndedError if the store knows later dates already, ConfigError if the champion sees ratings through
    a curve, which nights do not train by.
    """
    registry = Registry(config.registry_url)
    found = folder.read("begun.json")
    if found is None:
        champion = current_champion(registry)
        path = store_path(config)
        store = open_latest(path) if is_store(path) else None
        _refuse_earlier_dates(config, store, champion)
        since = _since(registry, champion, store)
        found = {
            "as_of": config.as_of,
            "champion": champion,
            "store": None if store is None else store.path,
            "since": since,
        }
        folder.write("begun.json", found)
    begun = Begun(found["champion"], found["store"], found["since"])
    model = None if begun.champion is None else registry.load(begun.champion)
    if model is not None and model.curve is not None:
        raise ConfigError(
            f"the champion was trained with --transform={model.curve.name}",
            where=f"{config.registry_url}, version {begun.champion}",
            expected="a champion of ratings as they are, as nights train",
            remedy="Make one the champion that was trained without --transform, or name another --registry",
        )
    if model is not None and model.times is not None:
        # as it is on the day that it is held against, not on the latest of its training
        model = model.as_of(last_moment(config.as_of))
    return Context(config, folder, log, registry, check_lock, begun, model)


def _since(registry: Registry, champion: str | None, store: RatingsStore | None) -> int:
    """Return how many rows of input came before what is new."""
    if champion is None:
        return 0
    known = registry.manifest(champion).data.get("n_input")
    if known is None:
        # no night made it, so that it does not say where its ratings end in the store
        return 0 if store is None else store.n_input
    return int(known)


def store_path(config: RetrainConfig) -> Path:
    """Return the folder of the ratings."""
    return config.home.absolute() / STORE


def current_champion(registry: Registry) -> str | None:
    """Return the champion's version, None where there is none yet."""
    return registry.aliases().get(CHAMPION) if registry.exists() else None


def refused(as_of: str, reason: str, champion: str | None, checks: list[Check]) -> Outcome:
    """Return the outcome of a night whose data were refused."""
    return Outcome(as_of=as_of, code=REFUSED_DATA, summary=reason, champion=champion, checks=checks)


def _refuse_earlier_dates(config: RetrainConfig, store: RatingsStore | None, champion: str | None) -> None:
    known = None if store is None else store.lineage.get("as_of")
    if known is not None and last_moment(config.as_of) < last_moment(known):
        reason = (
            f"the store knows ratings up to {known} already, which is after {config.as_of}: "
            "did the clock go back?"
        )
        raise EndedError(refused(config.as_of, reason, champion, []))
