"""Evaluation of a fitted model on its own split: ranking beside baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from daskals.cluster.workers import Cluster
from daskals.config import ReadConfig, TrainConfig
from daskals.errors import DataError
from daskals.evaluation.baselines import Tell
from daskals.evaluation.prediction_error import open_beside
from daskals.evaluation.ranking_scores import DEFAULT_LISTS, VALIDATION_FRACTION, Lists, ranking_report
from daskals.evaluation.scorers import BatchScorer, Ranker
from daskals.fitting.fit import fit
from daskals.ingest import RatingsSource
from daskals.model.fitted import Model
from daskals.model.order.scoring import OrderScorer
from daskals.model.stored_ratings import training_data
from daskals.model.training_ratings import History
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, ensure_split
from daskals.types import Float32, Int64

SELECTOR_EPOCHS = 10
"""Epochs of the model that a ranking's validation is scored with."""


@contextmanager
def own_ratings(
    model: Model, data: RatingsSource | None, config: ReadConfig
) -> Iterator[tuple[RatingsStore, Split]]:
    """Open the ratings a model was trained on, with its split.

    Raises
    ------
    DataError
        If `data` are other ratings: their users' training ratings are not known.
    """
    section = training_data(model.report)
    with open_beside(model, data, config) as store:
        if store.content_hash != section["content_hash"]:
            raise DataError(
                "these are not the ratings the model was trained on",
                where=str(store.path),
                expected="its own, whose split tells training from test",
                remedy="Leave --data out, or name the training ratings",
            )
        yield store, ensure_split(store, SplitSpec(**section["split"]))


def evaluate_ranking(
    model: Model,
    store: RatingsStore,
    cluster: Cluster,
    *,
    lists: Lists = DEFAULT_LISTS,
    tell: Tell = lambda _: None,
) -> dict[str, Any]:
    """Rank for a model's test users; see `ranking_report`.

    The share of the rating beside affinity is chosen with a model of the same options, trained without a
    validation part of the training ratings; of a Bayesian model the hierarchical one stands in.

    Parameters
    ----------
    model, store, cluster
        The model, the ratings it was trained on, and where the other one is trained.
    lists
        Lengths of lists, users, and what is relevant.
    tell
        Called with a line about what is left out, and the memory that is taken.
    """
    chosen = fit(store, selector_of(model.report), cluster.client)
    served = served_order(model, store)
    return ranking_report(model, store, cluster, chosen, lists=lists, served=served, tell=tell)


def selector_of(report: Mapping[str, Any]) -> TrainConfig:
    """Return the options of the model that chooses how ratings weigh, by the report of the one that ranks."""
    options = report["config"]
    return TrainConfig.from_report(
        options,
        model="auto" if options["model"] == "bayes" else options["model"],
        likelihood="gaussian",
        time_bins="none",
        chains=1,
        time_tau=None,
        time_gamma=None,
        epochs=min(int(options["epochs"]), SELECTOR_EPOCHS),
        split_seed=report["data"]["split"]["seed"],
        validation_fraction=VALIDATION_FRACTION,
        monitor_test=False,
    )


def served_order(model: Model, store: RatingsStore) -> list[Ranker]:
    """Return the order that a model's lists go by, where it has learnt one; `store` has its ratings."""
    if model.order is None:
        return []
    known = model.history("evaluate a model that carries them", store)
    return [order_ranker("served", model.order_scorer, model.user_factors, known)]


def order_ranker(name: str, scorer: OrderScorer, factors: Float32, known: History) -> Ranker:
    """Return what lists items by affinity.

    Parameters
    ----------
    name
        What reports call it.
    scorer, factors
        The order, and the factors of users, float32, shape (users, rank).
    known
        What is known of them.
    """

    def scores(users: Int64) -> Float32:
        return scorer.scores_of(known.train(users), factors[users])

    return BatchScorer(name, scores, scorer.n_items)
