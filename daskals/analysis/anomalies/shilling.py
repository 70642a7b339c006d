"""Shilling: groups of profiles that look like an attack's and rate the same items best or worst.

Each profile is compared with what an attacker of a known kind would rate (Mobasher et al. 2007), and the
odds are ranked among profiles of like size. Where an item is nobody's target, the ranks of those who rated it
best (or worst) are any ranks, and Fisher's sum of −log rank over them follows a Gamma distribution.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from scipy import special, stats

from daskals.analysis.anomalies.choices import choice_odds
from daskals.analysis.anomalies.ratings import Rated, in_ranges
from daskals.analysis.anomalies.tastes import Tastes
from daskals.analysis.anomalies.testing import Bools
from daskals.kernels.statistics.regression import RowRatings, evidences
from daskals.types import Float64, Int64

Direction: TypeAlias = Literal["push", "nuke"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
KINDS = ("random", "average", "bandwagon", "love/hate")

LEAST_GROUP = 3
"""Profiles that are a group."""
_USERS_A_BIN = 100
_SURE = 0.95
"""Chance of the rating that a kind of attack prescribes, where it prescribes one."""
_KNOWN_SHARE = 0.01
"""Share of the items that count as known to everybody."""
_EDGE = 0.02
"""On a continuous scale, the share of it at either end that counts as the best or worst rating."""
_TAIL, _HIGHEST_TAIL = 0.2, 0.5
"""Rate of the attackers' −log ranks, as EM starts and at most; that of others is 1."""
_TURNS = 200


class Profiles(NamedTuple):
    """How much each user's ratings look like an attacker's.

    `odds`: log odds of the likeliest attack against one person's taste, by direction, shape (users,);
    `kinds`: place in `KINDS` of that attack.
    """

    odds: dict[Direction, Float64]
    kinds: dict[Direction, Int64]


class Targets(NamedTuple):
    """Evidence that items are targets, and that users are among those who aim at them, for one direction.

    Attributes
    ----------
    users, items
        The ratings at the end of the scale: their rows.
    weights
        −log rank of each one's user.
    z
        Of each item, standard normal where nothing aims at it; NaN with fewer ratings than `LEAST_GROUP`.
    scores
        Of each user: −log rank plus the evidence z²/2 of the others at the best of the user's targets.
    """

    users: Int64
    items: Int64
    weights: Float64
    z: Float64
    scores: Float64


def compare_with_attacks(rated: Rated, tastes: Tastes) -> Profiles:
    """Compare every user's ratings, and choice of items, with those of each kind of attack."""
    y = rated.values.astype(np.float64) - tastes.offset[rated.items]
    one = np.zeros(rated.n_users)
    ratings = RowRatings(rated.indptr, rated.items, y)
    in_ranges(
        rated.indptr, lambda first, stop: evidences(range(first, stop), ratings, tastes.x, tastes.prior, one)
    )
    known = _known_items(rated, len(tastes.offset))
    chosen = choice_odds(rated, len(tastes.offset))
    # whom a bandwagon's known items resemble says nothing of its fillers
    beside = choice_odds(rated, len(tastes.offset), ~known)
    choices = [beside if name == "bandwagon" else chosen for name in KINDS]
    logs = _attack_logs(rated, known)
    odds, kinds = {}, {}
    for direction in DIRECTIONS:
        sums = np.stack(
            [
                np.bincount(rated.users, logs[direction, name], rated.n_users) + choice - one
                for name, choice in zip(KINDS, choices, strict=True)
            ]
        )
        odds[direction] = np.asarray(special.logsumexp(sums, axis=0))
        kinds[direction] = np.argmax(sums, axis=0)
    return Profiles(odds, kinds)


def _known_items(rated: Rated, n_items: int) -> Bools:
    counts = np.bincount(rated.items, minlength=n_items)
    enough = np.sort(counts)[::-1][max(int(_KNOWN_SHARE * n_items), 1) - 1]
    return np.asarray(counts >= max(enough, 1))


def _attack_logs(rated: Rated, known: Bools) -> dict[tuple[Direction, str], Float64]:
    """Return the log density of each rating under each kind, by direction."""
    values = rated.values.astype(np.float64)
    n_items = len(known)
    counts = np.bincount(rated.items, minlength=n_items)
    mean, deviation = values.mean(), max(values.std(), 1e-6)
    centred = values - mean
    means = np.bincount(rated.items, centred, n_items) / (counts + 5.0)
    squares = np.bincount(rated.items, (centred - means[rated.items]) ** 2, n_items)
    deviations = np.sqrt((squares + 5.0 * deviation**2) / (counts + 5.0))
    random = _log_density(rated, mean, deviation)
    average = _log_density(rated, mean + means[rated.items], deviations[rated.items])
    found: dict[tuple[Direction, str], Float64] = {}
    for direction in DIRECTIONS:
        other = _at_end(rated, "nuke" if direction == "push" else "push")
        found[direction, "random"], found[direction, "average"] = random, average
        # a bandwagon rides on what is known, whichever way it wants its target to go
        ridden = _log_prescribed(rated, _at_end(rated, "push"))
        found[direction, "bandwagon"] = np.where(known[rated.items], ridden, random)
        found[direction, "love/hate"] = _log_prescribed(rated, other)
    return found


def _log_density(rated: Rated, mean: Float64 | float, deviation: Float64 | float) -> Float64:
    values, half = rated.values.astype(np.float64), rated.step / 2.0
    if not rated.step:
        return np.asarray(stats.norm.logpdf(values, mean, deviation))
    low, high = rated.limits
    above = np.where(values >= high, 1.0, special.ndtr((values + half - mean) / deviation))
    below = np.where(values <= low, 0.0, special.ndtr((values - half - mean) / deviation))
    return np.asarray(np.log(np.maximum(above - below, 1e-12) / rated.step))


def _log_prescribed(rated: Rated, prescribed: Bools) -> Float64:
    """Return the log density where one end of the scale is given nearly always."""
    low, high = rated.limits
    width = rated.step or _EDGE * (high - low)
    return np.log(np.where(prescribed, _SURE / width, (1.0 - _SURE) / max(high - low, 1e-12)))


def _at_end(rated: Rated, direction: Direction) -> Bools:
    low, high = rated.limits
    edge = 0.0 if rated.step else _EDGE * (high - low)
    return rated.values >= high - edge if direction == "push" else rated.values <= low + edge


def rank_profiles(rated: Rated, odds: Float64, at_end: Bools) -> Float64:
    """Return the rank of each user's odds among users of like size, in (0, 1), small for an attacker's.

    Every user counts as often as the user is found at the end of the scale, since that is how often a rating
    there is the user's. `odds` and ranks have shape (users,); NaN for users who never are.
    """
    weights = np.bincount(rated.users, at_end, rated.n_users)
    ranks = np.full(rated.n_users, np.nan)
    rows = np.flatnonzero(weights)
    rows = rows[np.argsort(np.diff(rated.indptr)[rows], kind="stable")]
    for own in np.array_split(rows, max(1, len(rows) // _USERS_A_BIN)):
        if not len(own):
            continue
        order = own[np.argsort(-odds[own], kind="stable")]
        above = np.cumsum(weights[order])
        ranks[order] = (above - weights[order] / 2.0) / above[-1]
    return ranks


def find_targets(rated: Rated, odds: Float64, direction: Direction, n_items: int) -> Targets:
    """Look for items that profiles like an attacker's rate at one end of the scale more than others do.

    `odds`, shape (users,), tell how like an attacker's each profile is.
    """
    at_end = _at_end(rated, direction)
    users, items = rated.users[at_end].astype(np.int64), rated.items[at_end].astype(np.int64)
    ranks = rank_profiles(rated, odds, at_end)
    weights = -np.log(ranks[users])
    counts = np.bincount(items, minlength=n_items).astype(np.float64)
    sums = np.bincount(items, weights, n_items)
    z = np.where(counts >= LEAST_GROUP, _normal(sums, np.maximum(counts, 1.0)), np.nan)
    shared = _shared_variance(z, counts)
    z /= np.sqrt(1.0 + shared * np.maximum(counts - 1.0, 0.0))
    others = np.asarray(counts[items] - 1.0, np.float64)
    without = np.where(others > 0, _normal(np.asarray(sums[items] - weights), np.maximum(others, 1.0)), 0.0)
    without = np.maximum(without / np.sqrt(1.0 + shared * np.maximum(others - 1.0, 0.0)), 0.0)
    scores = np.full(rated.n_users, 0.0)
    np.maximum.at(scores, users, without**2 / 2.0)
    scores += np.where(np.isnan(ranks), 0.0, -np.log(np.where(np.isnan(ranks), 1.0, ranks)))
    return Targets(users, items, weights, z, scores)


def _normal(sums: Any, counts: Any) -> Float64:
    """Return Gamma(counts, 1) figures as standard normal ones (Wilson and Hilferty 1931)."""
    cube = np.cbrt(np.maximum(sums, 0.0) / counts)
    return np.asarray((cube - (1.0 - 1.0 / (9.0 * counts))) * 3.0 * np.sqrt(counts))


def _shared_variance(z: Float64, counts: Float64) -> float:
    """Return ρ of var z = 1 + ρ(n − 1): how much those who rate the same item are alike without any attack.

    The median of what each well-rated item says of it, as in genomic control: targets do not count.
    """
    rows = counts >= 10
    if np.count_nonzero(rows) < 20:
        return 0.0
    excess = (z[rows] ** 2 / stats.chi2.median(1) - 1.0) / (counts[rows] - 1.0)
    return max(float(np.median(excess)), 0.0)


class Group(NamedTuple):
    """Profiles that aim at the same items.

    Attributes
    ----------
    direction, targets
        Whether they push or nuke; item rows, the surest first.
    members, chances
        User rows; chance that each is a member, by the mixture of ranks at the group's surest target.
    p_value
        Of the surest target, before any correction.
    """

    direction: Direction
    targets: Int64
    members: Int64
    chances: Float64
    p_value: float


def gather_groups(targets: Targets, direction: Direction, found: Bools) -> list[Group]:
    """Gather the members of the targets that were found; items with the same members make one group."""
    groups: list[Group] = []
    for item in sorted(np.flatnonzero(found), key=lambda row: -targets.z[row]):
        own = targets.items == item
        users, chances = targets.users[own], _membership(targets.weights[own])
        members = users[chances >= 0.5]
        if len(members) < LEAST_GROUP:
            continue
        for place, group in enumerate(groups):
            both = len(np.intersect1d(members, group.members))
            if 2 * both >= min(len(members), len(group.members)):
                groups[place] = group._replace(targets=np.append(group.targets, item))
                break
        else:
            p_value = float(stats.norm.sf(targets.z[item]))
            groups.append(Group(direction, np.array([item]), members, chances[chances >= 0.5], p_value))
    return groups


def _membership(weights: Float64) -> Float64:
    """Return the chance that each −log rank is an attacker's.

    They are exponential with mean 1 for others and with a longer one for attackers; EM finds share and mean.
    """
    share, rate = 0.5, _TAIL
    chances = np.full(len(weights), 0.5)
    for _ in range(_TURNS):
        ratio = share * rate * np.exp((1.0 - rate) * weights)
        chances = ratio / (1.0 - share + ratio)
        share = float(np.clip(chances.mean(), 1e-6, 1.0 - 1e-6))
        rate = float(np.clip(chances.sum() / np.sum(chances * weights), 1e-2, _HIGHEST_TAIL))
    return chances
