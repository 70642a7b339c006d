"""Lists that a model serves against the library implicit at eight settings: `jobs.bench lists`.

The library learns from what was liked in training, once for each setting; the setting whose lists are best
for the test part is what the served lists are held against, user by user. That choice favours the library.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from daskals.bench.systems import find_system
from daskals.bench.tiers import blas_threads
from daskals.errors import ConfigError
from daskals.evaluation.known_ratings import Ratings, read_part
from daskals.evaluation.ranking import compare, make_task, relevant_for
from daskals.evaluation.scorers import Ranker, Scorer
from daskals.fitting.evaluate import served_order
from daskals.model.fitted import Model
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.types import TRAIN, Float32

LIBRARY_EPOCHS = 15
"""The library's own default."""


class Setting(NamedTuple):
    """One setting of the library: its factors, its regularisation, and what an observation weighs."""

    rank: int
    ridge: float
    alpha: float

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"implicit K={self.rank} λ={self.ridge:g} α={self.alpha:g}"


SETTINGS = tuple(Setting(*chosen) for chosen in itertools.product((32, 64), (0.01, 1.0), (1.0, 10.0)))


def library_scorer(train: Ratings, setting: Setting, threads: int) -> Scorer:
    """Train the library on observations that all count alike, and return what orders by its scores.

    Parameters
    ----------
    train
        What was liked in training.
    setting, threads
        How it learns, and on how many threads.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    ones = np.ones(len(train.items), np.float32)
    matrix = scipy.sparse.csr_matrix((ones, train.items, train.indptr), shape=(train.n_users, train.n_items))
    with blas_threads(1):  # its own threads each call BLAS
        model = AlternatingLeastSquares(
            factors=setting.rank,
            regularization=setting.ridge,
            alpha=setting.alpha,
            iterations=LIBRARY_EPOCHS,
            num_threads=threads,
            random_state=42,
        )
        model.fit(matrix, show_progress=False)
    users: Float32 = np.ascontiguousarray(model.user_factors, np.float32)
    items: Float32 = np.ascontiguousarray(model.item_factors, np.float32)
    return Scorer(setting.name, users, items, np.zeros(train.n_items, np.float32))


def liked_only(train: Ratings, threshold: float) -> Ratings:
    """Return the ratings from a threshold up."""
    kept = train.ratings >= np.float32(threshold)
    before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    return Ratings(before[train.indptr], train.items[kept], train.ratings[kept], train.n_items)


def served_ranker(model: Model, store: RatingsStore) -> Ranker:
    """Return what orders as the model's own lists do; `store` has its ratings."""
    served = served_order(model, store)
    if served:
        return served[0]
    biases = np.ascontiguousarray(model.item_biases, np.float32)
    return Scorer("served", model.user_factors, model.item_factors, biases)


def measure_lists(
    model: Model,
    store: RatingsStore,
    split: Split,
    *,
    ks: tuple[int, ...],
    relevant: float | None,
    threads: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Hold a model's lists against the library's, on the model's own test part.

    Parameters
    ----------
    model, store, split
        The model, the ratings it was trained on, and their parts.
    ks
        Lengths of lists; the shortest chooses the library's setting, by NDCG.
    relevant
        Lowest rating that counts as liked; what `ranking.relevant_for` says of the model if None.
    threads
        Threads of the library.
    tell
        Called with a line before each training.

    Returns
    -------
    dict
        `scores` as `evaluation.ranking.compare` has them, `best` the library's best setting, `over_best` by
        length and figure the served lists' mean paired difference to it with half its 95 % interval.

    Raises
    ------
    ConfigError
        If the library is not installed.
    """
    missing = find_system("implicit-cg").missing()
    if missing is not None:
        raise ConfigError(f"implicit: {missing}", where="lists", remedy="Install the extra [bench]")
    if relevant is None:
        relevant = relevant_for(model.report["config"]["model"], store)
    task = make_task(store, split, k=max(ks), relevant=relevant)
    liked = liked_only(read_part(store, split, TRAIN), task.relevant_from)
    library: list[Ranker] = []
    for setting in SETTINGS:
        tell(f"{setting.name} …")
        library.append(library_scorer(liked, setting, threads))
    served = served_ranker(model, store)
    first = str(min(min(ks), task.k))
    scores = compare(task, library, ks)
    best = max(scores, key=lambda name: float(scores[name][first]["ndcg"]))
    rival = next(one for one in library if one.name == best)
    own = compare(task, [served, rival], ks, best)[served.name]
    over = {k: figures.pop(f"over_{best}") for k, figures in own.items()}
    return {
        "k": [int(k) for k in own],
        "users": len(task.users),
        "users_with_relevant": int(task.has_relevant.sum()),
        "relevant_from": task.relevant_from,
        "candidates": "all items but what is known of the user",
        "scores": {served.name: own, **scores},
        "best": best,
        "over_best": over,
    }
