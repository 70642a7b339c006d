"""What --time-bins asks of the other options."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, get_args

DATED = ("als", "hierarchical", "bayes")
"""Models that --time-bins gives a third side."""

TimeFeature: TypeAlias = Literal["year", "month", "weekday", "walk"]
"""A group of features of dates; see `store.calendar`."""

TIME_FEATURES: tuple[TimeFeature, ...] = get_args(TimeFeature)


class Options(Protocol):
    """The options that are looked at: fields of a model's."""

    @property
    def model(self) -> str:
        """Which model."""

    @property
    def solver(self) -> str | None:
        """Which solver was named, if one was."""

    @property
    def rank(self) -> int:
        """Number of factors."""

    @property
    def time_bins(self) -> str:
        """What a date is, or none."""

    @property
    def time_tau(self) -> float | None:
        """Regularisation of dates' factors, if it was named."""

    @property
    def time_gamma(self) -> float | None:
        """The same of their biases."""

    @property
    def time_features(self) -> tuple[str, ...] | None:
        """What dates are drawn to, if it was named."""


def check_dates(config: Options, most_rank: int) -> None:
    """Refuse, with ValueError, what does not go with a third side, or without one.

    `most_rank` is the highest rank whose rows are solved jointly.
    """
    named = [name for name in ("time_tau", "time_gamma") if getattr(config, name) is not None]
    if named and (config.time_bins == "none" or config.model == "bayes"):
        found = "no --time-bins" if config.time_bins == "none" else "bayes, which learns its own"
        raise ValueError(f"{named[0]}: there are no such ridges with {found}; leave it out")
    _check_features(config)
    if config.time_bins == "none":
        return
    if config.model not in DATED:
        raise ValueError(
            f"time_bins: {config.time_bins} serves als, hierarchical and bayes; found model {config.model}; "
            "add --model=als, hierarchical or bayes"
        )
    if config.solver not in (None, "joint"):
        raise ValueError(
            f"solver: {config.solver} serves two sides; rows with --time-bins are solved jointly; "
            "leave it out"
        )
    if config.rank > most_rank:
        raise ValueError(
            f"rank: found {config.rank}; expected at most {most_rank} with --time-bins, whose "
            "rows are solved jointly; leave those out, or choose a lower rank"
        )


def _check_features(config: Options) -> None:
    """Refuse features of dates that there are none of, or that say nothing."""
    named = config.time_features
    if not named:
        return
    unknown = [name for name in named if name not in TIME_FEATURES]
    if unknown or len(set(named)) < len(named):
        raise ValueError(
            f"time_features: found {','.join(named)}; expected some of {', '.join(TIME_FEATURES)}, each once"
        )
    if config.time_bins == "none":
        raise ValueError("time_features: no dates have rows without --time-bins; add it, or leave this out")
    if config.model != "bayes":
        raise ValueError(
            f"time_features: {','.join(named)} serves the Gibbs sampler; found model {config.model}; add "
            "--model=bayes"
        )
    if "weekday" in named and config.time_bins != "day":
        raise ValueError(
            f"time_features: found weekday; a {config.time_bins} has all of them; leave it out, or take "
            "--time-bins=day"
        )
    if "year" in named and "walk" in named:
        raise ValueError("time_features: found year and walk, which say the same; leave one out")
