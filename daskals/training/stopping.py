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
