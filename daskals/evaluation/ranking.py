"""Ranking quality: precision, recall and their kin at K, beside baselines that know no taste.

Paper 2's protocol (section 3.3): an item is relevant if its held-out rating is at least 3.5; candidates are
all items but those the user rated in training; a random sample of users with held-out ratings is scored.
Users without a relevant item have no recall, and are left out of everything that divides by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError, DataError
from daskals.kernels.scoring.topk import SeenItems, pack_items, top_items
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, load_block
from daskals.types import TEST, TRAIN, Float32, Float64, Int32, Int64

RELEVANT = 3.5
SAMPLE = 3000
K = 10
Z_95 = 1.959963984540054


class Scorer(NamedTuple):
    """What orders a user's candidates: user·item + offset; what a user adds to all of them does not matter.

    Attributes
    ----------
    name
        What reports call it.
    users, items
        float32, shape (rows, factors).
    offsets
        float32, shape (items,).
    """

    name: str
    users: Float32
    items: Float32
    offsets: Float32


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
        All users.
    k
        Length of a list.
    """

    users: Int64
    seen: SeenItems
    relevant: SeenItems
    popularity: Int64
    n_users: int
    k: int

    @property
    def has_relevant(self) -> NDArray[np.bool_]:
        """Which of the sampled users have a relevant item, bool, shape (users,)."""
        return np.diff(self.relevant.indptr) > 0


@dataclass(frozen=True)
class RankingFigures:
    """Means over users, at K.

    Attributes
    ----------
    precision
        Relevant among K (paper 2, Eq. 8), over all sampled users.
    recall
        Share of the relevant items that are listed (Eq. 9); like the following over users with any.
    ndcg, map, mrr, hit_rate
        Gain discounted by log₂(1 + place) over the best possible; average precision over the best possible
        number of hits; one over the place of the first hit; share of users with a hit.
    coverage
        Share of all items that are on anybody's list.
    novelty
        Mean −log₂ of the share of users who rated a listed item in training.
    """

    precision: float
    recall: float
    ndcg: float
    map: float
    mrr: float
    hit_rate: float
    coverage: float
    novelty: float


class UserFigures(NamedTuple):
    """Figures of each sampled user; all but the first are NaN without a relevant item."""

    precision: Float64
    recall: Float64
    ndcg: Float64
    map: Float64
    mrr: Float64
    hit_rate: Float64


def make_task(
    store: RatingsStore,
    split: Split,
    part: int = TEST,
    *,
    k: int = K,
    sample: int = SAMPLE,
    seed: int = 42,
) -> RankingTask:
    """Sample users with ratings in a held-out part, and gather what they rated.

    Parameters
    ----------
    store, split, part
        The ratings, and which of them are held out.
    k
        Length of a list.
    sample, seed
        Most users that are scored, and the seed that chooses them.

    Raises
    ------
    ConfigError
        If k is below 1 or above the number of items, or the sample is empty.
    DataError
        If the part has no ratings, or none that is relevant.
    """
    if not 1 <= k <= store.n_items or sample < 1:
        raise ConfigError(
            f"k = {k} and a sample of {sample} users",
            where="ranking",
            expected=f"k from 1 to {store.n_items}, the number of items, and at least one user",
        )
    held = load_block(str(store.path), "user", 0, store.n_users, split.key, part)
    train = load_block(str(store.path), "user", 0, store.n_users, split.key, TRAIN)
    candidates = np.flatnonzero(np.diff(held.indptr) > 0)
    if not len(candidates):
        raise DataError("no held-out ratings", where="ranking", expected="a model trained on part of them")
    users = candidates
    if len(candidates) > sample:
        users = np.sort(np.random.default_rng(seed).choice(candidates, sample, replace=False))
    ratings = held.ratings
    liked = ratings >= np.float32(RELEVANT)
    before = np.concatenate([[0], np.cumsum(liked)])
    task = RankingTask(
        users=users,
        seen=_rows_of(train.indptr, train.indices, users),
        relevant=_rows_of(before[held.indptr], held.indices[liked], users),
        popularity=np.bincount(train.indices, minlength=store.n_items).astype(np.int64),
        n_users=store.n_users,
        k=k,
    )
    if not task.has_relevant.any():
        raise DataError(
            f"no held-out rating is {RELEVANT} or more",
            where="ranking",
            expected="something to recommend",
        )
    return task


def _rows_of(indptr: Int64, indices: Int32, rows: Int64) -> SeenItems:
    starts, counts = indptr[rows], indptr[rows + 1] - indptr[rows]
    cut = np.concatenate([[0], np.cumsum(counts)])
    places = np.arange(cut[-1]) - np.repeat(cut[:-1], counts) + np.repeat(starts, counts)
    return SeenItems(cut.astype(np.int64), indices[places])


def score_lists(task: RankingTask, scorer: Scorer) -> tuple[UserFigures, Int32]:
    """List every sampled user's best k candidates and compare them with what they liked.

    Equal scores are ordered by the item's row. Returns the users' figures, and the lists, shape
    (users, k), −1 behind the end of one that is short.
    """
    panels = pack_items(scorer.items, scorer.offsets)
    lists = top_items(panels, scorer.users[task.users], task.k, task.seen).items
    hits = _mark_hits(lists, task.relevant)
    n_relevant = np.diff(task.relevant.indptr)
    best = np.minimum(n_relevant, task.k)
    discounts = 1.0 / np.log2(np.arange(2, task.k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[best]
    running = np.cumsum(hits, axis=1) / np.arange(1, task.k + 1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = UserFigures(
            precision=hits.sum(axis=1) / task.k,
            recall=hits.sum(axis=1) / n_relevant,
            ndcg=(hits * discounts).sum(axis=1) / ideal,
            map=(hits * running).sum(axis=1) / best,
            mrr=np.where(n_relevant > 0, 1.0 / first, np.nan),
            hit_rate=np.where(n_relevant > 0, hits.any(axis=1), np.nan),
        )
    return figures, lists


def _mark_hits(lists: Int32, relevant: SeenItems) -> NDArray[np.bool_]:
    n_items = int(max(lists.max(initial=0), relevant.indices.max(initial=0))) + 1
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), np.diff(relevant.indptr))
    wanted = rows * n_items + relevant.indices
    listed = np.arange(len(lists), dtype=np.int64)[:, None] * n_items + lists
    return np.isin(listed, wanted) & (lists >= 0)


def figures_of(task: RankingTask, users: UserFigures, lists: Int32) -> RankingFigures:
    """Average the users' figures; coverage and novelty follow from the lists, shape (users, k)."""
    listed = lists[lists >= 0]
    known = np.maximum(task.popularity[listed], 1) / task.n_users
    return RankingFigures(
        **{name: float(np.nanmean(values)) for name, values in users._asdict().items()},
        coverage=len(np.unique(listed)) / len(task.popularity),
        novelty=float(np.mean(-np.log2(known))),
    )


def compare(task: RankingTask, scorers: Sequence[Scorer], baseline: str = "liked-count") -> dict[str, Any]:
    """Evaluate several scorers on the same users.

    Returns
    -------
    By scorer: its figures, and for all but the baseline the mean paired difference to it in each figure
    with half the width of its 95 % interval.
    """
    each = {scorer.name: score_lists(task, scorer) for scorer in scorers}
    report: dict[str, Any] = {}
    for name, (users, lists) in each.items():
        report[name] = asdict(figures_of(task, users, lists))
        if name == baseline or baseline not in each:
            continue
        against = each[baseline][0]._asdict()
        gains = {figure: values - against[figure] for figure, values in users._asdict().items()}
        report[name][f"over_{baseline}"] = {figure: _interval(gain) for figure, gain in gains.items()}
    return report


def _interval(gain: Float64) -> dict[str, float]:
    known = gain[~np.isnan(gain)]
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
    return {"mean": float(np.mean(known)), "half_width": Z_95 * spread / float(np.sqrt(len(known)))}


def baseline_scorers(store: RatingsStore, split: Split, ridge: float) -> list[Scorer]:
    """Return the scorers that know no taste: popularity, liked-count, and a model of biases alone.

    `ridge` is γ/λ of the biases.
    """
    block = load_block(str(store.path), "user", 0, store.n_users, split.key, TRAIN)
    ratings = block.ratings.astype(np.float64)
    liked = ratings >= RELEVANT
    counts = np.bincount(block.indices, minlength=store.n_items)
    likes = np.bincount(block.indices[liked], minlength=store.n_items)
    biases = _item_biases(store, split, ridge)
    return [
        _constant("popularity", store.n_users, counts),
        _constant("liked-count", store.n_users, likes),
        _constant("bias-only", store.n_users, biases),
    ]


def _item_biases(store: RatingsStore, split: Split, ridge: float, passes: int = 20) -> Float64:
    """Fit r ≈ μ + b_u + b_i by alternating ridge means (paper 1, Eq. 4-5)."""
    block = load_block(str(store.path), "user", 0, store.n_users, split.key, TRAIN)
    users = np.repeat(np.arange(store.n_users), np.diff(block.indptr))
    ratings = block.ratings.astype(np.float64)
    residuals, items = ratings - split.mean, block.indices
    n_user, n_item = (
        np.bincount(x, minlength=n) for x, n in ((users, store.n_users), (items, store.n_items))
    )
    b_item = np.zeros(store.n_items)
    for _ in range(passes):
        b_user = np.bincount(users, residuals - b_item[items], store.n_users) / (n_user + ridge)
        b_item = np.bincount(items, residuals - b_user[users], store.n_items) / (n_item + ridge)
    return b_item


def _constant(name: str, n_users: int, offsets: NDArray[Any]) -> Scorer:
    n_items = len(offsets)
    return Scorer(
        name,
        np.zeros((n_users, 1), np.float32),
        np.zeros((n_items, 1), np.float32),
        offsets.astype(np.float32),
    )
