"""Scores for ranking: the rating model's own, the papers' blends, and affinity with a share of the rating.

A rating model is fitted on what people chose to rate, so that its scores say nothing of what they would
choose: on ml-latest-small its lists are far worse than the most-liked items. What orders well is affinity
(`training.affinity`), learnt from who liked what; the predicted rating then decides between items that are
equally likely to be chosen. Its share is tried on a validation part cut from the training ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from daskals.cluster.exchange import Gathered
from daskals.cluster.workers import Cluster
from daskals.evaluation.baselines import Baseline, Tell, baseline_scorers, neighbour_scorers
from daskals.evaluation.known_ratings import read_known, read_part
from daskals.evaluation.ranking import (
    SAMPLE,
    K,
    RankingTask,
    compare,
    lengths_of,
    make_task,
    relevant_for,
    score_lists,
)
from daskals.evaluation.scorers import Ranker, Scorer
from daskals.evaluation.traits import factor_traits
from daskals.kernels.toolkit.layout import pack_rows
from daskals.model.factors import FactorModel
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, ensure_split
from daskals.training.affinity import (
    Affinity,
    AffinitySpec,
    affinity_slab,
    factor_gram,
    liked_block,
    train_affinity,
)
from daskals.types import TEST, TRAIN, VALIDATION, BlockStats

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
    """How lists are scored.

    Attributes
    ----------
    ks
        Their lengths.
    sample, seed
        How many users at most, and the seed of their sample.
    relevant
        Lowest rating that counts as relevant; what `ranking.relevant_for` says of the model if None.
    neighbours
        Also compare with item-kNN and EASE, whose time grows with the items squared and cubed.
    """

    ks: tuple[int, ...] = (K,)
    sample: int = SAMPLE
    seed: int = 42
    relevant: float | None = None
    neighbours: bool = True

    def task(self, store: RatingsStore, split: Split, part: int, k: int | None = None) -> RankingTask:
        """Return the task of a part of a split, with lists of length k, or of the longest that is asked."""
        return make_task(
            store,
            split,
            part,
            k=max(self.ks) if k is None else k,
            sample=self.sample,
            seed=self.seed,
            relevant=self.relevant,
        )


DEFAULT_LISTS = Lists()


class Chosen(NamedTuple):
    """What validation chose: how affinity is learnt, the rating's share, and what was tried."""

    spec: AffinitySpec
    share: float
    tried: list[dict[str, float]]


def model_scorers(model: FactorModel) -> list[Scorer]:
    """Return the model's own scorers: its rating, paper 2's α and paper 1's w_b; of clicks, no biases."""
    found, weights = [], [("rating", 1.0)]
    if model.predicts_ratings:
        weights += [(f"alpha={alpha:g}", alpha) for alpha in ALPHAS]
        weights += [(f"bias-weight={BIAS_WEIGHT:g}", BIAS_WEIGHT)]
    for name, weight in weights:
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
        What is scored; the best sum of Recall@K and NDCG@K at the shortest length wins.
    """
    split = ensure_split(store, spec)
    task = lists.task(store, split, VALIDATION, min(lists.ks))
    best, tried = (-1.0, AffinitySpec(), 0.0), []
    for unseen in UNSEEN:
        affinity_spec = AffinitySpec(unseen=unseen, threshold=task.relevant_from)
        affinity = learn_affinity(cluster, store, split, affinity_spec)
        for share in SHARES:
            recall, ndcg = _recall_and_ndcg(task, affinity_scorer(model, affinity, share))
            tried.append({"unseen": unseen, "share": share, "recall": recall, "ndcg": ndcg})
            if recall + ndcg > best[0]:
                best = (recall + ndcg, affinity_spec, share)
    return Chosen(best[1], best[2], tried)


def _recall_and_ndcg(task: RankingTask, scorer: Scorer) -> tuple[float, float]:
    figures, _ = score_lists(task, scorer)
    return float(np.nanmean(figures.recall)), float(np.nanmean(figures.ndcg))


def learn_affinity(cluster: Cluster, store: RatingsStore, split: Split, spec: AffinitySpec) -> Affinity:
    """Learn affinity from the training ratings, and fold in users that are held out of it."""
    affinity = train_affinity(cluster, store, split, spec)
    if not split.n_fold_in:
        return affinity
    items = Gathered(pack_rows(affinity.items, np.zeros(len(affinity.items), np.float32)), BlockStats(0, 0))
    known = read_known(store, split).block()
    slab = affinity_slab(liked_block(known, spec.threshold), items, factor_gram(items, spec.rank), spec)
    return Affinity(slab.rows[:, : spec.rank].copy(), affinity.items)


def ranking_report(
    model: FactorModel,
    store: RatingsStore,
    cluster: Cluster | None = None,
    selector: FactorModel | None = None,
    *,
    lists: Lists = DEFAULT_LISTS,
    served: Sequence[Ranker] = (),
    tell: Tell = lambda _: None,
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
    lists
        Lengths of lists, users, and what is relevant.
    served
        Further orders to compare, such as the one a model serves.
    tell
        Called with a line about what is left out, and the memory that is taken.
    """
    split = ensure_split(store, SplitSpec(**model.report["data"]["split"]))
    if lists.relevant is None:
        lists = lists._replace(relevant=relevant_for(model.report["config"]["model"], store))
    task = lists.task(store, split, TEST)
    if max(lists.ks) > task.k:
        tell(f"lists end with the catalogue's {task.k:,} items: they are never padded")
    if task.traits is None:
        task = replace(task, traits=factor_traits(model.item_factors))
    config = model.report["config"]
    train, known = read_part(store, split, TRAIN), read_known(store, split)
    data = Baseline(train, known, task.relevant_from, config["gamma"] / config["lambda"])
    neighbours = neighbour_scorers(data, tell) if lists.neighbours else []
    # of clicks, all liked, what differs by ratings says nothing
    baselines = baseline_scorers(data)[: None if model.predicts_ratings else 1]
    scorers: list[Ranker] = [*baselines, *neighbours, *model_scorers(model), *served]
    chosen = Chosen(AffinitySpec(threshold=task.relevant_from), 0.0, [])
    if cluster is not None:
        if selector is not None:
            held_out = SplitSpec(**selector.report["data"]["split"])
            chosen = choose_affinity(cluster, store, held_out, selector, lists)
        affinity = learn_affinity(cluster, store, split, chosen.spec)
        scorers.append(affinity_scorer(model, affinity, chosen.share))
    return {
        "k": lengths_of(task, lists.ks),
        "users": len(task.users),
        "users_with_relevant": int(task.has_relevant.sum()),
        "relevant_from": task.relevant_from,
        "candidates": "all items but what is known of the user",
        "affinity": {**asdict(chosen.spec), "share": chosen.share, "tried": chosen.tried},
        "scores": compare(task, scorers, lists.ks, "liked-count" if model.predicts_ratings else "popularity"),
    }
