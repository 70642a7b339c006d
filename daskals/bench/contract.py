"""Interface of a measured system: what a benchmark asks, and what the system answers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from daskals.config import TrainConfig


@dataclass(frozen=True)
class Assignment:
    """One measurement, made in a process of its own.

    Attributes
    ----------
    system, store
        Name in `daskals.bench.systems.SYSTEMS`; folder of the store.
    split
        Key of the split.
    config
        Rank, epochs, regularisation and seed, the same for all systems as far as they have them.
    threads
        Threads of the whole machine that the system may use.
    processes
        Worker processes that share these threads, for systems that have any.
    """

    system: str
    store: str
    split: str
    config: TrainConfig
    threads: int
    processes: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the fields ready for JSON."""
        return {**_shallow(self), "config": self.config.as_report()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Undo `to_json`."""
        return cls(**{**values, "config": TrainConfig.parse(values["config"])})


class NotApplicableError(Exception):
    """Raised by a system that cannot run on these ratings; its text says what they lack."""


@dataclass(frozen=True)
class Outcome:
    """What a system did.

    Attributes
    ----------
    seconds
        Time of each measured epoch (or pass).
    test_rmse
        Test error after all the epochs, None where the system's model does not predict these ratings.
    threads
        What was set, in words: "2 threads, BLAS 1".
    cpu_seconds
        As `seconds`, of all the process's threads together; empty where it is not known.
    warm_up_seconds
        Compilation and first calls, not part of `seconds`.
    setup_seconds
        Bringing the ratings from memory into the system's own form, not part of `seconds`.
    order
        Order of the equations solved for a row, None where the system does not solve them by elimination.
    bytes_moved
        Bytes of ratings and factors that an epoch reads and writes, None where not known.
    peak_memory_bytes
        Largest resident memory of the process and its children, once the shared ratings were loaded.
    note, extra
        What a reader must know to compare; further figures by name.
    """

    seconds: list[float]
    test_rmse: float | None
    threads: str
    cpu_seconds: list[float] = field(default_factory=list)
    warm_up_seconds: float = 0.0
    setup_seconds: float = 0.0
    order: int | None = None
    bytes_moved: float | None = None
    peak_memory_bytes: int | None = None
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields ready for JSON."""
        return _shallow(self)


def _shallow(value: Assignment | Outcome) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
