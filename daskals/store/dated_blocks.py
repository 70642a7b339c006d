"""Training ratings by date: blocks of a third side, read from ratings that lie by user.

Every date's are spread over all of the store, so that a block takes a pass over it. Blocks that stay in one
worker's memory are read several in a pass: whoever comes for the first leaves the others for who asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple, Self, TypeAlias

import numpy as np

from daskals.store.reader import RatingsStore
from daskals.store.splits import opened_split
from daskals.store.timing import Timing, third_bytes, training_pieces
from daskals.store.weighing import Weighing
from daskals.types import Float32, Int32, Int64, RatingsBlock, UInt8, UInt16

Bins: TypeAlias = tuple[int, int]
"""First and stop of a range of bins."""

TOGETHER_RATINGS = 5_000_000
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


def _read(
    store_path: str, ranges: Sequence[Bins], split_key: str, timing: Timing, weighing: Weighing | None
) -> dict[Bins, RatingsBlock]:
    """Read several ranges of bins, ascending, in a pass over all ratings."""
    split = opened_split(store_path, split_key)
    store = split.ratings
    ends, wanted = store.indptr("user"), np.zeros(len(timing.bins), np.bool_)
    for start, stop in ranges:
        wanted[start:stop] = True
    found = _Ratings.empty(int(timing.counts[wanted].sum()), store, is_weighed=weighing is not None)
    n = 0
    for piece in training_pieces(split):
        bins = timing.rows_of(piece.seconds)
        here = np.flatnonzero(wanted[bins])
        if len(here):
            found.put(n, _at(store, weighing, ends, piece.places[here]), bins[here])
            n += len(here)
    # numbers of 16 bits are sorted without comparisons
    order = np.argsort(found.bins, kind="stable")
    blocks, first = {}, 0
    for start, stop in ranges:
        indptr = np.zeros(stop - start + 1, np.int64)
        np.cumsum(timing.counts[start:stop], out=indptr[1:])
        own = order[first : first + int(indptr[-1])]
        first += len(own)
        weights = None if weighing is None else found.weights[own]
        blocks[start, stop] = RatingsBlock(
            start, indptr, found.users[own], found.values[own], store.scale, weights, found.items[own]
        )
    return blocks


class _At(NamedTuple):
    """Users, items, ratings or their codes, and weights, of ratings at some places, shape (places,)."""

    users: Int32
    items: Int32
    values: UInt8 | Float32
    weights: Float32 | None


class _Ratings(NamedTuple):
    """Ratings as they are found, with their bins, of which there are at most `MOST_BINS`, (ratings,)."""

    bins: UInt16
    users: Int32
    items: Int32 | UInt16
    values: UInt8 | Float32
    weights: Float32

    @classmethod
    def empty(cls, n: int, store: RatingsStore, *, is_weighed: bool) -> Self:
        """Make room for n ratings."""
        values = np.empty(n, np.uint8) if len(store.scale) else np.empty(n, np.float32)
        users = np.empty(n, np.int32)
        items = np.empty(n, np.uint16) if third_bytes(store.n_items) == 2 else np.empty(n, np.int32)
        return cls(np.empty(n, np.uint16), users, items, values, np.empty(n if is_weighed else 0, np.float32))

    def put(self, start: int, found: _At, bins: Int32) -> None:
        """Put some in, from place `start` on."""
        here = slice(start, start + len(bins))
        self.bins[here], self.users[here], self.items[here] = bins, found.users, found.items
        self.values[here] = found.values
        if found.weights is not None:
            self.weights[here] = found.weights


def _at(store: RatingsStore, weighing: Weighing | None, ends: Int64, places: Int64) -> _At:
    """Read the ratings at some places, ascending, of the users' order."""
    first, last = int(places[0]), int(places[-1]) + 1
    within = places - first
    user, stop = (int(np.searchsorted(ends, place, side="right")) - 1 for place in (first, last - 1))
    cuts: Int64 = np.clip(ends[user : stop + 2], first, last).astype(np.int64)
    users = np.repeat(np.arange(user, stop + 1, dtype=np.int32), np.diff(cuts))[within]
    items, values = (store.read_column("user", name, first, last)[within] for name in ("indices", "values"))
    weights = None if weighing is None else weighing.read(store, "user", first, last)[within]
    return _At(users, items, values, weights)


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
