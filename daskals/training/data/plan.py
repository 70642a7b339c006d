"""Where a side is cut into blocks: by work, from data and configuration only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from daskals.types import Float64, Int64

BLOCK_WORK = 2e9
"""Multiply-adds a block should hold: a quarter second of one core, far above the cost of a task."""

BLOCK_RATINGS = 1_600_000
"""Ratings a block should hold at most, 5 bytes each: what is read at a time where ratings outgrow memory."""

ROW_WORK = 4.0
"""What a multiply-add of a row's own algebra costs, in multiply-adds of its Gram matrix: short loops, and
with features what is kept of each row. Without it the last block of a long tail takes as long as three."""

IMPROVED_WORK = 2.5e8
"""Multiply-adds a block should hold where rows are improved, not solved: by ten times less work, of which a
block of a quarter second's exact solves has so little that a tenth went into what any block costs, and into
batches of rows that its last few rows do not fill. This is some five milliseconds."""

LAST_CUT_INTO = 4
"""Into how many the last block is cut: threads take the largest first, and these fill what others leave. Of
19 equal blocks one thread of two would stand still for a twentieth of a half-step."""

MIN_CUT = 8
"""Blocks from which on the last is cut: of fewer each takes less than what further ones cost."""

MIN_BLOCKS = 4
MAX_BLOCKS = 1024


class BlockRange(NamedTuple):
    """Rows [start, stop) of one side."""

    start: int
    stop: int


def plan_blocks(counts: Int64, rank: int, *, improved: bool = False) -> list[BlockRange]:
    """Cut a side into contiguous blocks of about equal work.

    The ranges are not empty and cover all rows in order. They depend on the arguments alone, never on workers
    or threads, because sums are folded in block order and must not change with either.

    Parameters
    ----------
    counts, rank
        The training ratings of each row, shape (rows,); number of factors.
    improved
        Whether rows take some steps of conjugate gradients in place of an exact solve.
    """
    each = _row_work(counts, rank)
    blocks = np.sum(each) / BLOCK_WORK
    if improved:
        each = _improving_work(counts, rank)
        blocks = min(blocks, np.sum(each) / IMPROVED_WORK)
    work = np.cumsum(each)
    wanted = max(blocks, np.sum(counts) / BLOCK_RATINGS)
    n_blocks = int(np.clip(np.ceil(wanted), MIN_BLOCKS, MAX_BLOCKS))
    shares = _shares(n_blocks, cut=n_blocks >= MIN_CUT and not improved)
    inner = np.searchsorted(work, work[-1] * shares[1:], side="left") + 1
    cuts = np.unique(np.concatenate([[0], np.minimum(inner, len(counts)), [len(counts)]]))
    return [BlockRange(int(start), int(stop)) for start, stop in itertools.pairwise(cuts)]


def _shares(n_blocks: int, *, cut: bool) -> Float64:
    """Return the share of all work that lies before each block, float64, ascending from 0."""
    if not cut:
        return np.arange(n_blocks) / n_blocks
    last = n_blocks - 1 + np.arange(LAST_CUT_INTO) / LAST_CUT_INTO
    return np.concatenate([np.arange(n_blocks - 1), last]) / n_blocks


def by_work(counts: Int64, rank: int, ranges: Sequence[BlockRange], *, improved: bool = False) -> list[int]:
    """Order blocks by their work, the most first.

    A row with very many ratings makes a block of more work than the others have.

    Parameters
    ----------
    counts, rank
        As `plan_blocks` took them, `counts` of shape (rows,).
    ranges, improved
        What it returned; as it took it.
    """
    each = _improving_work(counts, rank) if improved else _row_work(counts, rank)
    work = np.concatenate([[0.0], np.cumsum(each)])
    return sorted(range(len(ranges)), key=lambda n: work[ranges[n].start] - work[ranges[n].stop])


def most_rows_first(order: Sequence[int], ranges: Sequence[BlockRange]) -> list[int]:
    """Order blocks as `by_work` does, but begin with the one of most rows.

    Where rows are eliminated, what is kept of each, summed and filled in takes that block half as long again
    as others of as much work.

    Parameters
    ----------
    order, ranges
        What `by_work` and `plan_blocks` returned.
    """
    first = max(order, key=lambda n: ranges[n].stop - ranges[n].start)
    return [first, *(number for number in order if number != first)]


def _row_work(counts: Int64, rank: int) -> Float64:
    """Return the multiply-adds that rows take, given the training ratings of each, shape (rows,)."""
    order = rank + 1
    return np.asarray(counts * float(order * order) / 2 + ROW_WORK * (order**3 / 6 + order**2 + 1.0))


def _improving_work(counts: Int64, rank: int) -> Float64:
    """Return the multiply-adds that rows take which are improved, of shape (rows,) as `counts`.

    Two steps: five a rating and factor in all passes, and five products with a matrix that rows share. Those
    of the passes take three times as long, for they are of rows that are read from the second cache.
    """
    order = rank + 1
    return np.asarray(5.0 * (3.0 * counts * order + float(order * order)))
