"""Prediction error (RMSE, MAE) of a fitted model over known ratings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from daskals.config import ReadAsConfig, ReadConfig
from daskals.errors import DataError
from daskals.ingest import RatingsSource, open_ratings
from daskals.kernels.scoring.score import NO_ERRORS, ErrorSums, score_block
from daskals.model.factors import FactorModel
from daskals.model.fitted import Model
from daskals.model.reading import read_as_trained
from daskals.model.stored_ratings import open_history, training_data
from daskals.model.times import TimeRows
from daskals.ratings.split import SplitSpec
from daskals.store.reader import RatingsStore
from daskals.store.splits import Split, ensure_split, load_block
from daskals.store.timing import part_seconds
from daskals.training.data.plan import plan_blocks
from daskals.training.scoring import ErrorFigures, error_figures
from daskals.types import TEST, TRAIN, VALIDATION, Float32, Int64, RatingsBlock


def part_figures(model: Model, store: RatingsStore, split: Split, part: int) -> ErrorFigures | None:
    """Score one part of the split a model was trained on, summed as training sums it: the same bits.

    Parameters
    ----------
    model
        A model whose rows are the store's.
    store, split
        The ratings, and which of them count to which part.
    part
        `types.TRAIN`, `VALIDATION` or `TEST`.

    Returns
    -------
    ErrorFigures or None
        None where the part is empty.
    """
    total: ErrorSums = NO_ERRORS
    score = None if model.times is not None or model.tells_otherwise else _score_by_products(model)
    for start, stop in plan_blocks(split.train_counts("user"), model.rank):
        block = load_block(str(store.path), "user", start, stop, split.key, part)
        if score is not None:
            total = total.plus(score(block))
            continue
        times = part_times(model, store, split, (start, stop), part)
        items = block.indices.astype(np.int64)
        total = total.plus(_error_sums(model, block.ratings, block.owners, items, times))
    return error_figures(total)


def _score_by_products(model: Model) -> Callable[[RatingsBlock], ErrorSums]:
    """Return what compares users' ratings with products of factors: of samples with their mean."""
    samples = model.samples
    if samples is None:
        rank, mean, items = model.rank, model.mean, model.item_rows
    else:
        rank, mean = samples.stacked_rank, samples.mean
        items = samples.stacked("item", np.arange(len(samples.items)))

    def score(block: RatingsBlock) -> ErrorSums:
        stop = block.start + block.n_rows
        if samples is None:
            users = model.user_rows[block.start : stop]
        else:
            users = samples.stacked("user", np.arange(block.start, stop))
        return score_block(block, users, items, rank=rank, mean=mean, limits=model.limits)

    return score


def part_times(
    model: FactorModel, store: RatingsStore, split: Split, rows: tuple[int, int], part: int
) -> Int64 | None:
    """Return the rows of the dates of one part's ratings of some users, int64, shape (ratings,).

    Parameters
    ----------
    model
        The model, whose rows are the store's; None is returned where it knows no dates.
    store, split
        The ratings, and which of them count to which part.
    rows, part
        Range of users; `types.TRAIN`, `VALIDATION` or `TEST`.
    """
    if model.times is None:
        return None
    return known_times(model.times, part_seconds(store, split, "user", rows, part))


def known_times(times: TimeRows, seconds: Int64) -> Int64:
    """Return the rows of times in seconds since 1970, shape (times,), before training as well."""
    return times.rows_at(times.numbers_of(seconds)).astype(np.int64)


def _error_sums(model: Model, ratings: Float32, users: Int64, items: Int64, times: Int64 | None) -> ErrorSums:
    """Compare ratings with the predictions of their pairs of rows, as of their times if given."""
    predicted = model.predict_rows(users, items, times)
    errors = ratings.astype(np.float64) - predicted
    clipped = ratings.astype(np.float64) - np.clip(predicted, *model.limits)
    return ErrorSums(
        len(ratings), float(np.sum(errors**2)), float(np.sum(clipped**2)), float(np.sum(np.abs(errors)))
    )


def evaluate(model: Model, data: RatingsSource | None, config: ReadConfig) -> dict[str, Any]:
    """Compare a model with ratings: its own by its own split, or all of another set's.

    Parameters
    ----------
    model
        The model.
    data
        Ratings in any form; None for the store the model was trained on.
    config
        How files are read.

    Raises
    ------
    DaskalsError
        If the ratings cannot be used, or the training store is gone.
    """
    section = training_data(model.report)
    with open_beside(model, data, config) as store:
        if store.content_hash == section["content_hash"]:
            return evaluate_split(model, store, ensure_split(store, SplitSpec(**section["split"])))
        return evaluate_ratings(model, store)


@contextmanager
def open_beside(model: Model, data: RatingsSource | None, config: ReadConfig) -> Iterator[RatingsStore]:
    """Open ratings that a model is compared with; None: the store it was trained on.

    Of a model of clicks rows without a rating are clicks. Where no columns are named and the usual ones are
    not there, the ratings are read as those that trained the model.
    """
    if data is None:
        yield training_store(training_data(model.report))
        return
    config = (
        config if model.predicts_ratings else ReadAsConfig.parse({**config.model_dump(), "model": "ials"})
    )
    with ExitStack() as stack:
        store = read_as_trained(
            model.report, config, lambda reading: stack.enter_context(open_ratings(data, reading))
        )
        yield store


def training_store(section: dict[str, Any]) -> RatingsStore:
    """Open the store a model was trained on, by its report's `data`.

    Raises StoreError where it is gone, holds other ratings by now, or is at an address that nobody named.
    """
    return open_history(section, "Name them with --data")


def evaluate_split(model: Model, store: RatingsStore, split: Split) -> dict[str, Any]:
    """Return the figures of all parts, under the names of `report.json`; no errors of a model of clicks."""
    if not model.predicts_ratings:
        return {"train_rmse": None, "validation_rmse": None, **test_figures(None), "n_test": split.n_test}
    train, validation, test = (part_figures(model, store, split, part) for part in (TRAIN, VALIDATION, TEST))
    return {
        "train_rmse": None if train is None else train.rmse,
        "validation_rmse": None if validation is None else validation.rmse,
        **test_figures(test),
    }


def test_figures(test: ErrorFigures | None) -> dict[str, Any]:
    """Name test figures as `report.json` does; null without a test part."""
    return {
        "n_test": 0 if test is None else test.n,
        "test_rmse": None if test is None else test.rmse,
        "test_rmse_clipped": None if test is None else test.rmse_clipped,
        "test_mae": None if test is None else test.mae,
    }


def evaluate_ratings(model: Model, store: RatingsStore) -> dict[str, Any]:
    """Score every rating of another store, matched to the model by original ids.

    Ratings of users or items that the model does not know are predicted from what is known of the pair,
    and counted apart as `n_unknown_user` and `n_unknown_item`.

    Raises
    ------
    DataError
        If no rating is of a user and an item that the model knows.
    """
    is_timed = model.times is not None and store.has_timestamps
    read = store.read("user", 0, store.n_users, ("timestamps",) if is_timed else ())
    block, times = read.block, None
    if model.times is not None and read.timestamps is not None:
        times = known_times(model.times, read.timestamps)
    ratings = block.ratings
    user_rows = model.rows_of("user", store.user_ids)[block.owners]
    item_rows = model.rows_of("item", store.item_ids)[block.indices]
    known = (user_rows >= 0) & (item_rows >= 0)
    if not known.any():
        raise DataError(
            "no rating is of a user and an item that the model knows",
            where=str(store.path),
            expected="ratings with the ids the model was trained on",
        )
    unknown = {
        "n_unknown_user": int(np.sum(user_rows < 0)),
        "n_unknown_item": int(np.sum(item_rows < 0)),
    }
    if not model.predicts_ratings:
        return {**unknown, **test_figures(None), "n_test": len(ratings)}
    return {
        **unknown,
        **test_figures(error_figures(_error_sums(model, ratings, user_rows, item_rows, times))),
    }
