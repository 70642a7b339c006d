"""Checkpoints of a run, and what a run must share with its checkpoint to continue it to the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from numpy.typing import NDArray

from daskals.config import ModelConfig, ReadConfig, SplitConfig, TrainConfig
from daskals.errors import ConfigError, StoreError
from daskals.kernels.toolkit.target import current_target
from daskals.store.checkpoint_files import (
    discard_states,
    list_states,
    read_state,
    sweep,
    write_state,
)
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.state import TrainingState

FREE = {"epochs", "monitor_test"}
"""Options that may change between a checkpoint and the run that continues it."""

UNITS = "--units"

TARGET = "cpu target"
"""What a checkpoint calls the CPU that its kernels were compiled for."""


StateT = TypeVar("StateT")
Parse: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], StateT]
"""Makes a state of the attributes and arrays that were stored."""


class Last(NamedTuple, Generic[StateT]):
    """The last checkpoint that is whole: what its run is told by, and its state."""

    identity: dict[str, Any]
    state: StateT


class Checkpoints:
    """The checkpoints in one folder, one every `every` epochs, and one of the last epoch in any case.

    With `resume` a run continues from the last one, if there is one, rather than begin anew and discard them.
    `before_saving` raises where this run no longer owns its folder.
    """

    def __init__(
        self,
        folder: Path,
        every: int = 5,
        *,
        resume: bool = False,
        before_saving: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.every = every
        self.resume = resume
        self._before_saving = before_saving
        self._identity: dict[str, Any] = {}
        self._is_fresh = not resume

    def part(self, name: str) -> Checkpoints:
        """Return the checkpoints of one training among several of the same run."""
        part = Checkpoints(self.folder / name, self.every, resume=self.resume, before_saving=self._claim)
        # what an earlier run left is removed once, by whichever training saves first
        part._is_fresh = False
        return part

    def _claim(self) -> None:
        self._before_saving()
        if self._is_fresh:
            discard_states(self.folder)
            self._is_fresh = False

    def begin(self, config: TrainConfig, store: RatingsStore, split: Split) -> TrainingState | None:
        """Return the state to continue from, or None where the run begins; raises as `open` does.

        Also raises ConfigError if the run has more epochs already than are asked for.
        """
        state = self.open(config, store, split, TrainingState.from_stored)
        if state is None:
            return None
        if state.epoch > config.epochs:
            raise ConfigError(
                f"the run has {state.epoch} epochs already",
                where="--epochs",
                expected=f"at least {state.epoch}",
                remedy="Name more epochs, or begin anew with --overwrite",
            )
        return state

    def open(
        self, config: TrainConfig, store: RatingsStore, split: Split, parse: Parse[StateT]
    ) -> StateT | None:
        """Return the last state that is whole, or None where the run begins.

        Parameters
        ----------
        config, store, split
            What the run shares with its checkpoints.
        parse
            Makes a state of attributes and arrays; what it misses there makes the checkpoint a damaged one.

        Raises
        ------
        ConfigError
            If the checkpoint was made with other options or other ratings; what differs is listed.
        StoreError
            If checkpoints are there and none is whole.
        """
        self._identity = identity(config, store, split)
        sweep(self.folder)
        if not self.resume:
            return None
        self._is_fresh = False
        found = self._read_last(parse)
        if found is None:
            return None
        self._check(found.identity)
        return found.state

    def options_of_last(self) -> dict[str, Any] | None:
        """Return the options of the run to continue, by the names of fields; None where there is none.

        Runs that began before there was a choice of units took rating points.
        """
        if not self.resume:
            return None
        found = self._read_last(lambda attributes, _: int(attributes["history"][-1]["epochs"]))
        if found is None:
            return None
        identity = {UNITS: "ratings", **found.identity}
        options = {name[2:].replace("-", "_"): value for name, value in identity.items() if name[:2] == "--"}
        return {**options, "epochs": found.state}

    def write(self, epoch: int, attributes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a state, whole or not at all, and keep the last two.

        Those of the run that this one replaces go before the first is written.
        """
        self._claim()
        write_state(self.folder, epoch, {"identity": self._identity, **attributes}, arrays)

    def _read_last(self, parse: Parse[StateT]) -> Last[StateT] | None:
        damage: StoreError | None = None
        for path in reversed(list_states(self.folder)):
            try:
                return parsed_state(path, parse)
            except StoreError as error:
                damage = damage or error  # an older one leads to the same bits, some epochs later
        if damage is not None:
            raise StoreError(
                damage.found,
                where=damage.where,
                expected=damage.expected or "a whole checkpoint",
                remedy="Restore it from a copy, or begin anew with --overwrite",
            ) from damage
        return None

    def _check(self, stored: Mapping[str, Any]) -> None:
        # through JSON, as the stored one went; an option that the version before did not have leaves, by its
        # default, everything as it was
        added = {name: value for name, value in _shaping(TrainConfig()).items() if name != UNITS}
        before = {**json.loads(json.dumps(added)), **stored}
        now = json.loads(json.dumps(self._identity))
        unlike = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if unlike:
            raise ConfigError(
                ", ".join(f"{name} {now.get(name)}" for name in unlike),
                where=f"{self.folder.parent}, --resume",
                expected=", ".join(f"{name} {before.get(name)}" for name in unlike)
                + ", as its checkpoint has it",
                remedy=_remedy(unlike, before),
            )


def parsed_state(path: Path, parse: Parse[StateT]) -> Last[StateT]:
    """Read a checkpoint; raise StoreError where it lacks something, or what is there cannot be meant.

    Parameters
    ----------
    path
        Its folder.
    parse
        Makes a state of attributes and arrays.
    """
    stored = read_state(path)
    try:
        return Last(dict(stored.attributes["identity"]), parse(stored.attributes, stored.arrays))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"its attributes are incomplete ({type(error).__name__}: {error})",
            where=str(path),
            expected="a whole checkpoint",
        ) from error


def _remedy(unlike: Sequence[str], before: Mapping[str, Any]) -> str:
    if unlike == [TARGET]:
        return (
            f"Continue it with --cpu={before[TARGET]}, and DASKALS_CPU={before[TARGET]} on the workers of a "
            "cluster, or begin anew with --overwrite"
        )
    return "Give the options and the ratings it began with, or begin anew with --overwrite"


def identity(config: TrainConfig, store: RatingsStore, split: Split) -> dict[str, Any]:
    """Return all that shapes the numbers of a run: options, ratings, split and CPU target."""
    options = _shaping(config)
    if options[UNITS] == "ratings":
        del options[UNITS]  # there were no others before there was a choice
    return {
        **options,
        "ratings": store.content_hash,
        "split": split.key,
        TARGET: current_target().name,
    }


def _shaping(config: TrainConfig) -> dict[str, Any]:
    """Return the options that shape the numbers of a run, by their flags."""
    sections = (ModelConfig, SplitConfig, ReadConfig)
    names = {(field.alias or name) for section in sections for name, field in section.model_fields.items()}
    values = {**config.as_report(), "solver": config.taken_solver}
    return {
        f"--{name.replace('_', '-')}": value
        for name, value in values.items()
        if name.rstrip("_") in names and name not in FREE
    }
