"""Best items of each user: scored and selected in tiles, never a row of scores, never a whole sort."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskals.errors import ConfigError, DataError
from daskals.kernels.scoring.best import offer, sort_heap
from daskals.kernels.scoring.score_tiles import SHAPE, lowest_bit, score_tile
from daskals.kernels.toolkit.jit import jit
from daskals.types import Float32, Int32, Int64, UInt64

USERS, WIDTH = SHAPE.users, SHAPE.width

BLOCK_GROUPS = 8
"""Groups of users that share a stretch of items while it is in the nearest cache."""

TOGETHER = BLOCK_GROUPS * USERS
"""Users that are best scored in one call: as many as read the items together."""

CHUNK_BYTES = 256 * 1024
"""Size of such a stretch."""

NOTHING = -1


class ItemPanels(NamedTuple):
    """Items as the kernel reads them.

    Attributes
    ----------
    panels
        float32, shape (n_panels, rank + 1, WIDTH): in each panel first the items' offsets, then their
        factors, the item being the last axis. Places behind the last item have offset −∞.
    rows
        int32, shape (kept,): row of the item at each place, ascending.
    places
        int32, shape (items,): place of each item, −1 where it was left out.
    """

    panels: Float32
    rows: Int32
    places: Int32

    @property
    def rank(self) -> int:
        """Number of factors."""
        return int(self.panels.shape[1]) - 1


class TopItems(NamedTuple):
    """The best items of some users, best first; equal scores are ordered by the item's row.

    `items`: int32, shape (users, n): rows of the items, −1 where a user has fewer than n; `scores`: float32,
    shape (users, n): their scores, −∞ where a user has fewer than n.
    """

    items: Int32
    scores: Float32


class SeenItems(NamedTuple):
    """Items each user must not be given: those of user u are indices[indptr[u]:indptr[u + 1]].

    `indptr`: int64, shape (users + 1,), starting at 0; `indices`: int32: item rows, in any order.
    """

    indptr: Int64
    indices: Int32

    def of_users(self, first: int, last: int) -> SeenItems:
        """Return the items of users first, …, last − 1."""
        start, stop = self.indptr[first], self.indptr[last]
        return SeenItems(self.indptr[first : last + 1] - start, self.indices[start:stop])


def pack_items(factors: Float32, offsets: Float32, allowed: NDArray[np.bool_] | None = None) -> ItemPanels:
    """Lay items out for scoring: factors, float32, shape (items, rank), and offsets, shape (items,).

    An offset is what an item scores with everyone, its weighted bias; only items that are `allowed`, bool,
    shape (items,), are ever recommended. Raises DataError if a factor or an offset is not finite, or shapes
    do not fit.
    """
    n_items, rank = factors.shape
    if offsets.shape != (n_items,) or (allowed is not None and allowed.shape != (n_items,)):
        raise DataError(
            f"{n_items} items, offsets of shape {offsets.shape} and a filter of shape"
            f" {None if allowed is None else allowed.shape}",
            expected="one offset and one filter entry for each item",
        )
    if not (np.isfinite(factors).all() and np.isfinite(offsets).all()):
        raise DataError("item factors or biases are not finite", expected="finite numbers")
    rows = np.arange(n_items, dtype=np.int32) if allowed is None else np.flatnonzero(allowed).astype(np.int32)
    places = np.full(n_items, NOTHING, np.int32)
    places[rows] = np.arange(len(rows), dtype=np.int32)
    n_panels = -(-len(rows) // WIDTH)
    padded = np.zeros((n_panels * WIDTH, rank + 1), np.float32)
    padded[: len(rows), 0] = offsets[rows]
    padded[len(rows) :, 0] = -np.inf
    padded[: len(rows), 1:] = factors[rows]
    panels = np.ascontiguousarray(padded.reshape(n_panels, WIDTH, rank + 1).transpose(0, 2, 1))
    return ItemPanels(panels, rows, places)


@jit
def _mark_seen(seen: UInt64, places: Int32) -> None:
    for place in places:
        if place >= 0:
            seen[place // WIDTH] |= np.uint64(1) << np.uint64(place % WIDTH)


@jit
def _unmark_seen(seen: UInt64, places: Int32) -> None:
    for place in places:
        if place >= 0:
            seen[place // WIDTH] = np.uint64(0)


@jit
def _offer_all(
    scores: Float32, mask: np.uint64, first: int, best_scores: Float32, best_items: Int32, size: int
) -> int:
    """Offer a user the items of a panel that a mask names, the panel's first item being `first`."""
    while mask != np.uint64(0):
        item = lowest_bit(mask)
        mask &= mask - np.uint64(1)
        size = offer(best_scores, best_items, size, scores[item], first + item)
    return size


class _Block(NamedTuple):
    """What the kernel keeps of the users at hand, a row each: seen items as bits, thresholds, heap sizes."""

    seen: UInt64
    thresholds: Float32
    sizes: Int64


class _Stretch(NamedTuple):
    """Panels start, …, stop − 1 of all, flat."""

    panels: Float32
    rank: int
    start: int
    stop: int


class _Group(NamedTuple):
    """A group of users: flat factors of all, where the group's begin, and its first row in the block."""

    factors: Float32
    place: int
    base: int


@jit
def _select_group(
    items: _Stretch, users: _Group, block: _Block, best_scores: Float32, best_items: Int32
) -> None:
    """Let one group of users meet a stretch of panels."""
    panels, rank, start, stop = items
    factors, place, base = users
    scores = np.empty(USERS * WIDTH, np.float32)
    masks = np.zeros(USERS, np.uint64)
    for panel in range(start, stop):
        offset = panel * (rank + 1) * WIDTH
        hits = score_tile(panels, offset, factors, place, rank, block.thresholds, base, scores, masks)
        while hits != 0:
            u = lowest_bit(np.uint64(hits))
            hits &= hits - 1
            own = base + u
            block.sizes[own] = _offer_all(
                scores[u * WIDTH : (u + 1) * WIDTH],
                masks[u] & ~block.seen[own, panel],
                panel * WIDTH,
                best_scores[own],
                best_items[own],
                block.sizes[own],
            )
            if block.sizes[own] == best_scores.shape[1]:
                block.thresholds[own] = best_scores[own, 0]


@jit
def _select(
    panels: Float32,
    users: Float32,
    n_users: int,
    rank: int,
    seen_indptr: Int64,
    seen_places: Int32,
    best_scores: Float32,
    best_items: Int32,
) -> None:
    n_panels = len(panels) // ((rank + 1) * WIDTH)
    chunk = max(1, CHUNK_BYTES // (4 * (rank + 1) * WIDTH))
    size = BLOCK_GROUPS * USERS
    block = _Block(
        np.zeros((size, n_panels), np.uint64), np.empty(size, np.float32), np.empty(size, np.int64)
    )
    for first in range(0, n_users, size):
        n_here = min(size, n_users - first)
        scores, items = best_scores[first : first + n_here], best_items[first : first + n_here]
        block.thresholds[:n_here] = -np.inf
        block.thresholds[n_here:] = np.inf  # what pads the last group takes nothing
        block.sizes[:] = 0
        for u in range(n_here):
            _mark_seen(block.seen[u], seen_places[seen_indptr[first + u] : seen_indptr[first + u + 1]])
        for start in range(0, n_panels, chunk):
            stretch = _Stretch(panels, rank, start, min(start + chunk, n_panels))
            for base in range(0, n_here, USERS):
                group = _Group(users, (first + base) * rank, base)
                _select_group(stretch, group, block, scores, items)
        for u in range(n_here):
            sort_heap(scores[u], items[u], block.sizes[u])
            _unmark_seen(block.seen[u], seen_places[seen_indptr[first + u] : seen_indptr[first + u + 1]])


def top_items(items: ItemPanels, factors: Float32, n: int, seen: SeenItems | None = None) -> TopItems:
    """Find the n best items by offset + p·q for each user p of `factors`, float32, shape (users, rank).

    The result is the same whatever the number of users in a call: each pair is summed in the same order.
    Costs users · items · rank multiply-adds; where no item of a panel beats a user's n-th best, scores never
    leave the registers. Memory beyond the result is a bit for each item and `BLOCK_GROUPS` groups.

    Raises ConfigError if n is below 1, and DataError if factors are not finite or shapes do not fit.
    """
    n_users = len(factors)
    if n < 1:
        raise ConfigError(f"found n = {n}", where="top_items", expected="at least 1")
    if factors.ndim != 2 or factors.shape[1] != items.rank:
        raise DataError(
            f"user factors of shape {factors.shape}", expected=f"(users, {items.rank}), as the items' rank"
        )
    if not np.isfinite(factors).all():
        raise DataError("user factors are not finite", expected="finite numbers")
    n_groups = -(-n_users // USERS)
    padded = np.zeros((n_groups * USERS, items.rank), np.float32)
    padded[:n_users] = factors
    grouped = np.ascontiguousarray(padded.reshape(n_groups, USERS, items.rank).transpose(0, 2, 1))
    indptr, indices = (np.zeros(n_users + 1, np.int64), np.empty(0, np.int32)) if seen is None else seen
    scores = np.full((n_users, n), -np.inf, np.float32)
    places = np.full((n_users, n), NOTHING, np.int32)
    _select(
        items.panels.ravel(),
        grouped.ravel(),
        n_users,
        items.rank,
        np.ascontiguousarray(indptr, np.int64),
        items.places[indices],
        scores,
        places,
    )
    rows = np.append(items.rows, np.int32(NOTHING))
    return TopItems(rows[places], scores)
