"""Ranking quality at K: precision, recall, NDCG and their kin, coverage, Gini, novelty, distance in a list.

Paper 2's protocol (section 3.3): an item is relevant if its held-out rating is at least what 3.5 is on half
stars (`ratings.liking`); candidates are all items but those the user rated in training; a random sample of
users with held-out ratings is scored. Users without a relevant item have no recall, and are left out of
everything that divides by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError, DataError
from daskals.evaluation.figures import RankingFigures, UserFigures, list_figures, user_figures
from daskals.evaluation.known_ratings import Ratings, read_known, read_part
from daskals.evaluation.scorers import Ranker
from daskals.evaluation.traits import genre_traits
from daskals.kernels.scoring.topk import SeenItems
from daskals.model.training_ratings import starts_of
from daskals.ratings.liking import liked_from, relevant_from
from daskals.store.limits import rating_limits
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.types import TEST, TRAIN, Float32, Float64, Int32, Int64

SAMPLE = 3000
K = 10
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class RankingTask:
    """Who is recommended to, what they know already, and what they turned out to like.

    Attributes
    ----------
    users
        Rows of the sampled users, ascending.
    seen
        Their training items.
    relevant
        Their relevant held-out items.
    popularity
        Training ratings of each item.
    n_users
        Users with training ratings.
    k
        Length of a list.
    relevant_from
        Lowest rating that counts as relevant.
    traits
        float32, shape (items, traits): what distance in a list is measured by, of length 1 or 0; None
        leaves it out.
    """

    users: Int64
    seen: SeenItems
    relevant: SeenItems
    popularity: Int64
    n_users: int
    k: int
    relevant_from: float = 0.0
    traits: Float32 | None = None

    @property
    def has_relevant(self) -> NDArray[np.bool_]:
        """Which of the sampled users have a relevant item, bool, shape (users,)."""
        return np.diff(self.relevant.indptr) > 0


def relevant_for(model: str, store: RatingsStore) -> float:
    """Return the lowest rating of a store that is relevant to lists of a model, see `relevant_from`."""
    return relevant_from(model, rating_limits(store))


def make_task(
    store: RatingsStore,
    split: Split,
    part: int = TEST,
    *,
    k: int = K,
    sample: int = SAMPLE,
    seed: int = 42,
    relevant: float | None = None,
) -> RankingTask:
    """Sample users with ratings in a held-out part, and gather what they rated.

    Parameters
    ----------
    store, split, part
        The ratings, and which of them are held out.
    k
        Length of a list; that of the catalogue at most, lists are never padded.
    sample, seed
        Most users that are scored, and the seed that chooses them.
    relevant
        Lowest rating that counts as relevant; what `ratings.liking` says of the scale if absent.

    Raises
    ------
    ConfigError
        If k or the sample is below 1.
    DataError
        If the part has no ratings, or none that is relevant.
    """
    if k < 1 or sample < 1:
        raise ConfigError(
            f"k = {k} and a sample of {sample} users",
            where="ranking",
            expected="a length of 1 or more, and at least one user",
        )
    held, train = read_part(store, split, part), read_part(store, split, TRAIN)
    candidates = np.flatnonzero(np.diff(held.indptr) > 0)
    if not len(candidates):
        raise DataError(
            "no held-out ratings: all of them trained the model",
            where="ranking",
            expected="a model trained on part of them",
            remedy="Train another by --split=random --test-fraction=0.1, without --refit-all, and judge that",
        )
    users = candidates
    if len(candidates) > sample:
        users = np.sort(np.random.default_rng(seed).choice(candidates, sample, replace=False))
    threshold = liked_from(rating_limits(store)) if relevant is None else relevant
    seen = read_known(store, split).of_users(users)
    task = RankingTask(
        users=users,
        seen=SeenItems(seen.indptr, seen.items),
        relevant=_liked(held.of_users(users), threshold),
        popularity=np.bincount(train.items, minlength=store.n_items).astype(np.int64),
        n_users=int(np.count_nonzero(np.diff(train.indptr))),
        k=min(k, store.n_items),
        relevant_from=threshold,
        traits=genre_traits(store.genres()),
    )
    if not task.has_relevant.any():
        raise DataError(
            f"no held-out rating is {threshold:.4g} or more",
            where="ranking",
            expected="something to recommend",
            remedy="Set the lowest rating that counts as relevant with --relevant",
        )
    return task


def _liked(held: Ratings, threshold: float) -> SeenItems:
    liked = held.ratings >= np.float32(threshold)
    return SeenItems(starts_of(liked.astype(np.int64))[held.indptr], held.items[liked])


def score_lists(task: RankingTask, scorer: Ranker) -> tuple[UserFigures, Int32]:
    """List every sampled user's best k candidates and compare them with what they liked.

    Equal scores are ordered by the item's row. Returns the users' figures, and the lists, shape
    (users, k), −1 behind the end of one that is short.
    """
    lists = scorer.best(task.users, task.seen, task.k)
    return user_figures(lists, task.relevant, task.traits), lists


def figures_of(task: RankingTask, users: UserFigures, lists: Int32) -> RankingFigures:
    """Average the users' figures; the others follow from the lists, int32, shape (users, k)."""
    return list_figures(users, lists, task.popularity, task.n_users)


def compare(
    task: RankingTask,
    scorers: Sequence[Ranker],
    ks: Sequence[int] | None = None,
    baseline: str = "liked-count",
) -> dict[str, Any]:
    """Evaluate several scorers on the same users, at several lengths in one pass.

    Parameters
    ----------
    task
        Users and what they like; its k is the longest list.
    scorers
        What is compared.
    ks
        Lengths up to the task's k, as which they count if longer; that alone if absent.
    baseline
        The scorer that all others are held against.

    Returns
    -------
    By scorer and length (as text): its figures, and for all but the baseline the mean paired difference to
    it in each figure with half the width of its 95 % interval.
    """
    lengths = lengths_of(task, ks)
    against: dict[int, UserFigures] = {}
    report: dict[str, Any] = {}
    for scorer in sorted(scorers, key=lambda one: one.name != baseline):
        lists = scorer.best(task.users, task.seen, task.k)
        own = report[scorer.name] = {}
        for k in lengths:
            short = np.ascontiguousarray(lists[:, :k])
            users = user_figures(short, task.relevant, task.traits)
            own[str(k)] = asdict(figures_of(task, users, short))
            if scorer.name == baseline:
                against[k] = users
            elif against:
                own[str(k)][f"over_{baseline}"] = _gains(users, against[k])
    return report


def lengths_of(task: RankingTask, ks: Sequence[int] | None) -> list[int]:
    """Return the lengths that lists are measured at: each once, ascending, no longer than the catalogue."""
    return sorted({min(k, task.k) for k in ks or [task.k]})


def _gains(users: UserFigures, against: UserFigures) -> dict[str, dict[str, float]]:
    gains = {name: values - getattr(against, name) for name, values in users._asdict().items()}
    return {name: _interval(gain) for name, gain in gains.items() if not np.isnan(gain).all()}


def _interval(gain: Float64) -> dict[str, float]:
    known = gain[~np.isnan(gain)]
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
    return {"mean": float(np.mean(known)), "half_width": Z_95 * spread / float(np.sqrt(len(known)))}
