"""A date without training ratings, as an epoch of least squares has it: the row of held-out ratings of such.

Its factors are zero, and its bias is what dates add to training ratings in the mean: see
`fitting.other_dates`, which finds that for a model that is saved. It takes a pass over all ratings, so only
who looks at held-out ratings asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from daskals.cluster.exchange import Factors, Gathered
from daskals.cluster.parts import BlockCall, submit_fold
from daskals.cluster.workers import Cluster, Share, Task
from daskals.kernels.half_step.added import added_by_rows
from daskals.kernels.half_step.joined import cut_block
from daskals.store.blocks import AnyBlock, block_of
from daskals.training.half_step import SideData


class AddedToRatings(NamedTuple):
    """What times add to some ratings, b_t + p·d_t + q·d_t, in all, and how many ratings these are."""

    total: float
    n: int

    def plus(self, other: AddedToRatings) -> AddedToRatings:
        """Return the sums over both."""
        return AddedToRatings(self.total + other.total, self.n + other.n)


def submit_added(cluster: Cluster, dates: SideData, factors: Factors, rank: int, key: str) -> Task:
    """Start taking the mean of what dates add to training ratings, a number.

    Parameters
    ----------
    cluster, dates
        Where the tasks run; the third side's ratings.
    factors, rank
        Those of all sides; how many a row has.
    key
        Tells tasks apart.
    """
    generations = factors.generations

    def shared(share: Share) -> tuple[Any, ...]:
        return *(one.near(share.worker) for one in generations), rank

    call = BlockCall(add_slab, [(block,) for block in dates.blocks], shared, dates.order)
    return submit_fold(cluster, mean_of_added, call, key=f"add-times-{key}", name=f"reduce-times-{key}")


def add_slab(block: AnyBlock, users: Gathered, items: Gathered, own: Gathered, rank: int) -> AddedToRatings:
    """Sum what the dates of a block add to their ratings.

    Parameters
    ----------
    block
        Ratings of some dates.
    users, items, own
        Rows of all sides, the dates' last.
    rank
        Number of factors.
    """
    ratings, total = block_of(block), 0.0
    for piece in cut_block(ratings):
        total += added_by_rows(piece, users.rows, items.rows, own.of(piece), rank)
    return AddedToRatings(total, len(ratings.indices))


def mean_of_added(parts: Sequence[AddedToRatings]) -> float:
    """Return the mean over the ratings of all blocks, added up in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    return total.total / total.n
