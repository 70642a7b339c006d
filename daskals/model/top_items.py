"""Top items of single profiles: the selection kernel over items packed once, whatever the filters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from daskals.config.arguments import is_whole, shown
from daskals.errors import ConfigError, DataError
from daskals.kernels.scoring.topk import ItemPanels, SeenItems, pack_items, top_items
from daskals.kernels.scoring.weighted_rows import best_of
from daskals.types import Float32, Int64

DUST = 1e-5
"""Share of the rating scale below which what factors add to a rating is rounding, and nothing else."""


def pack_with_bias(factors: Float32, biases: Float32) -> ItemPanels:
    """Pack items, (items, rank), with their bias as one factor more, whose weight can differ by call."""
    return pack_items(
        np.column_stack([factors, biases]).astype(np.float32), np.zeros(len(biases), np.float32)
    )


def unit_rows(factors: Float32) -> Float32:
    """Scale rows, shape (rows, rank), to length 1; a row of zeros stays one."""
    norms = np.linalg.norm(factors.astype(np.float64), axis=1, keepdims=True)
    return (factors / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def pack_units(factors: Float32) -> ItemPanels:
    """Pack rows, shape (rows, rank), scaled to length 1: scores are cosines then."""
    return pack_items(unit_rows(factors), np.zeros(len(factors), np.float32))


def best_rows(
    panels: ItemPanels, vector: Float32, n: int, allowed: NDArray[np.bool_], what: str
) -> tuple[Int64, Float32]:
    """Find the n best allowed rows for one vector; fewer if fewer are allowed.

    Parameters
    ----------
    panels
        All rows, packed.
    vector
        float32, shape (panels.rank,).
    n
        Rows to find.
    allowed
        bool, shape (rows,).
    what
        Names the rows in messages, in the plural.

    Raises
    ------
    ConfigError
        If n is below 1 or above the number of rows.
    DataError
        If nothing is allowed.
    """
    check_wanted(n, allowed, what)
    left_out = np.flatnonzero(~allowed).astype(np.int32)
    seen = SeenItems(np.array([0, len(left_out)], np.int64), left_out)
    found = top_items(panels, vector[None], n, seen)
    count = min(n, len(allowed) - len(left_out))
    return found.items[0, :count].astype(np.int64), found.scores[0, :count]


def best_scores(scores: Float32, n: int, allowed: NDArray[np.bool_]) -> tuple[Int64, Float32]:
    """Find the n best allowed items by their scores; fewer if fewer are allowed.

    `scores` are float32, shape (items,), `allowed` bool, the same. Returns rows, int64, and their scores,
    float32, both of shape (found,). Raises as `best_rows` does.
    """
    check_wanted(n, allowed, "items")
    rows = best_of(scores, allowed, n)
    return rows, scores[rows]


def check_wanted(n: int, allowed: NDArray[np.bool_], what: str) -> None:
    """Refuse a list's length and filters that cannot be met.

    Parameters
    ----------
    n
        Items to find.
    allowed
        Which are, bool, shape (rows,).
    what
        Names them in messages, in the plural.

    Raises
    ------
    ConfigError
        If n is no whole number, below 1 or above the number of rows.
    DataError
        If nothing is allowed.
    """
    if not is_whole(n) or not 1 <= n <= len(allowed):
        most = f"{len(allowed)}, as many as there are {what}"
        raise ConfigError(f"found {shown(n)}", where="n", expected=f"a whole number from 1 to {most}")
    if not allowed.any():
        raise DataError(
            f"nothing is left of {len(allowed):,} {what}",
            where="filters",
            expected=f"conditions that some {what} meet",
            remedy="Lower the minimum of ratings, or widen genres, years and lists",
        )
