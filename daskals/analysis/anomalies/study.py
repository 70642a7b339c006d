"""Power study: how well injected anomalies are found, beside simple measures, and false alarms."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from daskals.analysis.anomalies.find import LISTS, Anomalies, find_anomalies
from daskals.analysis.anomalies.injection import (
    ATTACKS,
    Ratings,
    inject_drift,
    inject_shared,
    inject_shilling,
)
from daskals.analysis.anomalies.testing import Bools
from daskals.analysis.anomalies.trends import LEAST_ITEM_RATINGS
from daskals.analysis.missing import Numbers, missing
from daskals.config import TrainConfig
from daskals.fitting.fit import fit
from daskals.store.reader import RatingsStore
from daskals.store.writer import write_store
from daskals.types import Float64, Int64

SHARED_SHARE = DRIFT_SHARE = 0.05
"""Share of users merged into accounts, and of items of enough ratings that drift."""


class Plan(NamedTuple):
    """What is injected, and how often.

    Attributes
    ----------
    injections, share
        Groups of each kind of attack; size of a group, of the users.
    repeats, draws
        Sets of merged accounts and of drifting items; sets of ratings drawn from the fitted model.
    seed
        Of everything.
    """

    injections: int = 20
    share: float = 0.01
    repeats: int = 5
    draws: int = 10
    seed: int = 0


Tell = Callable[[str], None]


def study_anomalies(store: RatingsStore, config: TrainConfig, plan: Plan, tell: Tell) -> Numbers:
    """Inject anomalies into the ratings of a store, train on the result, and look for them.

    Returns `shilling` by kind, `shared` and `drift` with the AUC of the method and of each baseline (turned
    round where it is below a half), mean over the injections; `false_alarms` by list.
    """
    ratings, whole = Ratings.of(store), config.model_copy(update={"split": "none"})
    rng = np.random.default_rng(plan.seed)
    shilling = {}
    for attack in ATTACKS:
        rounds = []
        for n in range(plan.injections):
            injected, rows = inject_shilling(ratings, attack, plan.share, rng)
            found, users, _ = train_and_find(injected, whole)
            rounds.append(_score_shilling(found, users[rows]))
            tell(_line(attack, n, rounds[-1]))
        shilling[attack] = _means(rounds)
    timed = ratings.times is not None
    no_times = missing("the ratings have no timestamps")
    return {
        "plan": plan._asdict(),
        "shilling": shilling,
        "shared": _repeat(ratings, whole, plan, rng, tell, "shared") if timed else no_times,
        "drift": _repeat(ratings, whole, plan, rng, tell, "drift") if timed else no_times,
        "false_alarms": _false_alarms(ratings, whole, plan, rng, tell),
    }


def _repeat(
    ratings: Ratings, config: TrainConfig, plan: Plan, rng: np.random.Generator, tell: Tell, what: str
) -> Numbers:
    rounds = []
    for n in range(plan.repeats):
        if what == "shared":
            injected, rows = inject_shared(ratings, SHARED_SHARE, rng)
            found, users, _ = train_and_find(injected, config)
            rounds.append(_score_shared(found, users[rows]))
        else:
            injected, rows = inject_drift(ratings, DRIFT_SHARE, LEAST_ITEM_RATINGS, rng)
            found, _, items = train_and_find(injected, config)
            rounds.append(_score_drift(found, items[rows]))
        tell(_line(what, n, rounds[-1]))
    return _means(rounds)


def train_and_find(ratings: Ratings, config: TrainConfig) -> tuple[Anomalies, Int64, Int64]:
    """Train on ratings and look at them; return also the new rows, one a user and one an item."""
    table, users, items = ratings.as_table()
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        model = fit(write_store(table, Path(folder) / "store"), config)
        return find_anomalies(model), users, items


def area(scores: Float64, positive: Bools) -> float:
    """Return the area under the ROC curve: the chance that one that is scores above one that is not.

    Both arrays have shape (rows,).
    """
    n = int(np.count_nonzero(positive))
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def _baseline(scores: Float64, positive: Bools) -> float:
    found = area(scores, positive)
    return max(found, 1.0 - found)


def _marked(rows: Int64, n: int) -> Bools:
    marks = np.zeros(n, dtype=bool)
    marks[rows] = True
    return marks


def _score_shilling(found: Anomalies, rows: Int64) -> dict[str, float]:
    rated = found.rated
    marks = _marked(rows, rated.n_users)
    counts, sizes = np.maximum(found.items.counts, 1), np.maximum(np.diff(rated.indptr), 1)
    popularity = np.bincount(rated.users, np.log(counts[rated.items]), rated.n_users) / sizes
    means = np.bincount(rated.items, rated.values, len(counts)) / counts
    apart = np.abs(rated.values - means[rated.items]) / counts[rated.items]
    deviation = np.bincount(rated.users, apart, rated.n_users) / sizes
    flagged = found.flagged["shilling"]
    return {
        "method": area(found.suspicion, marks),
        "mean log-popularity": _baseline(popularity, marks),
        "rating deviation from mean agreement": _baseline(deviation, marks),
        "attackers in a group": float(np.mean(flagged[marks])),
        "others in a group": float(np.mean(flagged[~marks])),
    }


def _score_shared(found: Anomalies, rows: Int64) -> dict[str, float]:
    assert found.sharing is not None
    rated, sizes = found.rated, np.diff(found.rated.indptr)
    marks = _marked(rows, rated.n_users)
    # whoever is as large as a merged account can be; what cannot be decided counts as the least suspect
    compared = sizes >= sizes[marks].min()
    gains = np.where(np.isnan(found.sharing.gains), -np.inf, found.sharing.gains)
    decided = compared & ~np.isnan(found.sharing.gains)
    assert rated.times is not None
    order = found.sittings.order
    times = rated.times[order]
    spans = times[rated.indptr[1:] - 1] - times[rated.indptr[:-1]]
    flagged = found.flagged["shared"]

    def baseline(values: Any) -> float:
        return _baseline(np.asarray(values, np.float64)[compared], marks[compared])

    return {
        "method": area(gains[compared], marks[compared]),
        "method, decided only": area(gains[decided], marks[decided]),
        "count": baseline(sizes),
        "time span": baseline(spans),
        "residual level": baseline(found.users.squares),
        "number of sittings": baseline(found.sittings.per_user),
        "undecided": float(1.0 - decided.sum() / compared.sum()),
        "merged flagged": float(np.mean(flagged[marks])),
        "others flagged": float(np.mean(flagged[compared & ~marks])),
    }


def _score_drift(found: Anomalies, rows: Int64) -> dict[str, float]:
    assert found.drift is not None
    marks = _marked(rows, len(found.items.counts))
    decided = ~np.isnan(found.drift.p_values)
    flagged = found.flagged["drift"]
    return {
        "method": area(-found.drift.p_values[decided], marks[decided]),
        "count": _baseline(found.items.counts[decided].astype(np.float64), marks[decided]),
        "residual level": _baseline(found.items.squares[decided], marks[decided]),
        "undecided items": float(np.count_nonzero((found.items.counts > 0) & ~decided)),
        "drifting flagged": float(np.mean(flagged[marks & decided])),
        "others flagged": float(np.mean(flagged[decided & ~marks])),
    }


def _line(what: str, n: int, one: dict[str, float]) -> str:
    return f"{what} {n + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in one.items())


def _means(rounds: list[dict[str, float]]) -> Numbers:
    result: Numbers = {name: float(np.mean([one[name] for one in rounds])) for name in rounds[0]}
    areas = [one["method"] for one in rounds]
    return {**result, "rounds": len(rounds), "lowest": min(areas), "areas": areas}


def draw_ratings(found: Anomalies, rng: np.random.Generator) -> Float64:
    """Draw ratings of the pairs that were rated from the fitted model, (ratings,), not yet on the scale.

    Predictions plus normal noise, whose variance scatters over users and items as theirs was found to.
    """
    rated = found.rated
    of_users = found.users.variances.draw(rated.n_users, rng) * np.nan_to_num(found.users.usual, nan=1.0)
    items = found.items.variances
    of_items = items.draw(len(found.items.counts), rng) / items.level
    rounding = rated.step**2 / 12.0
    variances = np.maximum(rated.noise * of_users[rated.users] * of_items[rated.items] - rounding, 0.0)
    return rated.predicted + np.sqrt(variances) * rng.normal(size=len(rated.items))


def _false_alarms(
    ratings: Ratings, config: TrainConfig, plan: Plan, rng: np.random.Generator, tell: Tell
) -> Numbers:
    """Look for anomalies in ratings drawn from the fitted model, where there are none."""
    if not plan.draws:
        return missing("no draws were asked for")
    table, _, _ = ratings.as_table()
    with tempfile.TemporaryDirectory(prefix="daskals-") as folder:
        store = write_store(table, Path(folder) / "store")
        fitted = find_anomalies(fit(store, config))
        drawn_from = replace(Ratings.of(store), scale=ratings.scale, limits=ratings.limits)
    draws = []
    for n in range(plan.draws):
        values = drawn_from.on_scale(draw_ratings(fitted, rng))
        draws.append(train_and_find(replace(drawn_from, values=values), config)[0])
        any_list = [name for name in draws[-1].p_values if draws[-1].flagged[name].any()]
        tell(f"draw {n + 1}: {', '.join(any_list) or 'nothing'} flagged")
    return {
        name: {
            "tested": int(np.mean([_tested(one, name) for one in draws])),
            "p ≤ 0.05": float(np.mean([_share(one, name, 0.05) for one in draws])),
            "p ≤ 0.01": float(np.mean([_share(one, name, 0.01) for one in draws])),
            "flagged": int(np.sum([one.flagged[name].sum() for one in draws])),
            "draws with any": int(np.sum([one.flagged[name].any() for one in draws])),
            "draws": plan.draws,
            "claimed": draws[0].level,
            "flagged on the real ratings": int(fitted.flagged[name].sum()),
        }
        for name in LISTS
        if name in fitted.p_values
    }


def _tested(found: Anomalies, name: str) -> int:
    return int(np.count_nonzero(~np.isnan(found.p_values[name])))


def _share(found: Anomalies, name: str, limit: float) -> float:
    p_values = found.p_values[name]
    tested = p_values[~np.isnan(p_values)]
    return float(np.mean(tested <= limit)) if len(tested) else 0.0
