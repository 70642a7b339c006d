"""Heap of the best items so far, the worst of them at its root; equal scores are ordered by item."""

from __future__ import annotations

from daskals.kernels.toolkit.jit import jit
from daskals.types import Float32, Int32


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
