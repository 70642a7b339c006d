"""Users held out of training, folded into the model that never saw them (strong generalisation)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from daskals.evaluation.known_ratings import read_part
from daskals.evaluation.prediction_error import evaluate_split, part_times
from daskals.kernels.toolkit.layout import aligned_empty
from daskals.model.fitted import Model
from daskals.model.prior_mean import rating_parts
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.types import FOLD_IN, TEST


def with_held_out_users(model: Model, store: RatingsStore, split: Split) -> Model:
    """Return the model with a row for each user held out of training, solved from what folds them in.

    The report's errors are those of the rows that were solved.

    Parameters
    ----------
    model
        A model trained on the split.
    store, split
        Its ratings; the split holds users out.
    """
    folded = read_part(store, split, FOLD_IN)
    rows = aligned_empty(*model.user_rows.shape)
    rows[:] = model.user_rows
    fold = model.fold("user")
    dates = part_times(model, store, split, (0, store.n_users), FOLD_IN)
    thirds = None if dates is None else dates.astype(np.int32)
    for user in np.flatnonzero(np.diff(folded.indptr)):
        own = slice(folded.indptr[user], folded.indptr[user + 1])
        items = folded.items[own].astype(np.int64)
        parts = rating_parts(model.feature_groups["user"], items, model.catalogue, model.rank + 1)
        prior = parts.sum(axis=0).astype(np.float32)[None]
        rated = (
            folded.of_users(np.array([user])).block()._replace(thirds=None if thirds is None else thirds[own])
        )
        rows[user] = fold.rows(rated, prior)[0]
    model = replace(model, user_rows=rows)
    model.report.update(evaluate_split(model, store, split))
    model.report["data"].update(count_held_out(store, split))
    return model


def count_held_out(store: RatingsStore, split: Split) -> dict[str, int]:
    """Count the users held out of training: all of them, and those with one rating, who cannot be tested."""
    folded, tested = (np.diff(read_part(store, split, part).indptr) for part in (FOLD_IN, TEST))
    held_out = folded > 0
    return {
        "held_out_users": int(np.sum(held_out)),
        "untestable_users": int(np.sum(held_out & (tested == 0))),
    }
