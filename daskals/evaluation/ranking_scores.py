"""Scores for ranking: the rating model's own, the papers' blends, and affinity with a share of the rating.

A rating model is fitted on what people chose to rate, so that its scores say nothing of what they would
choose: on ml-latest-small its lists are far worse than the most-liked items. What orders well is affinity
(`training.affinity`), learnt from who liked what; the predicted rating then decides between items that are
equally likely to be chosen. Its share is tried on a validation part cut from the training ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.workers import Cluster
from daskals.evaluation.ranking import (
    SAMPLE,
    K,
    RankingTask,
    Scorer,
    baseline_scorers,
    compare,
    make_task,
    score_lists,
)
from daskals.model.factors import FactorModel
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import ensure_split
from daskals.training.affinity import Affinity, AffinitySpec, train_affinity
from daskals.types import TEST, VALIDATION

ALPHAS = (0.05, 0.5)
"""Paper 2's α (Table 3); 1 orders as the predicted rating does."""

BIAS_WEIGHT = 0.05
"""Paper 1's w_b (Eq. 9)."""

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Shares of the predicted rating, in rating units, that are tried beside affinity."""

UNSEEN = (0.1, 0.3, 1.0)
"""Weights of pairs nobody liked that are tried for affinity."""

VALIDATION_FRACTION = 0.2


class Lists(NamedTuple):
    """How lists are scored: their length, how many users at most, and the seed of their sample."""

    k: int
    sample: int
    seed: int


class Chosen(NamedTuple):
    """What validation chose: how affinity is learnt, the rating's share, and what was tried."""

    spec: AffinitySpec
    share: float
    tried: list[dict[str, float]]


def model_scorers(model: FactorModel) -> list[Scorer]:
    """Return the model's own scorers: its rating, paper 2's α and paper 1's w_b."""
    found = []
    for name, weight in (
        ("rating", 1.0),
        *((f"alpha={alpha:g}", alpha) for alpha in ALPHAS),
        (f"bias-weight={BIAS_WEIGHT:g}", BIAS_WEIGHT),
    ):
        offsets = (weight * model.item_biases).astype(np.float32)
        found.append(Scorer(name, model.user_factors, model.item_factors, offsets))
    return found


def affinity_scorer(model: FactorModel, affinity: Affinity, share: float) -> Scorer:
    """Return affinity plus `share` of the predicted rating."""
    return Scorer(
        "affinity",
        np.concatenate([affinity.users, model.user_factors], axis=1),
        np.concatenate([affinity.items, np.float32(share) * model.item_factors], axis=1),
        (share * model.item_biases).astype(np.float32),
    )


def choose_affinity(
    cluster: Cluster, store: RatingsStore, spec: SplitSpec, model: FactorModel, lists: Lists
) -> Chosen:
    """Choose how affinity is learnt and the rating's share, on a validation part of the training ratings.

    Parameters
    ----------
    cluster
        Where affinity is learnt, from the rest.
    store, spec
        The ratings; the part is cut as `spec` cuts its test part.
    model
        A model that has not seen the part.
    lists
        What is scored; the best sum of Recall@K and NDCG@K wins.
    """
    split = ensure_split(store, spec)
    task = make_task(store, split, VALIDATION, **lists._asdict())
    best, tried = (-1.0, AffinitySpec(), 0.0), []
    for unseen in UNSEEN:
        affinity_spec = AffinitySpec(unseen=unseen)
        affinity = train_affinity(cluster, store, split, affinity_spec)
        for share in SHARES:
            recall, ndcg = _recall_and_ndcg(task, affinity_scorer(model, affinity, share))
            tried.append({"unseen": unseen, "share": share, "recall": recall, "ndcg": ndcg})
            if recall + ndcg > best[0]:
                best = (recall + ndcg, affinity_spec, share)
    return Chosen(best[1], best[2], tried)


def _recall_and_ndcg(task: RankingTask, scorer: Scorer) -> tuple[float, float]:
    figures, _ = score_lists(task, scorer)
    return float(np.nanmean(figures.recall)), float(np.nanmean(figures.ndcg))


def ranking_report(
    model: FactorModel,
    store: RatingsStore,
    cluster: Cluster | None = None,
    selector: FactorModel | None = None,
    *,
    k: int = K,
    sample: int = SAMPLE,
    seed: int = 42,
) -> dict[str, Any]:
    """Rank for the test users of the split that a model was trained on.

    Parameters
    ----------
    model
        The model, trained on this store.
    store
        Its ratings.
    cluster
        Where affinity is learnt; without one it is left out.
    selector
        A model of the same kind whose training left a validation part out, for choosing the rating's share;
        without one the share is 0 and affinity is learnt by the defaults.
    k, sample, seed
        Length of a list; most users that are scored; seed of their sample.
    """
    spec = SplitSpec(**model.report["data"]["split"])
    split = ensure_split(store, spec)
    task = make_task(store, split, TEST, k=k, sample=sample, seed=seed)
    config = model.report["config"]
    scorers = [*baseline_scorers(store, split, config["gamma"] / config["lambda"]), *model_scorers(model)]
    chosen = Chosen(AffinitySpec(), 0.0, [])
    if cluster is not None:
        if selector is not None:
            held_out = SplitSpec(**selector.report["data"]["split"])
            chosen = choose_affinity(cluster, store, held_out, selector, Lists(k, sample, seed))
        affinity = train_affinity(cluster, store, split, chosen.spec)
        scorers.append(affinity_scorer(model, affinity, chosen.share))
    return {
        "k": k,
        "users": len(task.users),
        "users_with_relevant": int(task.has_relevant.sum()),
        "relevant_from": 3.5,
        "candidates": "all items but the user's training items",
        "affinity": {**asdict(chosen.spec), "share": chosen.share, "tried": chosen.tried},
        "scores": compare(task, scorers),
    }


def mean_gains(
    reports: Sequence[dict[str, Any]], scorer: str, baseline: str, figure: str
) -> tuple[float, float]:
    """Return the mean relative gain of a scorer over a baseline in several reports, and its deviation."""
    gains = [r["scores"][scorer][figure] / r["scores"][baseline][figure] - 1.0 for r in reports]
    return float(np.mean(gains)), float(np.std(gains, ddof=1)) if len(gains) > 1 else 0.0
