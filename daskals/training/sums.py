"""The sums of an epoch: all that the driver hears of it."""

from __future__ import annotations

from typing import NamedTuple

from daskals.cluster.exchange import Factors, Gathered
from daskals.cluster.workers import Cluster, Task
from daskals.training.prior.gradients import Weights
from daskals.types import BlockStats


class Sums(NamedTuple):
    """What the blocks of both sides add up to, the penalty of W with its side's."""

    users: BlockStats
    items: BlockStats


def submit_sums(cluster: Cluster, factors: Factors, key: str) -> Task:
    """Start reading the sums of an epoch, in one task where both sides' rows are.

    Parameters
    ----------
    cluster, factors
        Where the tasks run, and what the epoch left.
    key
        Tells tasks apart.
    """
    home = cluster.homes[0]
    users, items = factors
    return cluster.submit(
        read_sums,
        *(users.near(home), users.prior, items.near(home), items.prior),
        key=f"reduce-epoch-{key}",
        worker=home,
    )


def read_sums(
    users: Gathered, user_weights: Weights | None, items: Gathered, item_weights: Weights | None
) -> Sums:
    """Return the sums of both sides.

    Parameters
    ----------
    users, user_weights
        The users' rows, and W of their features, if they have any.
    items, item_weights
        The same of the items.
    """
    return Sums(_with_weights(users.stats, user_weights), _with_weights(items.stats, item_weights))


def _with_weights(stats: BlockStats, weights: Weights | None) -> BlockStats:
    """Count η'‖W‖² to the penalty of the side it belongs to."""
    return stats if weights is None else BlockStats(stats.sse, stats.penalty + weights.penalty)
