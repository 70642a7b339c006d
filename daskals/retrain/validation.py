"""Validation of incoming ratings: compared with those known and with what the champion expects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from daskals.model.fitted import Model
from daskals.retrain.config import RetrainConfig
from daskals.retrain.new_ratings import Incoming
from daskals.retrain.night import Check, at_least, at_most
from daskals.store.reader import RatingsStore
from daskals.types import Float32, Float64, Int64

FEWEST_COMPARED = 200
"""New ratings of known items below which their agreement with the champion says nothing."""


@dataclass(frozen=True)
class Known:
    """What the night knew before: the store, its champion, if any, and how often it has each rating.

    `scale` are the distinct ratings, ascending, and `counts` how many there are of each, shape (ratings,).
    """

    store: RatingsStore
    scale: Float32
    counts: Float64
    champion: Model | None

    @property
    def mean(self) -> float:
        """Mean rating."""
        return float(self.scale @ self.counts / self.counts.sum())

    @property
    def deviation(self) -> float:
        """Standard deviation of the ratings."""
        return float(np.sqrt(np.square(self.scale - self.mean) @ self.counts / self.counts.sum()))


def validate(
    config: RetrainConfig, incoming: Incoming, store: RatingsStore | None, champion: Model | None
) -> list[Check]:
    """Look at incoming ratings file by file, and tell of each check how the worst file did."""
    table = incoming.table
    dropped = sum(table.dropped.values()) / table.n_input
    checks = [
        at_least("new ratings", float(incoming.n_new), config.min_new_ratings, "too few"),
        at_most("share of bad rows", dropped, config.max_dropped_share, "too many rows are unusable"),
    ]
    if table.n_later:
        why = f"the first is {table.first_later}; the next night reads them again"
        left_out = float(table.n_later)
        checks.append(
            Check(name="rows left out as later", value=left_out, limit=None, passed=True, reason=why)
        )
    if store is None or not incoming.n_new:
        return checks
    known = Known(store, *_histogram(store), champion)
    groups = incoming.groups(FEWEST_COMPARED)
    compare = _compare if config.model != "ials" else _compare_ids
    found = [list(compare(config, incoming, places, known)) for _, places in groups]
    for versions in zip(*found, strict=True):
        number = max(range(len(groups)), key=lambda one: _badness(versions[one]))
        checks.append(versions[number].of(groups[number][0]))
    return checks


def _badness(check: Check) -> float:
    """Return how far a check is past its limit; the worst of many is the one that is told."""
    if check.value is None or check.limit is None:
        return -np.inf
    return check.limit - check.value if check.at_least else check.value - check.limit


def _compare(config: RetrainConfig, incoming: Incoming, places: Int64, known: Known) -> Iterator[Check]:
    """Compare some of the new ratings with those known."""
    table = incoming.table
    values = table.values[places].astype(np.float64)
    low, high = known.scale[0], known.scale[-1]
    yield at_most(
        "share off the scale",
        float(np.mean((values < low) | (values > high))),
        config.max_off_scale,
        f"ratings outside {low:g} to {high:g}: another scale?",
    )
    chance = 3 * known.deviation / float(np.sqrt(len(values)))
    yield at_most(
        "drift of the mean",
        abs(float(values.mean()) - known.mean),
        config.max_mean_drift + chance,
        f"the mean is {values.mean():.3f} after {known.mean:.3f}",
    )
    yield at_most(
        "drift of the histogram",
        _distance(values, known.scale, known.counts),
        config.max_histogram_drift + chance,
        "the ratings are spread otherwise",
    )
    yield from _compare_ids(config, incoming, places, known)
    if known.champion is not None:
        yield _agreement(config, known.champion, *_ids_of(incoming, places), values)


def _ids_of(incoming: Incoming, places: Int64) -> tuple[pa.Array, pa.Array]:
    """Return the users and the items of some of the new ratings, both of their length."""
    table = incoming.table
    users, items = pa.array(table.users[places]), pa.array(table.items[places])
    return table.user_ids.take(users), table.item_ids.take(items)


def _compare_ids(config: RetrainConfig, incoming: Incoming, places: Int64, known: Known) -> Iterator[Check]:
    """Compare who and what the new ratings are of: all there is of clicks, whose counts are no scale."""
    users, items = _ids_of(incoming, places)
    strangers = _share_unknown(users, known.store.user_ids)
    yield at_most("share by new users", strangers, config.max_new_users, "the users are not those known")
    novelties = _share_unknown(items, known.store.item_ids)
    yield at_most("share of new items", novelties, config.max_new_items, "the items are not those known")


def _agreement(
    config: RetrainConfig, champion: Model, user_ids: pa.Array, item_ids: pa.Array, values: Float64
) -> Check:
    """Correlate what the champion expects with the ratings, both less each user's mean.

    How generous a person is must not count: it agrees even where the items are another system's.
    """
    name = "agreement with the champion"
    predicted = champion.predict(
        _as_type(user_ids, champion.user_ids.type), _as_type(item_ids, champion.item_ids.type)
    )
    known = predicted.known_item
    users = np.asarray(user_ids.dictionary_encode().indices)[known]
    expected = _less_means(predicted.rating[known].astype(np.float64), users)
    found = _less_means(values[known], users)
    if len(users) < FEWEST_COMPARED or np.ptp(expected) == 0 or np.ptp(found) == 0:
        return Check(name=name, value=None, limit=config.min_agreement, passed=True, at_least=True)
    agreement = float(np.corrcoef(expected, found)[0, 1])
    reason = "the ratings have nothing to do with their items: shuffled, or foreign ids?"
    return at_least(name, agreement, config.min_agreement, reason)


def _less_means(values: Float64, groups: Int64) -> Float64:
    sizes = np.maximum(1, np.bincount(groups))
    return values - (np.bincount(groups, values) / sizes)[groups]


def _as_type(ids: pa.Array, kind: pa.DataType) -> pa.Array:
    return ids if ids.type == kind else ids.cast(kind)


def _histogram(store: RatingsStore) -> tuple[Float32, Float64]:
    values = store.read_column("user", "values", 0, store.n_ratings)
    if len(store.scale):
        return store.scale, np.bincount(values, minlength=len(store.scale)).astype(np.float64)
    known, counts = np.unique(values, return_counts=True)
    return known, counts.astype(np.float64)


def _distance(values: Float64, known: Float32, counts: Float64) -> float:
    """Return the area between two cumulative histograms (Wasserstein's distance), in rating points."""
    grid = np.union1d(values, known.astype(np.float64))
    left = np.searchsorted(np.sort(values), grid, side="right") / len(values)
    shares = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    right = shares[np.searchsorted(known.astype(np.float64), grid, side="right")]
    return float(np.sum(np.abs(left - right)[:-1] * np.diff(grid)))


def _share_unknown(ids: pa.Array, known: pa.Array) -> float:
    found = pc.is_in(_as_type(ids, known.type), value_set=known)
    return 1.0 - float(np.mean(found.to_numpy(zero_copy_only=False)))
