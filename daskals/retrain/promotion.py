"""Promotion rule: champion and challenger on the same held-out latest ratings, and the gate between.

Both know the same of the people: the champion's users are folded in with the training ratings that the
challenger has. What is compared is what the two know of items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from daskals.errors import DataError
from daskals.evaluation.ranking import RankingTask, figures_of, make_task, relevant_for, score_lists
from daskals.evaluation.scorers import Ranker, Scorer
from daskals.fitting.evaluate import order_ranker
from daskals.kernels.scoring.score import predict_pairs
from daskals.model.fitted import Model
from daskals.model.order.learnt import Order
from daskals.model.order.scoring import OrderScorer, RatingParts
from daskals.ratings.dates import last_moment
from daskals.retrain.config import RetrainConfig
from daskals.retrain.initial_state import Target, fold_in_rows, starting_rows
from daskals.retrain.night import Check, at_least, at_most
from daskals.store.splits import load_block
from daskals.types import TEST, FactorRows, Float64, Int64

Z_95 = 1.96
LIST_LENGTH = 10


class HeldOut(NamedTuple):
    """The ratings held out, float64 and int64, shape (ratings,)."""

    users: Int64
    items: Int64
    ratings: Float64


@dataclass(frozen=True)
class Contender:
    """A model in the rows of the store."""

    rank: int
    mean: float
    user_rows: FactorRows
    item_rows: FactorRows

    def errors(self, held_out: HeldOut) -> Float64:
        """Return the errors of the predictions, float64, shape (ratings,)."""
        predicted = predict_pairs(
            held_out.users, held_out.items, self.user_rows, self.item_rows, rank=self.rank, mean=self.mean
        )
        return held_out.ratings - predicted

    def rating_parts(self, served: Model) -> RatingParts:
        """Return the predicted rating's part of an order, measured in what `served` measures it in."""
        factors = np.ascontiguousarray(self.item_rows[:, : self.rank])
        biases = np.ascontiguousarray(self.item_rows[:, self.rank + 1])
        return RatingParts(factors, biases, served.limits, served.order_limits)

    def scorer(self, name: str) -> Scorer:
        """Return what orders items by this model."""
        return Scorer(
            name,
            np.ascontiguousarray(self.user_rows[:, : self.rank]),
            np.ascontiguousarray(self.item_rows[:, : self.rank]),
            np.ascontiguousarray(self.item_rows[:, self.rank + 1]),
        )


def read_held_out(target: Target) -> HeldOut:
    """Read the ratings held out."""
    store = target.store
    block = load_block(str(store.path), "user", 0, store.n_users, target.split.key, TEST)
    users = np.repeat(np.arange(block.n_rows, dtype=np.int64), np.diff(block.indptr))
    ratings = block.ratings
    return HeldOut(users, block.indices.astype(np.int64), ratings.astype(np.float64))


def contender_of(model: Model, as_of: str) -> Contender:
    """Return a model that was trained in the rows of the store, where it knows dates as of a night's."""
    if model.times is not None:
        model = model.as_of(last_moment(as_of))
    return Contender(model.rank, model.mean, model.user_rows, model.item_rows)


def champion_of(model: Model, target: Target, held_out: HeldOut) -> Contender:
    """Return the champion in the rows of the store, users of the held-out ratings folded in."""
    starting = starting_rows(model, target)
    judged = np.zeros(target.store.n_users, dtype=np.bool_)
    judged[held_out.users] = True
    fold_in_rows(starting, target, "user", judged)
    return Contender(model.rank, target.mean, starting.rows["user"], starting.rows["item"])


def check_promotion(
    config: RetrainConfig, target: Target, challenger: Model, champion: Model | None
) -> tuple[dict[str, Any], list[Check]]:
    """Measure challenger and champion, and hold the challenger to the limits.

    Returns figures of both, and what was looked at; the gate is open if all passed.
    """
    held_out = read_held_out(target)
    finite = finite_check(challenger, "values not finite")
    if not finite.passed:
        nothing = {"rmse": None, "cold_rmse": None}
        return {"n_held_out": len(held_out.ratings), "challenger": nothing}, [finite]
    cold = target.split.train_counts("item")[held_out.items] < config.cold_ratings
    task = _ranking_task(config, target)
    known = challenger.history("let nights carry their ratings", target.store)
    contenders = {"challenger": contender_of(challenger, config.as_of)}
    if champion is not None:
        contenders["champion"] = champion_of(champion, target, held_out)
    # clicks have no rating to be wrong about
    nothing_of = HeldOut(held_out.users[:0], held_out.items[:0], held_out.ratings[:0])
    judged = held_out if challenger.predicts_ratings else nothing_of
    errors = {name: contender.errors(judged) for name, contender in contenders.items()}
    ndcg: dict[str, Float64] = {}
    orders = _orders(target, challenger, champion)
    figures: dict[str, Any] = {
        "n_held_out": len(held_out.ratings),
        "n_cold": int(cold.sum()),
        "lists_by": "affinity" if orders else "rating",
    }
    rated = max(1, target.store.n_rated_items)
    for name, contender in contenders.items():
        found = errors[name]
        own: dict[str, Any] = {"rmse": _rmse(found), "cold_rmse": _rmse(found[cold[: len(found)]])}
        if task is not None:
            ranker: Ranker = contender.scorer(name)
            if orders:
                rating = contender.rating_parts(challenger)
                scorer = OrderScorer(orders[name], challenger.genre_matrix, rating)
                ranker = order_ranker(name, scorer, contender.user_rows[:, : contender.rank], known)
            users, lists = score_lists(task, ranker)
            ranking = figures_of(task, users, lists)
            ndcg[name] = users.ndcg
            own |= {
                "ndcg": ranking.ndcg,
                "recall": ranking.recall,
                "reach": len(np.unique(lists[lists >= 0])) / rated,
            }
        figures[name] = own
    if champion is not None and challenger.predicts_ratings:
        figures["champion_as_served_rmse"] = _rmse(_served_errors(champion, target, held_out))
    checks = [finite, *_absolute(config, figures)]
    if champion is not None:
        checks += _relative(config, figures, ndcg)
    return figures, checks


def _orders(target: Target, challenger: Model, champion: Model | None) -> dict[str, Order]:
    """Return what both models' lists go by, in the rows of the store; nothing where one of them has no order.

    Lists are then held against one another by rating, as one of them is served.
    """
    found = {} if challenger.order is None else {"challenger": challenger.order}
    if champion is None or not found:
        return found
    if champion.order is None:
        return {}
    rows = champion.rows_of("item", target.store.item_ids)
    return {**found, "champion": champion.order.in_rows(rows)}


def _absolute(config: RetrainConfig, figures: dict[str, Any]) -> list[Check]:
    own, checks = figures["challenger"], []
    if config.max_rmse is not None and own["rmse"] is not None:
        checks.append(at_most("RMSE", own["rmse"], config.max_rmse, "the errors are too large"))
    if own.get("reach") is not None:
        reason = "the lists show too few items"
        checks.append(at_least("reach", own["reach"], config.min_reach, reason))
    return checks


def finite_check(model: Model, name: str) -> Check:
    """Tell whether a model is made of finite numbers."""
    bad = sum(int(np.count_nonzero(~np.isfinite(rows))) for rows in (model.user_rows, model.item_rows))
    return at_most(name, float(bad), 0.0, f"{bad:,} values are not finite")


def _relative(config: RetrainConfig, figures: dict[str, Any], ndcg: dict[str, Float64]) -> list[Check]:
    checks = []
    for key, name, margin in (
        ("rmse", "RMSE against the champion's", config.max_rmse_loss),
        ("cold_rmse", "RMSE of cold items against the champion's", config.max_cold_rmse_loss),
    ):
        ours, theirs = figures["challenger"][key], figures["champion"][key]
        if ours is not None and theirs is not None:
            checks.append(at_most(name, ours, theirs * (1 + margin), f"{ours:.4f} after {theirs:.4f}"))
    if ndcg:
        gain = ndcg["challenger"] - ndcg["champion"]
        gain = gain[np.isfinite(gain)]
        if len(gain) > 1:
            checks.append(_ndcg_check(gain, -config.max_ndcg_loss))
    return checks


def _ndcg_check(gain: Float64, limit: float) -> Check:
    """Tell whether users' NDCG may have gained as much as the limit; by chance it may have."""
    mean, half = float(gain.mean()), Z_95 * float(gain.std(ddof=1)) / np.sqrt(len(gain))
    passed = bool(mean + half >= limit)
    reason = ""
    if not passed:
        reason = f"NDCG@{LIST_LENGTH} fell by {-mean:.4f}, beyond chance (by {-mean - half:.4f} at least)"
    elif mean < limit:
        reason = (
            f"NDCG@{LIST_LENGTH} is {-mean:.4f} lower, which may be chance: over {len(gain):,} users it "
            f"gained between {mean - half:.4f} and {mean + half:.4f} (95 %)"
        )
    return Check(
        name="gain of NDCG over the champion",
        value=mean,
        limit=limit,
        passed=passed,
        reason=reason,
        at_least=True,
    )


def _ranking_task(config: RetrainConfig, target: Target) -> RankingTask | None:
    store, relevant = target.store, relevant_for(config.model, target.store)
    try:
        return make_task(store, target.split, TEST, k=min(LIST_LENGTH, store.n_items), relevant=relevant)
    except DataError:
        return None  # nothing that was held out was liked


def _served_errors(champion: Model, target: Target, held_out: HeldOut) -> Float64:
    """Return the errors of the champion as it is, people it does not know at their prior."""
    users = champion.rows_of("user", target.store.user_ids)[held_out.users]
    items = champion.rows_of("item", target.store.item_ids)[held_out.items]
    return held_out.ratings - champion.predict_rows(users, items)


def _rmse(errors: Float64) -> float | None:
    return float(np.sqrt(np.mean(np.square(errors)))) if len(errors) else None
