"""Heap of the best items so far, the worst of them at its root; equal scores are ordered by item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.kernels.toolkit.jit import jit
from daskals.types import Float32, Int32

_RUN = 64
"""Scores that are first compared with the worst of the best together, in vector registers."""


@jit
def _is_worse(scores: Float32, items: Int32, a: int, b: int) -> bool:
    return bool(scores[a] < scores[b] or (scores[a] == scores[b] and items[a] > items[b]))


@jit
def _swap(scores: Float32, items: Int32, a: int, b: int) -> None:
    scores[a], scores[b] = scores[b], scores[a]
    items[a], items[b] = items[b], items[a]


@jit
def _sift_up(scores: Float32, items: Int32, place: int) -> None:
    while place > 0:
        parent = (place - 1) // 2
        if not _is_worse(scores, items, place, parent):
            return
        _swap(scores, items, place, parent)
        place = parent


@jit
def _sift_down(scores: Float32, items: Int32, size: int) -> None:
    place = 0
    while True:
        worst = place
        for child in range(2 * place + 1, min(2 * place + 3, size)):
            if _is_worse(scores, items, child, worst):
                worst = child
        if worst == place:
            return
        _swap(scores, items, place, worst)
        place = worst


@jit
def sort_heap(scores: Float32, items: Int32, size: int) -> None:
    """Order a heap of `size` items, scores and items of shape (n,), the best first."""
    # the worst is at the root: taking it away again and again leaves the best first
    for last in range(size - 1, 0, -1):
        _swap(scores, items, 0, last)
        _sift_down(scores, items, last)


@jit
def offer(scores: Float32, items: Int32, size: int, score: float, item: int) -> int:
    """Put an item into a heap of at most len(scores) and return the heap's size.

    Items must come in ascending order: one as good as the worst loses to it.

    Parameters
    ----------
    scores, items
        Shape (n,).
    size
        Items in the heap.
    score, item
        The new one.
    """
    if size < len(scores):
        scores[size] = score
        items[size] = item
        _sift_up(scores, items, size)
        return size + 1
    if score > scores[0]:
        scores[0] = score
        items[0] = item
        _sift_down(scores, items, size)
    return size


@jit
def select(scores: Float32, allowed: NDArray[np.bool_], best_scores: Float32, best_items: Int32) -> int:
    """Find the best allowed items, the best first, and return how many there are.

    Parameters
    ----------
    scores, allowed
        Shape (items,), contiguous; a score of −∞ or NaN is none.
    best_scores, best_items
        Shape (n,); overwritten as far as there are items.
    """
    size, least = 0, np.float32(-np.inf)
    for start in range(0, len(scores), _RUN):
        run = scores[start : start + _RUN]
        better = 0
        for i in range(len(run)):
            better += run[i] > least
        if better == 0:
            continue
        for i in range(len(run)):
            if run[i] > least and allowed[start + i]:
                size = offer(best_scores, best_items, size, run[i], start + i)
                if size == len(best_scores):
                    least = best_scores[0]
    sort_heap(best_scores, best_items, size)
    return size
