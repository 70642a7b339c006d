"""Search space: grids, ranges, the papers' own grids, and the second stage around a best point."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from daskals.config import TrainConfig
from daskals.errors import ConfigError

Point: TypeAlias = Mapping[str, float]
"""Values of the options a trial tries, by their public names."""

INTEGERS = frozenset({"rank", "epochs"})
TUNABLE = (
    *("rank", "lambda", "gamma", "tau", "eta", "reg_exponent", "init_scale", "epochs"),
    *("time_tau", "time_gamma"),
    *("unobserved_weight", "confidence_weight", "confidence_scale"),
)

LOG_RATIO = 5.0
"""Ranges of positive numbers wider than this factor are searched by ratio."""


@dataclass(frozen=True)
class Grid:
    """Values of each option, all combinations of which are tried.

    `ties` gives options that follow another one: {"gamma": "tau"} is paper 2's one ridge for all.
    """

    values: Mapping[str, tuple[float, ...]]
    ties: Mapping[str, str] = field(default_factory=dict)

    def points(self) -> list[dict[str, float]]:
        """Return the combinations, the last option changing fastest."""
        found = []
        for chosen in itertools.product(*self.values.values()):
            point = dict(zip(self.values, chosen, strict=True))
            found.append({**point, **{name: point[other] for name, other in self.ties.items()}})
        return found

    def edges(self, point: Point) -> list[str]:
        """Say where a point lies on the grid's edge: the optimum may lie beyond."""
        found = []
        for name, values in self.values.items():
            if len(values) > 1 and point[name] in (min(values), max(values)):
                side = "lowest" if point[name] == min(values) else "highest"
                found.append(f"{name} = {point[name]:g} is the {side} value tried")
        return found

    def refined(self, point: Point) -> Grid:
        """Return the second stage: each option at its best, and half way to its neighbours.

        At an edge the step to the only neighbour is taken outward as well, as far as it stays positive.
        """
        values = {name: _around(name, sorted(tried), point[name]) for name, tried in self.values.items()}
        return Grid(values, self.ties)


@dataclass(frozen=True)
class Axis:
    """A range of one option, searched by ratio where it spans several factors."""

    name: str
    low: float
    high: float

    @property
    def is_integer(self) -> bool:
        """Whether only whole numbers make sense."""
        return self.name in INTEGERS

    @property
    def is_log(self) -> bool:
        """Whether it is searched by ratio."""
        return self.low > 0 and self.high / self.low > LOG_RATIO


NAGI = Grid({"lambda": (0.002, 0.003, 0.004), "gamma": (0.0125, 0.015, 0.0175), "tau": (0.025, 0.05, 0.075)})
"""Paper 1's grid (Fig. 8); 5 epochs a trial."""

SALAKO = Grid(
    {"rank": (2, 10, 50, 100), "lambda": (0.1, 0.5), "tau": (0.05, 0.1, 0.25)}, ties={"gamma": "tau"}
)
"""Paper 2's Table 1, γ = τ; 20 epochs a trial."""

PRESETS = {"nagi": NAGI, "salako": SALAKO}

DEFAULT_AXES = (
    Axis("tau", 0.02, 0.2),
    Axis("gamma", 0.002, 0.05),
    Axis("eta", 0.0005, 0.1),
    Axis("reg_exponent", 0.0, 0.6),
)
"""What matters most at a given rank, for the data weight λ that is set."""


TIMES_AXES = (Axis("time_tau", 0.2, 20.0), Axis("time_gamma", 0.004, 0.2))
"""What --time-bins adds to them."""

IMPLICIT_AXES = (
    Axis("tau", 0.002, 0.3),
    Axis("unobserved_weight", 0.02, 1.0),
    Axis("confidence_weight", 0.1, 10.0),
)
"""The same for implicit feedback."""


def parse_grid(texts: Sequence[str]) -> Grid:
    """Read `tau=0.05,0.1` and the like; raise ConfigError where one is no list of values."""
    return Grid({name: tuple(_numbers(name, part.split(","))) for name, part in map(_parted, texts)})


def parse_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Read `tau=0.01:0.3` and the like; raise ConfigError where one is no range."""
    axes = []
    for name, part in map(_parted, texts):
        ends = _numbers(name, part.split(":"))
        if len(ends) != 2 or ends[0] >= ends[1]:
            raise ConfigError(
                f"found {name}={part}", where="--search", expected="LOW:HIGH, such as tau=0.01:0.3"
            )
        axes.append(Axis(name, *ends))
    return tuple(axes)


def config_of(base: TrainConfig, point: Point) -> TrainConfig:
    """Return the configuration of a point: the base with the point's values."""
    values = {name: int(value) if name in INTEGERS else value for name, value in point.items()}
    return TrainConfig.parse({**base.model_dump(by_alias=True, exclude_unset=True), **values})


def _around(name: str, values: Sequence[float], best: float) -> tuple[float, ...]:
    if len(values) == 1:
        return (best,)
    place = list(values).index(best)
    below = values[place - 1] if place > 0 else 2 * best - values[1]
    above = values[place + 1] if place + 1 < len(values) else 2 * best - values[-2]
    found = [(best + below) / 2, best, (best + above) / 2]
    if name in INTEGERS:
        found = [round(value) for value in found]
    return tuple(dict.fromkeys(value for value in found if value > 0 or (value == 0 and name == "rank")))


def _parted(text: str) -> tuple[str, str]:
    name, equals, part = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or name not in TUNABLE:
        raise ConfigError(
            f"found {text!r}", where="--grid", expected=f"NAME=VALUES, NAME one of {', '.join(TUNABLE)}"
        )
    return name, part


def _numbers(name: str, parts: Sequence[str]) -> list[float]:
    try:
        return [int(part) if name in INTEGERS else float(part) for part in parts]
    except ValueError:
        raise ConfigError(f"found {name}={','.join(parts)}", where="--grid", expected="numbers") from None
