"""A run's state on its way between the cluster and the process that drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from daskals.cluster.exchange import Generation, fetch_rows, restore
from daskals.cluster.workers import Cluster
from daskals.kernels.toolkit.layout import empty_rows
from daskals.training.events import EpochFinished
from daskals.training.gradients import Weights
from daskals.training.half_step import SolveSpec
from daskals.training.state import TrainingState
from daskals.types import SIDES, Float64, Side


def take_home(
    cluster: Cluster,
    factors: tuple[Generation, Generation],
    history: Sequence[EpochFinished],
    spec: SolveSpec,
    key: str,
) -> TrainingState:
    """Fetch what the next epoch depends on; `factors` are the users' and the items'."""
    users, items = factors
    needed = (users, items) if spec.needs_current else (items,)
    rows = {generation.side: fetch_rows(cluster, generation, key) for generation in needed}
    return TrainingState(tuple(history), rows, fetch_weights(cluster, factors))


def fetch_weights(cluster: Cluster, factors: Sequence[Generation]) -> dict[Side, Float64]:
    """Fetch W of the sides that have features."""
    found: dict[Side, Weights] = {
        generation.side: cluster.result(generation.prior)
        for generation in factors
        if generation.prior is not None
    }
    return {side: weights.values for side, weights in found.items()}


def hand_out(
    cluster: Cluster, state: TrainingState, starts: Mapping[Side, Sequence[int]], rank: int, key: str
) -> tuple[Generation, Generation]:
    """Put a state on the cluster as the users' and the items' factors.

    Parameters
    ----------
    cluster
        Where to.
    state
        What to hand out. Its tasks depend on no earlier ones, so that Dask forgets those.
    starts
        First row of each block, by side.
    rank
        Number of factors.
    key
        Makes the names of these tasks unique.
    """
    found = {}
    for side in SIDES:
        # a side whose rows no solve depends on is represented by none
        rows = state.rows.get(side, empty_rows(0, rank))
        cuts = starts[side] if side in state.rows else [0]
        generation = restore(cluster, side, cuts, rows, key)
        if side in state.weights:
            weights = cluster.place([Weights(state.weights[side], 0.0)])[0]
            generation = replace(generation, prior=weights)
        found[side] = generation
    return found["user"], found["item"]
