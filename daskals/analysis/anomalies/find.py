"""Anomaly search over the ratings a model was trained on, put into words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from daskals.analysis.anomalies.levels import Levels, residual_levels
from daskals.analysis.anomalies.ratings import Rated, read_rated
from daskals.analysis.anomalies.sharing import Sharing, shared_accounts
from daskals.analysis.anomalies.shilling import (
    DIRECTIONS,
    Direction,
    Group,
    Profiles,
    Targets,
    compare_with_attacks,
    find_targets,
    gather_groups,
)
from daskals.analysis.anomalies.sittings import Sittings, find_sittings
from daskals.analysis.anomalies.tastes import Tastes, fit_tastes
from daskals.analysis.anomalies.testing import Bools, discoveries
from daskals.analysis.anomalies.trends import Moves, drifting_items, moving_levels, moving_tastes
from daskals.errors import ConfigError, DataError
from daskals.model.fitted import Model
from daskals.types import Float64

LEVEL = 0.05
NO_TIMES = "the ratings have no timestamps"
LISTS = ("users", "items", "levels", "tastes", "shared", "shilling", "drift")


class Anomalies(NamedTuple):
    """What was tested, and what stands out.

    Attributes
    ----------
    model, rated, sittings, tastes
        What was looked at.
    level
        False discovery rate of each list.
    users, items
        Residuals of both sides.
    levels, user_tastes, drift
        What moves over time; None without timestamps.
    sharing
        Two profiles against one; None without timestamps.
    profiles, targets, groups
        Shilling.
    flagged
        What stands out, by list: bool, shape (users,) or (items,); of `shilling` the members of groups.
    """

    model: Model
    rated: Rated
    sittings: Sittings
    tastes: Tastes
    level: float
    users: Levels
    items: Levels
    levels: Moves | None
    user_tastes: Moves | None
    drift: Moves | None
    sharing: Sharing | None
    profiles: Profiles
    targets: dict[Direction, Targets]
    groups: list[Group]
    flagged: dict[str, Bools]

    @property
    def p_values(self) -> dict[str, Float64]:
        """p-values of all tests by list; of shilling, those of the items as targets of either kind."""
        found = {"users": self.users.p_values, "items": self.items.p_values}
        for name, moves in (("levels", self.levels), ("tastes", self.user_tastes), ("drift", self.drift)):
            if moves is not None:
                found[name] = moves.p_values
        if self.sharing is not None:
            found["shared"] = self.sharing.p_values
        found["shilling"] = np.concatenate([_p_of(self.targets[name]) for name in DIRECTIONS])
        return found

    @property
    def suspicion(self) -> Float64:
        """How much each user is suspected of shilling, in either direction; higher is more."""
        return np.asarray(np.max([self.targets[name].scores for name in DIRECTIONS], axis=0))


def find_anomalies(model: Model, level: float = LEVEL, seed: int = 0) -> Anomalies:
    """Test all users and items of a model's training ratings.

    `level` is the false discovery rate of each list (Benjamini and Hochberg 1995). Raises ConfigError if it
    is no share; DataError if fewer than two users have ratings; StoreError if the ratings are gone, or are
    others by now.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"found {level:g}", where="--level", expected="a share between 0 and 1")
    n_known = int(np.count_nonzero(model.user_counts))
    if n_known < 2:
        raise DataError(
            f"the model has {n_known} user with ratings",
            where="anomalies",
            expected="two at least: what does not fit is told by comparison with others",
        )
    rated = read_rated(model)
    n_items = len(model.item_ids)
    users, items = residual_levels(rated, "user", rated.n_users), residual_levels(rated, "item", n_items)
    sittings = find_sittings(rated)
    tastes = fit_tastes(model, rated, sittings, users.variances)
    timed = rated.times is not None
    profiles = compare_with_attacks(rated, tastes)
    found = Anomalies(
        model=model,
        rated=rated,
        sittings=sittings,
        tastes=tastes,
        level=level,
        users=users,
        items=items,
        levels=moving_levels(rated, sittings, seed) if timed else None,
        user_tastes=moving_tastes(rated, sittings, tastes.x, seed) if timed else None,
        drift=drifting_items(rated, n_items) if timed else None,
        sharing=shared_accounts(rated, sittings, tastes) if timed else None,
        profiles=profiles,
        targets={name: find_targets(rated, profiles.odds[name], name, n_items) for name in DIRECTIONS},
        groups=[],
        flagged={},
    )
    flagged = {
        name: discoveries(p_values, level) for name, p_values in found.p_values.items() if name != "shilling"
    }
    groups = [group for name in DIRECTIONS for group in _groups(found.targets[name], name, level)]
    flagged["shilling"] = np.zeros(rated.n_users, dtype=bool)
    for group in groups:
        flagged["shilling"][group.members] = True
    return found._replace(groups=groups, flagged=flagged)


def _groups(targets: Targets, direction: Direction, level: float) -> list[Group]:
    # two families of tests, pushing and nuking, share the level
    return gather_groups(targets, direction, discoveries(_p_of(targets), level / len(DIRECTIONS)))


def _p_of(targets: Targets) -> Float64:
    return np.asarray(np.where(np.isnan(targets.z), np.nan, stats.norm.sf(targets.z)))
