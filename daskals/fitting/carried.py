"""What a model carries of the ratings that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from daskals.model.training_ratings import KeptRatings
from daskals.training.events import Callback, Notice, teller
from daskals.training.problem import Problem


def carried_ratings(problem: Problem, callbacks: Sequence[Callback]) -> KeptRatings | None:
    """Read what the model shall carry of its ratings; say so where it is too much."""
    store, config = problem.store, problem.config
    timing = problem.timing
    if store.n_ratings <= config.keep_ratings:
        unit = None if timing is None else timing.unit
        return KeptRatings.of(store, problem.split, problem.weighing, unit)
    if config.keep_ratings:
        megabytes = (5 if timing is None else 9) * store.n_ratings / 1e6
        notice = (
            f"the model does not carry its {store.n_ratings:,} ratings ({megabytes:,.0f} MB): it reads from "
            f"{store.path} what its users have seen; --keep-ratings {store.n_ratings} changes that"
        )
        teller(callbacks)(Notice(notice))
    return None
