"""Weights of an order's parts, chosen on a tenth of the training ratings that it is not learnt from.

How much older ratings of a person's own count is chosen wherever lists are for what comes later, the others
anyway: of rare items and people of one rating what is popular is found more often than what regression makes
of chance. Of many ratings some users' tell enough.

From the defaults, one weight after the other is moved to the value under which lists of ten find most of
what was held out, NDCG and recall together, if that is more than two standard errors of the paired
difference better: small sets keep the defaults. The order that is saved is then learnt from all of train.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from daskals.evaluation.figures import user_figures
from daskals.fitting.list_times import NO_TIMES, ListTimes
from daskals.kernels.scoring.dense import top_of_scores
from daskals.kernels.scoring.topk import SeenItems
from daskals.kernels.toolkit.dense import product
from daskals.model.order.ages import ages_of, moments_of
from daskals.model.order.learnt import Order, OrderSettings
from daskals.model.order.scoring import OrderScorer, RatingParts
from daskals.model.training_ratings import TrainingRatings, runs, some_of, starts_of
from daskals.types import Float32, Float64, Int64, RatingsBlock

Grid: TypeAlias = Mapping[str, tuple[float, ...]]
"""Values by the name of a weight."""

GRID: Grid = {
    "genre_weight": (0.0, 0.2, 0.4, 0.8, 1.6),
    "genre_exponent": (0.75, 1.0, 1.25, 1.5),
    "popularity_weight": (0.0, 0.01, 0.05, 0.2, 1.0, 5.0, 25.0),
}
"""Weights that are tried: those for which nothing need be learnt again."""

OWN_HALF_LIVES: Grid = {"own_half_life": (0.0, 1.0, 0.5, 0.25, 0.125)}
"""The same of a person's own ratings, by their age."""

SHARE = 0.1
FEWEST_USERS = 300
"""Users with something to find below which differences are chance, and the defaults are kept."""

MOST_USERS = 1_000
MOST_RATINGS = 1 << 22
"""Ratings that are learnt from at about most: of more, every second user, third and so on tells enough."""

MOST_BYTES = 1 << 28
"""What the scores of these users may take."""

TOGETHER = 1 << 17
"""Scores that are there at a time: memory that is had once serves all of them."""

CERTAIN = 2.0
"""Standard errors that a gain is more than."""

TURNS = 2
LENGTH = 10


class HeldOut(NamedTuple):
    """Training ratings apart: what an order is learnt from, and what its lists are to find.

    Attributes
    ----------
    train
        Ratings of all users, or of many, without those held out.
    users
        Rows in it of the users that are judged, int64, shape (users,).
    liked
        What they liked of what was held out.
    seconds
        When the ratings of `train` were, int64, shape (ratings,); None where that was not asked.
    """

    train: RatingsBlock
    users: Int64
    liked: SeenItems
    seconds: Int64 | None = None


@dataclass(frozen=True)
class OrderChoice:
    """What was chosen.

    Attributes
    ----------
    settings
        The weights.
    users
        Users that were judged; with 0 there were too few, and the defaults are kept.
    before, after
        Mean of NDCG and recall at 10 with the defaults, and with what was chosen.
    """

    settings: OrderSettings
    users: int
    before: float | None = None
    after: float | None = None

    def section(self) -> dict[str, Any]:
        """Return what a report tells of it."""
        return {name: value for name, value in asdict(self).items() if name != "settings"}


def hold_out(
    block: RatingsBlock, liked: Float32, n_items: int, seed: int, times: ListTimes = NO_TIMES
) -> HeldOut | None:
    """Set a tenth of all ratings aside, of the kind that lists are for; None where too few users find some.

    Parameters
    ----------
    block
        All users' training ratings.
    liked
        1 for a rating that is liked, shape (ratings,).
    n_items, seed
        All items; of the draw.
    times
        When each rating was, and which of them are set aside.
    """
    owners, seconds = block.owners, times.seconds
    if seconds is None or times.kind == "any":
        held = np.random.default_rng(seed).random(len(block.indices)) < SHARE
    elif times.kind == "last":
        held = _last_of_each(block, seconds)
    else:
        held = seconds > np.quantile(seconds, 1.0 - SHARE, method="lower")
    wanted = held & (liked == 1.0)
    if times.kind == "latest":  # who has nothing earlier is known by nothing
        wanted &= (np.bincount(owners[~held], minlength=block.n_rows) > 0)[owners]
    people = np.unique(owners[wanted])
    if len(people) < FEWEST_USERS:
        return None
    most = int(min(MOST_USERS, max(MOST_BYTES // (4 * n_items), FEWEST_USERS)))
    people = people[np.linspace(0, len(people) - 1, min(most, len(people))).astype(np.int64)]
    wanted &= np.isin(owners, people)
    counts = np.bincount(owners[wanted], minlength=block.n_rows)[people]
    found = SeenItems(starts_of(counts), block.indices[wanted])
    teaching = np.zeros(block.n_rows, np.bool_)
    teaching[:: max(-(-len(owners) // MOST_RATINGS), 1)] = True
    teaching[people] = True
    kept = ~held & teaching[owners]
    train = block._replace(
        indptr=starts_of(np.bincount(owners[kept], minlength=block.n_rows)[teaching]),
        indices=block.indices[kept],
        values=block.values[kept],
        weights=some_of(block.weights, kept),
    )
    rows = starts_of(teaching.astype(np.int64))[people]
    return HeldOut(train, rows, found, some_of(seconds, kept))


def _last_of_each(block: RatingsBlock, seconds: Int64) -> NDArray[np.bool_]:
    """Tell which ratings are of the last tenth of their user's, at least one and never all, (ratings,)."""
    n = np.diff(block.indptr)
    by_time = np.lexsort((seconds, block.owners))  # users stay where they are
    n_last = np.minimum(np.maximum((SHARE * n).astype(np.int64), 1), np.maximum(n - 1, 0))
    held = np.zeros(len(seconds), np.bool_)
    held[by_time[runs(block.indptr[1:] - n_last, n_last)]] = True
    return held


class _Judge:
    """Finds how good weights are, of users whose scores are there in parts."""

    def __init__(self, order: Order, held: HeldOut, genres: Float64, limits: tuple[float, float]) -> None:
        self._order, self._liked, self._genres = order, held.liked, genres
        n_items = len(genres)
        # the predicted rating knows what is held out: its share is not judged
        self._rating = RatingParts(np.zeros((n_items, 0), np.float32), np.zeros(n_items, np.float32), limits)
        scorer, block = OrderScorer(order, genres, self._rating), held.train
        owned = [slice(block.indptr[user], block.indptr[user + 1]) for user in held.users]
        indptr = starts_of(np.diff(block.indptr)[held.users])
        self._seen = SeenItems(indptr, np.concatenate([block.indices[own] for own in owned]))
        places = np.concatenate([np.arange(own.start, own.stop) for own in owned])
        weights = some_of(block.weights, places)
        ages = None
        if held.seconds is not None:
            ages = ages_of(held.seconds[places], moments_of(held.seconds))
        self._known = TrainingRatings(indptr, self._seen.indices, block.ratings[places], weights, ages)
        self._count(scorer)

    def _count(self, scorer: OrderScorer) -> None:
        """Find what takes long and follows from nothing but how people's own ratings count."""
        self._counted = scorer.own_half_life
        choices = scorer.choices(self._known)
        self._chosen, self._lifts = scorer.regressed(choices), scorer.lift_sums(choices)
        self._stale = choices.stale.astype(np.float32)

    def __call__(self, settings: OrderSettings) -> Float64:
        """Return each user's mean of NDCG and recall at 10, float64, shape (users,)."""
        scorer = OrderScorer(replace(self._order, settings=settings), self._genres, self._rating)
        if scorer.own_half_life != self._counted:
            self._count(scorer)
        popularity = self._order.popularity.astype(np.float64)
        by_genre = np.ascontiguousarray(scorer.genre_part(self._genres, popularity).T)
        base = scorer.base(popularity, np.zeros(len(popularity))).astype(np.float32)
        stale = self._stale[:, None] * np.float32(settings.stale_weight)
        lists = np.empty((len(self._chosen), LENGTH), np.int32)
        n_together = max(TOGETHER // len(base), 1)
        for start in range(0, len(lists), n_together):
            some = slice(start, min(start + n_together, len(lists)))
            scores = product(self._lifts[some], by_genre).astype(np.float32)
            scores += base
            if settings.stale_weight:
                scores += stale[some] * self._order.popularity
            scores[:, self._order.items] += self._chosen[some]
            seen = self._seen.of_users(some.start, some.stop)
            lists[some] = top_of_scores(scores, LENGTH, seen).items
        figures = user_figures(lists, self._liked)
        mean: Float64 = (figures.ndcg + figures.recall) / 2
        return mean


def choose_settings(
    order: Order, held: HeldOut, genres: Float64, limits: tuple[float, float], grid: Grid
) -> OrderChoice:
    """Choose the weights of an order's parts.

    Parameters
    ----------
    order
        Learnt from `held.train` with the weights that are begun with.
    held
        What lists are to find.
    genres
        Which genres items are of, float64, shape (items, genres).
    limits
        Of the rating scale.
    grid
        The values that are tried, by the weight's name.
    """
    # the second turn tries much of the first again
    judge = functools.cache(_Judge(order, held, genres, limits))
    settings = order.settings
    found = before = judge(settings)
    if not genres.shape[1]:
        grid = {name: values for name, values in grid.items() if not name.startswith("genre_")}
    for _ in range(TURNS):
        moved = False
        for name, values in grid.items():
            tried = [replace(settings, **{name: value}) for value in values]
            better = [
                (gain, one, figures)
                for one in tried
                if one != settings and (gain := _sure_gain(figures := judge(one), found)) > 0
            ]
            if better:
                _, settings, found = max(better, key=lambda each: each[0])
                moved = True
        if not moved:
            break
    return OrderChoice(settings, len(before), float(before.mean()), float(found.mean()))


def _sure_gain(figures: Float64, against: Float64) -> float:
    """Return the mean gain where it is more than `CERTAIN` standard errors, else 0."""
    gain = figures - against
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return float(gain.mean()) if gain.mean() > CERTAIN * error else 0.0
