"""What a training run leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from daskals.kernels.scoring.score import ErrorSums
from daskals.training.departures import WorkerLoss
from daskals.training.events import EpochFinished
from daskals.training.half_step import SolveSpec
from daskals.types import FactorRows, Float64, Side


@dataclass(frozen=True)
class TrainedFactors:
    """What a training run leaves.

    Attributes
    ----------
    user_rows, item_rows
        Factor rows of all users and all items. The users' belong to the final items: training closes
        with one more user half-step.
    spec, history
        How they were solved; one entry an epoch.
    train, validation, test
        Error sums of the final rows over the parts, rating by rating.
    weights
        W of each side that has features, float64, shape (features, rank + 1).
    compile_seconds
        Longest time a worker took to compile the kernels, or to read them from the cache.
    workers_lost, bytes_moved
        Workers that left during the run; bytes that workers sent to one another during the epochs.
    resumed_from
        Epoch of the checkpoint that the run began with, or None.
    objective
        Of these factors, where no predicted rating has an error: of implicit feedback.
    time_rows
        Factor rows of a third side, if there is one.
    """

    user_rows: FactorRows
    item_rows: FactorRows
    spec: SolveSpec
    history: tuple[EpochFinished, ...]
    train: ErrorSums
    validation: ErrorSums
    test: ErrorSums
    weights: dict[Side, Float64] = field(default_factory=dict)
    compile_seconds: float = 0.0
    workers_lost: tuple[WorkerLoss, ...] = ()
    bytes_moved: int = 0
    resumed_from: int | None = None
    objective: float | None = None
    time_rows: FactorRows | None = None
