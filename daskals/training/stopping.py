"""When to stop, and how many epochs validation asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daskals.errors import DataError
from daskals.kernels.data.csr import count_part
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.training.events import EpochFinished
from daskals.types import VALIDATION


def is_settled(history: Sequence[EpochFinished], tol: float, patience: int | None) -> bool:
    """Tell whether the objective hardly falls, or the validation error has not for `patience` epochs."""
    if patience is not None and history and len(history) - best_epoch(history) >= patience:
        return True
    if tol == 0 or len(history) < 2:
        return False
    before, after = history[-2].objective, history[-1].objective
    return before - after < tol * abs(before)


def hardly_gains(history: Sequence[EpochFinished], gain: float) -> bool:
    """Tell whether the last validation error is less than `gain`, a share, below the one before.

    Epochs without one were not judged.
    """
    judged = [record.validation_rmse for record in history if record.validation_rmse is not None]
    return len(judged) > 1 and judged[-1] > (1.0 - gain) * judged[-2]


def is_beaten(history: Sequence[EpochFinished], rival: Sequence[EpochFinished], share: float) -> bool:
    """Tell whether the last validation error is more than a share above that of a rival's same epoch."""
    last = history[-1]
    theirs = [record.validation_rmse for record in rival if record.epoch == last.epoch]
    if last.validation_rmse is None or not theirs or theirs[0] is None:
        return False
    return last.validation_rmse > (1.0 + share) * theirs[0]


def best_epoch(history: Sequence[EpochFinished]) -> int:
    """Return the number, from 1, of the first epoch with the lowest validation RMSE."""
    figures = [np.inf if record.validation_rmse is None else record.validation_rmse for record in history]
    return int(np.argmin(figures)) + 1


def check_validation(store: RatingsStore, split: Split) -> None:
    """Refuse a validation part that takes all that a user trained on: it would measure strangers.

    Raises DataError naming a user and how many there are.
    """
    parts = split.parts("user", 0, store.n_ratings)
    trained = split.train_counts("user")
    validated = count_part(store.indptr("user"), parts, VALIDATION)
    stranded = np.flatnonzero((trained == 0) & (validated > 0))
    if len(stranded):
        raise DataError(
            f"{len(stranded):,} users, the first of them {store.user_ids[int(stranded[0])].as_py()!r}, "
            "have validation ratings and no training rating",
            where="--validation-fraction",
            expected="every user to keep a rating that trains",
            remedy="Lower the fraction, name another --split-seed, or choose --split=per-user",
        )
