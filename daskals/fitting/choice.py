"""What `auto` chose, whether it is to choose at all, and what it is told of either."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from daskals.config import TrainConfig

NAMED = frozenset(
    {
        "lambda_",
        "gamma",
        "tau",
        "eta",
        "init_scale",
        "units",
        "epochs",
        "tol",
        "patience",
        "solver",
        "damping",
        "reg_exponent",
        "no_global_mean",
    }
)
"""Options of a point estimate: where one is named, `auto` learns nothing and takes it."""

CHOSEN = (
    "model",
    "units",
    "tau",
    "gamma",
    "eta",
    "reg_exponent",
    "item_features",
    "user_features",
    "likelihood",
    "time_bins",
    "epochs",
    "sweeps",
    "burn_in",
    "warm_start",
)
"""The options that a choice settles."""


class Point(NamedTuple):
    """A configuration that was tried, and its validation RMSE at its best epoch."""

    config: TrainConfig
    rmse: float
    epochs: int

    def as_report(self) -> dict[str, Any]:
        """Return what a report tells of it."""
        config = self.config
        return {
            "model": config.model,
            "factors": config.ridge.factors if config.effective_rank else None,
            "biases": config.ridge.bias,
            "features": config.relative_eta if config.model == "hierarchical" else None,
            "reg_exponent": config.reg_exponent,
            "epochs": self.epochs,
            "validation_rmse": self.rmse if math.isfinite(self.rmse) else None,
        }


@dataclass(frozen=True)
class Choice:
    """What `auto` chose.

    Attributes
    ----------
    config
        A configuration in which nothing is left to the data.
    section
        What was tried, and why this was taken, for a report.
    """

    config: TrainConfig
    section: dict[str, Any]

    @property
    def sentence(self) -> str:
        """One line for the screen."""
        return f"auto takes {self.config.model}: {self.section['why']}"


def learns(asked: TrainConfig) -> bool:
    """Tell whether a configuration leaves the choice to the data."""
    return asked.model == "auto" and not (asked.model_fields_set & NAMED)


def why_nothing_is_learnt(asked: TrainConfig, model: str) -> str | None:
    """Return one line where flags take the choice from `auto`, None where they do not.

    Parameters
    ----------
    asked, model
        The options as they were given, and the model that is trained.
    """
    named = sorted(asked.model_fields_set & NAMED)
    if asked.model != "auto" or not named:
        return None
    flags = ", ".join(f"--{name.strip('_').replace('_', '-')}" for name in named)
    verb = "is" if len(named) == 1 else "are"
    return f"{flags} {verb} named: {model} is trained by that and the papers' values, auto learns none"


def chosen_before(config: TrainConfig, options: Mapping[str, Any]) -> Choice:
    """Return what a run that is continued had chosen, by the options in its checkpoint."""
    update = {name: options[name] for name in CHOSEN if name in options}
    for name in ("item_features", "user_features"):
        update[name] = tuple(update.get(name) or ())
    section = {"taken": update["model"], "why": "so the run that is continued had chosen", "options": update}
    return Choice(config.model_copy(update=update), section)
