"""Training ratings by date: blocks of a third side, read from ratings that lie by user.

Every date's are spread over all of the store, so that a block takes a pass over it. Blocks that stay in one
worker's memory are read several in a pass: whoever comes for the first leaves the others for who asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from daskals.store.reader import RatingsStore
from daskals.store.splits import opened_split
from daskals.store.timing import Timing, training_pieces
from daskals.store.weighing import Weighing
from daskals.types import Float32, Int32, Int64, RatingsBlock, UInt8

Bins: TypeAlias = tuple[int, int]
"""First and stop of a range of bins."""

TOGETHER_RATINGS = 8_000_000
"""Ratings of the blocks that are read in one pass at most."""

_MOST_PASSES = 2
"""Passes whose blocks may wait at once: a thread takes the last of one while another begins the next."""

_lock = Lock()
_waiting: dict[tuple[object, ...], dict[Bins, RatingsBlock]] = {}


def load_time_block(
    store_path: str,
    rows: Bins,
    split_key: str,
    timing: Timing,
    weighing: Weighing | None,
    together: tuple[Bins, ...] = (),
) -> RatingsBlock:
    """Read the training ratings of bins [start, stop), those of a bin by user, then by item.

    `indices` are users, `thirds` items.

    Parameters
    ----------
    store_path, rows
        Where the ratings are; range of bins.
    split_key, timing
        Which ratings train; all bins.
    weighing
        What ratings count; None where each counts once.
    together
        Ranges that this process is about to be asked for, in order, `rows` among them: read in one pass.
    """
    if len(together) < 2:
        return _read(store_path, (rows,), split_key, timing, weighing)[rows]
    key = (store_path, split_key, timing.unit, weighing, together)
    with _lock:
        if rows not in _waiting.get(key, {}):
            _waiting.pop(key, None)
            while len(_waiting) >= _MOST_PASSES:
                del _waiting[next(iter(_waiting))]
            _waiting[key] = _read(store_path, together, split_key, timing, weighing)
        found = _waiting[key].pop(rows)
        if not _waiting[key]:
            del _waiting[key]
        return found


class _Found(NamedTuple):
    """Ratings of some bins: bin, user, item, rating or code, and weight if they weigh, shape (ratings,)."""

    bins: Int32
    users: Int32
    items: Int32
    values: UInt8 | Float32
    weights: Float32


def _read(
    store_path: str, ranges: Sequence[Bins], split_key: str, timing: Timing, weighing: Weighing | None
) -> dict[Bins, RatingsBlock]:
    """Read several ranges of bins, ascending, in a pass over all ratings."""
    split = opened_split(store_path, split_key)
    store = split.ratings
    ends, wanted = store.indptr("user"), np.zeros(len(timing.bins), np.bool_)
    for start, stop in ranges:
        wanted[start:stop] = True
    pieces: list[_Found] = []
    for piece in training_pieces(split):
        bins = timing.rows_of(piece.seconds)
        here = np.flatnonzero(wanted[bins])
        if len(here):
            pieces.append(_found(store, weighing, ends, piece.places[here], bins[here]))
    columns: list[Any] = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    del pieces
    # bins are few: numbers of 16 bits are sorted without comparisons
    order = np.argsort(columns[0].astype(np.uint16), kind="stable")
    found = _Found(*(column[order] if len(column) else column for column in columns))
    return _blocks(found, ranges, timing, store, is_weighed=weighing is not None)


def _found(store: RatingsStore, weighing: Weighing | None, ends: Int64, places: Int64, bins: Int32) -> _Found:
    """Read the ratings at some places, ascending, of the users' order, whose bins are known."""
    first, last = int(places[0]), int(places[-1]) + 1
    within = places - first
    user, stop = (int(np.searchsorted(ends, place, side="right")) - 1 for place in (first, last - 1))
    cuts: Int64 = np.clip(ends[user : stop + 2], first, last).astype(np.int64)
    users = np.repeat(np.arange(user, stop + 1, dtype=np.int32), np.diff(cuts))
    weights = np.empty(0, np.float32)
    if weighing is not None:
        weights = weighing.read(store, "user", first, last)[within]
    items, values = (store.read_column("user", name, first, last)[within] for name in ("indices", "values"))
    return _Found(bins, users[within], items, values, weights)


def _blocks(
    found: _Found, ranges: Sequence[Bins], timing: Timing, store: RatingsStore, *, is_weighed: bool
) -> dict[Bins, RatingsBlock]:
    """Cut ratings, sorted by bin, into the blocks of ranges."""
    blocks, first = {}, 0
    for start, stop in ranges:
        indptr = np.zeros(stop - start + 1, np.int64)
        np.cumsum(timing.counts[start:stop], out=indptr[1:])
        here = slice(first, first + int(indptr[-1]))
        # of its own, so that what is laid aside or dropped leaves memory
        own = found.users[here].copy(), found.values[here].copy()
        weights = found.weights[here].copy() if is_weighed else None
        blocks[start, stop] = RatingsBlock(
            start, indptr, *own, store.scale, weights, found.items[here].copy()
        )
        first = here.stop
    return blocks


def read_together(ranges: Sequence[Bins], counts: Int64) -> list[tuple[Bins, ...]]:
    """Return for each range of bins, ascending, those that are read in one pass with it.

    Parameters
    ----------
    ranges
        Ranges of one worker that stay in its memory.
    counts
        Training ratings of each bin, shape (bins,).
    """
    sizes = [int(counts[start:stop].sum()) for start, stop in ranges]
    groups: list[list[Bins]] = []
    total = TOGETHER_RATINGS
    for own, size in zip(ranges, sizes, strict=True):
        if total + size > TOGETHER_RATINGS:
            groups.append([])
            total = 0
        groups[-1].append(own)
        total += size
    return list(itertools.chain.from_iterable([tuple(group)] * len(group) for group in groups))
