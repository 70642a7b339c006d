"""What a training run tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class PhaseStarted:
    """A phase begins: read, compile, load, train, evaluate."""

    phase: str


@dataclass(frozen=True)
class Notice:
    """Something a person should know: a worker came or went, a run continues from a checkpoint."""

    text: str


@dataclass(frozen=True)
class EpochFinished:
    """One pass over the training ratings is done.

    Attributes
    ----------
    epoch, epochs
        Number of this epoch, from 1, and how many were asked for.
    objective
        The regularised objective after the item half-step (paper 1, Eq. 2).
    train_rmse
        Root of the mean squared training error after the item half-step; None where no rating is predicted.
    validation_rmse, test_rmse
        The same on held-out ratings, None where there are none or nobody asked.
    seconds
        Since the previous epoch ended.
    ratings_per_second
        Training ratings over `seconds`: each counts once an epoch, though both half-steps read it.
    noise_precision
        α as drawn, where the epoch is a sweep of a Gibbs sampler; its objective is then
        α/2·SSE + ½ Σ(x − m)ᵀΛ(x − m) over the rows with ratings, and its test RMSE that of the mean so far.
    eta
        η as drawn, by side, in such a sweep where a side has features.
    """

    epoch: int
    epochs: int
    objective: float
    train_rmse: float | None
    validation_rmse: float | None
    test_rmse: float | None
    seconds: float
    ratings_per_second: float
    noise_precision: float | None = None
    eta: dict[str, float] | None = None


Event: TypeAlias = PhaseStarted | EpochFinished | Notice
Callback: TypeAlias = Callable[[Event], None]


def teller(callbacks: Sequence[Callback]) -> Callback:
    """Return one callback that calls all."""

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    return tell
