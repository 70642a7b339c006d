"""Learning the order of a model's lists from its training ratings: the closed form, where it fits.

Interactions are 1 for liked ratings and ½ for others; Z stacks the users' rows and, weighed, the genres'.
A rating that weighs w counts √w there: a user all of whose ratings weigh 2 is two users.
B minimises ‖Z − ZB‖² + λ‖B‖² with a diagonal of zeros: B_ji = −P_ji/P_ii, P = (ZᵀZ + λ)⁻¹. Where there are
fewer users and genres than items, P = (1 − AᵀA)/λ with A = L⁻¹Z, LLᵀ = ZZᵀ + λ, and A is kept instead.
Sums of interactions go user by user, and dense systems are solved by `kernels.toolkit.dense`: the same bits
on any number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import scipy.sparse

from daskals.cluster.connect import available_cores
from daskals.config import TrainConfig
from daskals.fitting.list_times import ListTimes, list_times
from daskals.fitting.order_choice import (
    GRID,
    MOST_RATINGS,
    OWN_HALF_LIVES,
    Grid,
    OrderChoice,
    choose_settings,
    hold_out,
)
from daskals.fitting.order_data import OrderData, gather_interactions, read_training_block
from daskals.fitting.recency import (
    GENRE_WEIGHT,
    POPULARITY_WEIGHT,
    STALE_WEIGHT,
    UNLIKED,
    popularity_of,
    recent_popularity,
)
from daskals.kernels.toolkit.dense import backward, cholesky, forward
from daskals.kernels.toolkit.sparse_products import column_products
from daskals.model.fitted import Model
from daskals.model.order.ages import ages_of, moments_of
from daskals.model.order.companions import Companions, find_companions
from daskals.model.order.learnt import Order, OrderSettings, interactions
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split
from daskals.store.timing import mean_seconds, means_of_rows
from daskals.types import Float32, Float64, Int64, RatingsBlock

LEAST_RATINGS = 5
"""Training ratings of an item that is regressed on others; rarer ones have the other parts of the order."""

MOST_ITEMS = 20_000
LEAST_WORK = 2e10
"""Multiplications that are spent on any order: some seconds."""

SLOWNESS = 10.0
"""What a multiplication of a dense system costs beside one of a half-step, as measured at 32 M ratings."""

COLUMNS = 128
"""Columns that are solved at a time, so that they stay in the cache."""


def learn_order(
    data: OrderData,
    settings: OrderSettings,
    work: float,
    *,
    with_companions: bool = True,
    when: Int64 | None = None,
) -> Order:
    """Learn an order.

    Parameters
    ----------
    data
        What from.
    settings
        Weights of its parts.
    work
        Multiplications that may be spent; the most rated items are regressed on one another, as many as fit.
    with_companions
        Whether items' companions are found too, which lists of similar items need and other lists do not.
    when
        About when each user rated, int64, shape (users,), for companions; None if unknown.
    """
    items, threads = choose_items(data, max(work / SLOWNESS, LEAST_WORK)), available_cores()
    popularity = data.popularity
    if popularity is None:
        popularity = popularity_of(data.x, data.weights)
    x = data.weighed[:, items]
    per_genre = np.maximum(data.genres.sum(axis=0), 1.0)
    by_genre = (data.genres[items] * (settings.genre_rows / np.sqrt(per_genre))).T
    if is_dual(data, len(items)):
        products, scale = _by_users(x, by_genre, settings.ridge, threads)
        variances = np.empty(0, np.float32)
    else:
        products, variances = _by_items(x, by_genre, settings.ridge, threads)
        scale = np.empty(0, np.float32)
    companions = Companions.none()
    if with_companions:
        # what goes with what does not hang on what lists are for
        if settings.unliked < OrderSettings.unliked:
            x = data.counting(OrderSettings.unliked).weighed[:, items]
        companions = find_companions(x, items, threads, people=data.people, when=when)
    return Order(settings, items, products, scale, popularity.astype(np.float32), variances, companions)


def is_dual(data: OrderData, n_items: int) -> bool:
    """Tell whether users and genres are fewer than the items to regress on one another."""
    return bool(data.x.shape[0] + data.genres.shape[1] < n_items)


def choose_items(data: OrderData, work: float) -> Int64:
    """Return the rows of the items to regress on one another, int64, shape (core,), ascending.

    Those with `LEAST_RATINGS`; if their products take more than `work` multiplications, the most rated.
    """
    n_items = min(int(np.count_nonzero(data.counts >= LEAST_RATINGS)), MOST_ITEMS)
    rows = data.x.shape[0] + data.genres.shape[1]
    fitting = max(int((2.0 * work) ** (1 / 3)), int(2.0 * work / rows**2) if rows**3 < 6.0 * work else 0)
    chosen = np.argsort(-data.counts, kind="stable")[: min(n_items, fitting)]
    return np.sort(chosen).astype(np.int64)


def _by_users(
    x: scipy.sparse.csr_array, by_genre: Float64, ridge: float, threads: int
) -> tuple[Float32, Float32]:
    """Return A, float32, shape (users + genres, items), and its scale, shape (items,)."""
    n_users, n_items = x.shape
    gram = np.zeros((n_users + len(by_genre),) * 2)
    gram[:n_users, :n_users] = column_products(x.T.tocsr(), threads)  # below the diagonal, where it is read
    gram[n_users:, :n_users] = (x @ by_genre.T).T
    gram[n_users:, n_users:] = (by_genre[:, None, :] * by_genre[None, :, :]).sum(axis=2)
    gram[np.diag_indices(len(gram))] += ridge
    factor = cholesky(gram, "the users' products", threads)
    products = np.empty((len(gram), n_items), np.float32)
    scale = np.empty(n_items, np.float32)
    columns = x.tocsc()

    def solve(start: int) -> None:
        some = slice(start, min(start + COLUMNS, n_items))
        solved = forward(factor, np.vstack([columns[:, some].toarray(), by_genre[:, some]]))
        products[:, some] = solved
        scale[some] = 1.0 / (1.0 - (solved**2).sum(axis=0))

    _for_columns(solve, n_items, threads)
    return products, scale


def _by_items(
    x: scipy.sparse.csr_array, by_genre: Float64, ridge: float, threads: int
) -> tuple[Float32, Float32]:
    """Return B, float32, shape (items, items), and the diagonal of P, shape (items,)."""
    n_items = x.shape[1]
    gram = column_products(x, threads)
    for row in by_genre:
        here = np.flatnonzero(row)
        gram[np.ix_(here, here)] += np.outer(row[here], row[here])
    gram[np.diag_indices(n_items)] += ridge
    factor = cholesky(gram, "the items' products", threads)
    del gram
    products = np.empty((n_items, n_items), np.float32)
    variances = np.empty(n_items)

    def invert(start: int) -> None:
        # rows above are known from the columns before: P is symmetric
        stop = min(start + COLUMNS, n_items)
        lower = np.ascontiguousarray(factor[start:, start:])
        inverse = backward(lower, forward(lower, np.eye(n_items - start, stop - start)))
        variances[start:stop] = np.diag(inverse)
        products[start:, start:stop] = inverse
        products[start:stop, start:] = inverse.T

    _for_columns(invert, n_items, threads)
    products /= -variances.astype(np.float32)
    products[np.diag_indices(n_items)] = 0.0
    return products, variances.astype(np.float32)


def _liked(model: Model, block: RatingsBlock) -> Float32:
    """Return 1 for each rating that is liked, else 0, shape (ratings,); of clicks all are."""
    if not model.predicts_ratings:
        return np.ones(len(block.indices), np.float32)
    return interactions(block.ratings, model.limits, 0.0)


def _for_columns(solve: Callable[[int], None], n_columns: int, threads: int) -> None:
    """Call with the first of each `COLUMNS`, on some threads; none waits for another's."""
    with ThreadPoolExecutor(threads) as pool:
        for solved in [pool.submit(solve, start) for start in range(0, n_columns, COLUMNS)]:
            solved.result()


def add_order(model: Model, store: RatingsStore, split: Split, config: TrainConfig) -> Model:
    """Return a trained model with the order of its lists, and the report's section `order`.

    What may be spent is counted in multiplications, not seconds, so that nothing depends on the machine:
    about as many as the training took.
    """
    if config.order == "rating":
        return replace(model, report={**model.report, "order": {"by": "rating"}})
    started = time.perf_counter()
    passes = config.sweeps if config.model == "bayes" else len(model.report["history"])
    work = 2.0 * passes * split.n_train * (model.rank + 2) ** 2
    block = read_training_block(model, store, split, config)
    times = list_times(store, split, model.report["data"]["split"]["method"], config)
    settings = first_settings(times, of_ratings=model.predicts_ratings)
    genres, limits = model.genre_matrix, model.limits

    def gather(known: RatingsBlock, when: Int64 | None) -> OrderData:
        data = gather_interactions(known, store.n_items, genres, limits, settings.unliked)
        if when is None or not times.popularity_half_life:
            return data
        recent = recent_popularity(
            data.x, when, times.popularity_half_life, data.weights, by_visits=model.predicts_ratings
        )
        return data._replace(popularity=recent)

    choice, held, grid = OrderChoice(settings, 0), None, _grid(config, times)
    if grid:
        held = hold_out(block, _liked(model, block), store.n_items, config.seed, times)
    if held is not None:
        enough = work * min(MOST_RATINGS / len(block.indices), 1.0)
        apart = learn_order(gather(held.train, held.seconds), settings, enough, with_companions=False)
        choice = choose_settings(apart, held, genres, limits, grid)
    settings = choice.settings
    data = gather(block, times.seconds)
    order = learn_order(data, settings, work, when=_when_users_rated(store, split, times, block))
    section = {
        "by": "affinity",
        **asdict(settings),
        "popularity_half_life": times.popularity_half_life,
        "choice": choice.section(),
        "items": len(order.items),
        "items_that_could": int(np.count_nonzero(data.counts >= LEAST_RATINGS)),
        "form": "factors" if len(order.scale) else "products",
        "bytes": order.n_bytes,
        "seconds": time.perf_counter() - started,
    }
    model = replace(model, report={**model.report, "order": section})
    if times.seconds is None or not settings.own_half_life:
        return replace(model, order=order)
    order = replace(order, moments=moments_of(times.seconds))
    kept = model.kept
    if kept is not None:
        kept = replace(kept, ages=ages_of(times.seconds, order.moments))
    return replace(model, order=order, kept=kept)


def first_settings(times: ListTimes, *, of_ratings: bool) -> OrderSettings:
    """Return the weights that are begun with, of ratings or of clicks, for lists as `times` has them."""
    settings = OrderSettings() if of_ratings else OrderSettings.of_clicks()
    settings = replace(settings, own_half_life=times.own_half_life)
    if of_ratings and times.popularity_half_life:
        settings = replace(settings, unliked=UNLIKED, genre_weight=GENRE_WEIGHT)
    if times.popularity_half_life and times.own_half_life:
        return replace(settings, stale_weight=STALE_WEIGHT)
    if times.popularity_half_life:
        return replace(settings, popularity_weight=POPULARITY_WEIGHT)
    return settings


def _when_users_rated(
    store: RatingsStore, split: Split, times: ListTimes, block: RatingsBlock
) -> Int64 | None:
    """Return about when each user rated, shape (users,), read where `times` do not tell; None if unknown."""
    if times.seconds is not None:
        return means_of_rows(times.seconds, block.indptr)
    return mean_seconds(split) if store.has_timestamps else None


def _grid(config: TrainConfig, times: ListTimes) -> Grid:
    """Return the weights to choose, and the values they are tried at."""
    grid = dict(GRID) if config.choose_order else {}
    if times.kind != "any" and config.own_half_life is None:
        grid |= OWN_HALF_LIVES
    return grid
