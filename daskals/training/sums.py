"""The sums of an epoch: all that the driver hears of it."""

from __future__ import annotations

from typing import NamedTuple

from daskals.cluster.exchange import Factors, Gathered
from daskals.cluster.workers import Cluster, Task
from daskals.training.prior.gradients import Weights
from daskals.types import BlockStats, Side


class Sums(NamedTuple):
    """What the blocks of each side add up to, the penalty of W with its side's; `times` of a third side."""

    users: BlockStats
    items: BlockStats
    times: BlockStats | None = None

    @property
    def last(self) -> BlockStats:
        """Those of the side that was drawn or solved last, whose errors are of all rows as they are."""
        return self.items if self.times is None else self.times

    @property
    def by_side(self) -> dict[Side, BlockStats]:
        """Those of each side there is."""
        both: dict[Side, BlockStats] = {"user": self.users, "item": self.items}
        return both if self.times is None else {**both, "time": self.times}

    def objective(self, weight: float = 1.0) -> float:
        """Return the squared errors, times `weight`, and the penalties of all sides."""
        found = weight * self.last.sse + self.users.penalty + self.items.penalty
        return found if self.times is None else found + self.times.penalty


def submit_sums(cluster: Cluster, factors: Factors, key: str) -> Task:
    """Start reading the sums of an epoch, in one task where all sides' rows are.

    Parameters
    ----------
    cluster, factors
        Where the tasks run, and what the epoch left.
    key
        Tells tasks apart.
    """
    home = cluster.homes[0]
    users, items, times = factors
    return cluster.submit(
        read_sums,
        *(
            users.near(home),
            users.prior,
            items.near(home),
            items.prior,
            None if times is None else times.near(home),
        ),
        key=f"reduce-epoch-{key}",
        worker=home,
    )


def read_sums(
    users: Gathered,
    user_weights: Weights | None,
    items: Gathered,
    item_weights: Weights | None,
    times: Gathered | None = None,
) -> Sums:
    """Return the sums of all sides.

    Parameters
    ----------
    users, user_weights
        The users' rows, and W of their features, if they have any.
    items, item_weights
        The same of the items.
    times
        The third side's rows, if there is one.
    """
    return Sums(
        _with_weights(users.stats, user_weights),
        _with_weights(items.stats, item_weights),
        None if times is None else times.stats,
    )


def _with_weights(stats: BlockStats, weights: Weights | None) -> BlockStats:
    """Count η'‖W‖² to the penalty of the side it belongs to."""
    return stats if weights is None else BlockStats(stats.sse, stats.penalty + weights.penalty)
