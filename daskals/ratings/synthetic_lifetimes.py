"""Lifetimes planted on a synthetic set: users arrive, some change their taste, and some leave.

What makes people leave is known here, so churn and lifetime value (paper 1, section 8.1) can be tried on
it. As in all synthetic sets, a number is a function of the seed, and only + - * / sqrt decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskals.errors import ConfigError
from daskals.kernels.data.sampling import number_by_first_appearance
from daskals.kernels.toolkit.random import FIRST_DATA_STREAM, fill_normals, fill_uniforms
from daskals.ratings.synthetic_truth import SyntheticTruth
from daskals.ratings.table import RatingsTable
from daskals.types import Float32, Float64, Int64

DAY = 86_400

_STREAM_USERS, _STREAM_TASTES, _STREAM_LEAVING, _STREAM_RATINGS, _STREAM_NOISE = range(
    FIRST_DATA_STREAM + 24, FIRST_DATA_STREAM + 29
)


@dataclass(frozen=True, kw_only=True)
class LifetimePlan:
    """What is planted; a period's risk of leaving is base + for what moved + for rating lower than most.

    Attributes
    ----------
    n_periods, period_days, start
        Length of the calendar, and the second since 1970 at which it begins.
    arrival_periods
        Users arrive evenly over the first so many periods, and rate evenly from then on.
    drifting
        Share of users whose taste moves.
    drift_periods
        How long a taste takes to reach the other one, drawn like the first.
    base_risk, drift_risk, level_risk
        Risk of leaving in a period; that of a taste that has moved wholly comes on top, and that of a user
        whose bias is one standard deviation below most.
    fading
        Share of the ratings that a user whose taste has moved wholly no longer gives.
    """

    n_periods: int = 12
    period_days: int = 30
    start: int = 1_672_531_200
    arrival_periods: float = 3.0
    drifting: float = 0.5
    drift_periods: float = 1.0
    base_risk: float = 0.01
    drift_risk: float = 0.4
    level_risk: float = 0.06
    fading: float = 0.2

    def __post_init__(self) -> None:
        if self.n_periods < 2 or self.period_days < 1 or not 0 < self.arrival_periods < self.n_periods:
            raise ConfigError(
                f"{self.n_periods} periods of {self.period_days} days, arrivals over {self.arrival_periods}",
                where="lifetime plan",
                expected="two periods or more of a day or more, and arrivals within them",
            )
        shares = ("drifting", "base_risk", "drift_risk", "level_risk", "fading")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"found {getattr(self, name)}", where=f"lifetime plan, {name}", expected="a share, 0 to 1"
                )
        if self.drift_periods <= 0:
            raise ConfigError(
                f"found {self.drift_periods}",
                where="lifetime plan, drift_periods",
                expected="a positive number of periods",
            )

    @property
    def period(self) -> int:
        """Seconds of a period."""
        return self.period_days * DAY

    def date(self, period: int) -> str:
        """Return the moment at which a period begins, counted from 0: ISO 8601, UTC."""
        return str(np.datetime64(self.start + period * self.period, "s"))


@dataclass(frozen=True)
class Lifetimes:
    """The planted lives of a set's users, in periods from the start of the calendar; shape (users,) each.

    Attributes
    ----------
    arrivals
        When a user begins to rate.
    drift_starts
        When the taste begins to move, infinite where it stays.
    departures
        When the user leaves, infinite where nobody saw it.
    tastes
        What the taste moves to, shape (users, rank).
    drift_periods
        How long that takes.
    """

    arrivals: Float64
    drift_starts: Float64
    departures: Float64
    tastes: Float64
    drift_periods: float

    def moved(self, times: Float64, users: NDArray[np.integer] | slice = slice(None)) -> Float64:
        """Return how far tastes have moved at `times` (one a user, in periods): 0 not at all, 1 wholly."""
        share: Float64 = np.clip((times - self.drift_starts[users]) / self.drift_periods, 0.0, 1.0)
        return share


def plant_lifetimes(
    table: RatingsTable, truth: SyntheticTruth, plan: LifetimePlan | None = None, seed: int = 0
) -> tuple[RatingsTable, Lifetimes]:
    """Give a synthetic set lifetimes: other times, ratings of tastes that move, none after a departure.

    Parameters
    ----------
    table, truth
        What `daskals.ratings.synthetic.generate` returns.
    plan
        What is planted.
    seed
        Of all draws.

    Returns
    -------
    table, lifetimes
        The ratings that were given, users as they were, items numbered anew by first appearance; and the
        truth about the users. Everybody keeps at least the first rating.

    Raises
    ------
    ConfigError
        If the plan makes no sense.
    """
    plan = plan or LifetimePlan()
    lives = _live(plan, truth, table.n_users, seed)
    draws = fill_uniforms(seed, _STREAM_RATINGS, 0, table.n_ratings, 2)
    arrivals = lives.arrivals[table.users]
    times = arrivals + draws[:, 0] * (plan.n_periods - arrivals)
    moved = lives.moved(times, table.users)
    given = (times < lives.departures[table.users]) & (draws[:, 1] >= plan.fading * moved)
    given[_firsts(table, times)] = True
    changed = replace(
        table,
        values=_rate(table, truth, lives, moved, seed),
        timestamps=plan.start + np.floor(times * plan.period).astype(np.int64),
        sources=[],
    )
    return _kept(changed, given), lives


def _live(plan: LifetimePlan, truth: SyntheticTruth, n_users: int, seed: int) -> Lifetimes:
    draws = fill_uniforms(seed, _STREAM_USERS, 0, n_users, 3)
    arrivals = plan.arrival_periods * draws[:, 0]
    starts = arrivals + draws[:, 2] * (plan.n_periods - arrivals)
    starts[draws[:, 1] >= plan.drifting] = np.inf
    rank = truth.user_factors.shape[1]
    tastes = fill_normals(seed, _STREAM_TASTES, 0, n_users, rank) * truth.user_factor_sd
    lives = Lifetimes(arrivals, starts, np.full(n_users, np.inf), tastes, plan.drift_periods)
    below = np.maximum(-truth.user_biases / truth.user_bias_sd, 0.0)
    leaving = fill_uniforms(seed, _STREAM_LEAVING, 0, n_users, 2 * plan.n_periods)
    departures = lives.departures
    for period in range(plan.n_periods - 1, 0, -1):  # the earliest departure is written last and holds
        risk = plan.base_risk + plan.drift_risk * lives.moved(np.full(n_users, float(period)))
        leaves = leaving[:, period] < risk + plan.level_risk * below
        leaves &= arrivals < period
        departures[leaves] = period + leaving[leaves, plan.n_periods + period]
    return lives


def _firsts(table: RatingsTable, times: Float64) -> Int64:
    """Return the place of each user's earliest rating."""
    order = np.lexsort((times, table.users))
    users = table.users[order]
    first: Int64 = order[np.flatnonzero(np.diff(users, prepend=-1))]
    return first


def _rate(table: RatingsTable, truth: SyntheticTruth, lives: Lifetimes, moved: Float64, seed: int) -> Float32:
    """Draw the ratings anew, from tastes as they are at the time: length kept, direction blended."""
    users, items = table.users, table.items
    noise = fill_normals(seed, _STREAM_NOISE, 0, table.n_ratings, 1)[:, 0]
    ratings = truth.mean + truth.user_biases[users] + truth.item_biases[items] + truth.noise * noise
    blend = np.sqrt((1.0 - moved) * (1.0 - moved) + moved * moved)
    for k in range(truth.user_factors.shape[1]):
        taste = (1.0 - moved) * truth.user_factors[users, k] + moved * lives.tastes[users, k]
        ratings += taste / blend * truth.item_factors[items, k]
    stars: Float32 = (np.clip(np.floor(2.0 * ratings + 0.5), 1.0, 10.0) * 0.5).astype(np.float32)
    return stars


def _kept(table: RatingsTable, given: NDArray[np.bool_]) -> RatingsTable:
    """Leave ratings out and number the items anew: rated ones by first appearance, then the others."""
    assert table.timestamps is not None
    items = table.items[given]
    numbers = np.full(table.n_items, -1, np.int32)
    n_rated = number_by_first_appearance(items, numbers)
    numbers[numbers < 0] = np.arange(n_rated, table.n_items)
    order = pa.array(np.argsort(numbers))
    n_ratings = len(items)
    return replace(
        table,
        users=table.users[given],
        items=numbers[items],
        values=table.values[given],
        timestamps=table.timestamps[given],
        positions=np.arange(n_ratings),
        item_ids=table.item_ids.take(order),
        catalogue=None if table.catalogue is None else table.catalogue.take(order),
        n_input=n_ratings,
    )
