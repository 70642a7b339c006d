"""How genres and titles move in time: where predictions of them stand among those of all items.

With r̂ = μ + b_u + b_i + b_t + p_u·q_i + p_u·d_t + q_i·d_t an item's factors at a date are q_i + d_t and what
they come with b_i + b_t + q_i·d_t. The factors of all items are shifted by the same d_t: a map of them would
move as a whole, and show nothing. What moves is what is predicted. Over all users with training ratings, each
counted once, the mean prediction of an item at a date, less the mean of that over all items by their training
ratings, is

    x_i(t) = (b_i − b̄) + (p̄ + d_t)·(q_i − q̄)

with p̄ the users' mean factors, b̄ and q̄ the items' means by their training ratings: μ, b_u, b_t and p_u·d_t
are the same for all items. A genre's place is the mean of its items' by training ratings, a stretch of time's
the mean of its dates' by training ratings; both are linear in q and d, so that in each sample of the
posterior they follow from means of q and d, and what is told is the samples' mean and standard deviation.
Where training saw ratings through a curve, or cut off, places are of what it saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from daskals.analysis.missing import Numbers, missing
from daskals.analysis.periods import first_days
from daskals.analysis.projection import genre_matrix
from daskals.analysis.separation import MIN_GENRE_ITEMS, NO_GENRES
from daskals.errors import ConfigError
from daskals.model.fitted import Model
from daskals.store.timing import Timing
from daskals.types import Float64, Int64

STRETCHES = 24
"""Of time, of about equally many training ratings: each is known about as well as the next."""

TITLES = 12
"""The most rated ones are shown unless some are named."""


class Drawn(NamedTuple):
    """Factors of one sample of a model, or of the model itself where it has no samples.

    `users`: p̄, float64, shape (rank,); `items`: [factors, bias], shape (items, rank + 1); `times`: what items
    are multiplied with by date, shape (dates, rank).
    """

    users: Float64
    items: Float64
    times: Float64


class Group(NamedTuple):
    """What moves: its name, its training ratings, and what each item counts in it, float64, (items,)."""

    name: str
    n_ratings: int
    weights: Float64


def describe_movement(model: Model, named: Sequence[int] = ()) -> Numbers:
    """Return how genres and titles move, ready for JSON.

    Parameters
    ----------
    model
        A model with a third side of time.
    named
        Rows of the titles that are shown; the most rated ones without any.

    Returns
    -------
    Numbers
        `stretches`: the first days that each begins and ends with, and its `n_ratings`; `spread`: by how much
        an item's place differs from date to date, as `_spread` has it; `genres` and
        `titles` have `moved`: for each its `name`, `n_ratings` and `level`, its mean place; its `moves` from
        there by stretch and their `deviations`; its `rise` from the first to the latest third of the training
        ratings and the `rise_deviation`. Deviations are None of a model without samples.

    Raises
    ------
    ConfigError
        If the model knows no dates.
    """
    if model.times is None:
        raise ConfigError(
            "the model knows no dates",
            where="--over-time",
            expected="a model with a third side of time",
            remedy="Train one with --model=bayes --time-bins=day, or leave --over-time out",
        )
    timing = model.times.timing
    genres, titles = _genres(model), _titles(model, named)
    stretches = _stretches(timing)
    groups, parts = [*genres, *titles], [*stretches, *_ends(timing), np.arange(len(timing.bins))]
    found = _places(model, groups, parts)
    moved = [_told(group, found[:, place]) for place, group in enumerate(groups)]
    return {
        "unit": timing.unit,
        "stretches": [_stretch(timing, part) for part in stretches],
        "spread": _spread(model),
        "genres": {"moved": moved[: len(genres)]} if genres else missing(NO_GENRES),
        "titles": {"moved": moved[len(genres) :]},
    }


def _places(model: Model, groups: Sequence[Group], parts: Sequence[Int64]) -> Float64:
    """Return x of groups in parts of the dates, float64, shape (samples, groups, parts)."""
    assert model.times is not None, "a model with dates"
    shares = np.stack([group.weights / group.weights.sum() for group in groups])
    everything = model.item_counts / model.item_counts.sum()
    by_part = _shares_of(parts, model.times.timing)
    found = []
    for number in range(_n_samples(model)):
        drawn = _sample(model, number)
        apart = shares @ drawn.items - everything @ drawn.items
        found.append(apart[:, -1:] + apart[:, :-1] @ (drawn.users + by_part @ drawn.times).T)
    return np.stack(found)


def _shares_of(parts: Sequence[Int64], timing: Timing) -> Float64:
    """Return what each date counts in each part, float64, shape (parts, dates)."""
    shares = np.zeros((len(parts), len(timing.bins)))
    for row, part in zip(shares, parts, strict=True):
        row[part] = timing.counts[part] / timing.counts[part].sum()
    return shares


def _n_samples(model: Model) -> int:
    return 1 if model.samples is None else model.samples.n_samples


def _sample(model: Model, number: int) -> Drawn:
    """Return one sample; from whichever date they are measured, places are the same."""
    assert model.times is not None, "a model with dates"
    rated, samples, n = model.user_counts > 0, model.samples, len(model.times.timing.bins)
    if samples is None:
        return Drawn(
            model.user_factors[rated].mean(axis=0, dtype=np.float64),
            np.column_stack([model.item_factors, model.item_biases]).astype(np.float64),
            model.times.as_seen_by("user").multiplied[:n].astype(np.float64),
        )
    assert samples.times is not None, "its samples have dates"
    return Drawn(
        samples.users[rated, number, :-1].mean(axis=0, dtype=np.float64),
        samples.items[:, number].astype(np.float64),
        samples.times[:n, number, :-1].astype(np.float64),
    )


def _spread(model: Model) -> Numbers:
    """Return √ of the mean of ((q_i − q̄)·(d_t − d̄))² over training ratings of items and of dates.

    In a sample that is a trace of two covariances, and so is the product of what two samples say. `drawn` is
    the mean over samples, what they are unsure of included; `agreed` that over pairs of samples half a chain
    apart, what they have in common; None without samples.
    """
    half = _n_samples(model) // 2
    return {"drawn": _common(model, 0), "agreed": _common(model, half) if half else None}


def _common(model: Model, apart: int) -> float:
    """Return √ of the mean product of what samples so far apart say, at least 0."""
    assert model.times is not None, "a model with dates"
    total, n_pairs = 0.0, _n_samples(model) - apart
    for number in range(n_pairs):
        one, other = _sample(model, number), _sample(model, number + apart)
        of_items = _covariance(one.items[:, :-1], other.items[:, :-1], model.item_counts)
        of_times = _covariance(one.times, other.times, model.times.timing.counts)
        total += float(np.sum(of_items * of_times))
    return math.sqrt(max(total / n_pairs, 0.0))


def _covariance(rows: Float64, others: Float64, counts: Int64) -> Float64:
    shares = counts / counts.sum()
    return np.asarray(((rows - shares @ rows) * shares[:, None]).T @ (others - shares @ others))


def _genres(model: Model) -> list[Group]:
    """Return the genres with items enough, the most rated first."""
    matrix, names = genre_matrix(model, np.arange(len(model.item_ids)))
    rated = model.item_counts > 0
    weights = matrix.T * model.item_counts
    groups = [
        Group(name, int(own.sum()), own)
        for name, own, n_items in zip(names, weights, matrix[rated].sum(axis=0), strict=True)
        if n_items >= MIN_GENRE_ITEMS
    ]
    return sorted(groups, key=lambda group: -group.n_ratings)


def _titles(model: Model, named: Sequence[int]) -> list[Group]:
    """Return items, each a group of its own."""
    rows = list(named) or np.argsort(-model.item_counts, kind="stable")[:TITLES].tolist()
    ones = np.zeros((len(rows), len(model.item_ids)))
    ones[np.arange(len(rows)), rows] = 1.0
    counts = model.item_counts[rows].tolist()
    return [Group(model.item_name(row), *both) for row, *both in zip(rows, counts, ones, strict=True)]


def _stretches(timing: Timing) -> list[Int64]:
    """Cut the dates into stretches of about equally many training ratings; return the dates of each."""
    middles = np.cumsum(timing.counts) - timing.counts / 2.0
    numbers = (STRETCHES * middles / timing.counts.sum()).astype(np.int64)
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]


def _ends(timing: Timing) -> tuple[Int64, Int64]:
    """Return the dates of the first and of the latest third of the training ratings."""
    so_far, third = np.cumsum(timing.counts), timing.counts.sum() / 3.0
    return np.flatnonzero(so_far - timing.counts < third), np.flatnonzero(so_far[-1] - so_far < third)


def _stretch(timing: Timing, part: Int64) -> Numbers:
    first, last = first_days(timing.bins[part[[0, -1]]], timing.unit)
    return {"first": first, "last": last, "n_ratings": int(timing.counts[part].sum())}


def _told(group: Group, drawn: Float64) -> Numbers:
    """Tell of a group's places in stretches, first and latest third, and all of time, (samples, parts)."""
    *_, first, latest, level = drawn.T
    moves, rises = drawn[:, :-3] - level[:, None], latest - first
    is_sampled = len(drawn) > 1
    return {
        "name": group.name,
        "n_ratings": group.n_ratings,
        "level": float(level.mean()),
        "moves": moves.mean(axis=0).tolist(),
        "deviations": moves.std(axis=0, ddof=1).tolist() if is_sampled else None,
        "rise": float(rises.mean()),
        "rise_deviation": float(rises.std(ddof=1)) if is_sampled else None,
    }
